//go:build linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// CPUs returns the processors that this process may run on, in order.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	var cpus []int
	for i := 0; len(cpus) < set.Count(); i++ {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}

// Start starts cmd on the processors alone, from its first instruction: a child
// has those of the thread that forks it. It leads a process group of its own, for
// Stop, and is told to end when this process dies.
func Start(cmd *exec.Cmd, cpus []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var own, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to processors %v: %w", cpus, err)
	}
	defer unix.SchedSetaffinity(0, &own)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return nil
}

// PinSelf moves every thread of this process to the processors; those that
// begin later have them from their makers.
func PinSelf(cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	tasks, err := filepath.Glob("/proc/self/task/[0-9]*")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err == nil {
			err = unix.SchedSetaffinity(tid, &set)
		}
		if err != nil && err != unix.ESRCH {
			return fmt.Errorf("pin to processors %v: %w", cpus, err)
		}
	}
	return nil
}

// Stop ends what Start began, and waits for it.
func Stop(cmd *exec.Cmd, patience time.Duration) {
	gone := make(chan struct{})
	go func() { cmd.Wait(); close(gone) }()
	End(cmd, gone, patience)
}

// End ends what Start began and somebody else waits for, who closes gone:
// politely, and after patience the whole group by force.
func End(cmd *exec.Cmd, gone <-chan struct{}, patience time.Duration) {
	cmd.Process.Signal(syscall.SIGTERM)
	force := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	timer := time.AfterFunc(patience, force)
	<-gone
	timer.Stop()
	force() // for children that outlived it
}

// Until calls ready every so often until it returns true. It returns the reason
// of ctx if that ends first.
func Until(ctx context.Context, every time.Duration, ready func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// ErrStuck is the cause when Until was given a time and it passed.
var ErrStuck = errors.New("it took too long")
