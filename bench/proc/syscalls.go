//go:build linux

package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoCounter says that neither perf nor strace can count here.
var ErrNoCounter = errors.New("neither perf nor strace can count system calls")

// attachTime is how long a counter may take to begin.
const attachTime = 5 * time.Second

// A Counter counts system calls of processes.
type Counter struct {
	By  string // "perf" or "strace"
	cmd *exec.Cmd
	out *os.File
}

// CountSyscalls begins to count what the processes and all their threads call.
// perf counts a kernel event and hardly slows them; strace, which is taken where
// perf is missing or not allowed, stops them at each call. Both are true counts,
// but a slowed proxy finds more to do each time it wakes.
func CountSyscalls(ctx context.Context, pids []int) (*Counter, error) {
	var list []string
	for _, pid := range pids {
		list = append(list, strconv.Itoa(pid))
	}
	all := strings.Join(list, ",")
	c, err := attach(ctx, pids, "perf", perfAttached, "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", all)
	if err == nil {
		return c, nil
	}
	c, err = attach(ctx, pids, "strace", straced, "-c", "-f", "-q", "-p", all)
	if err != nil && ctx.Err() == nil {
		err = ErrNoCounter
	}
	return c, err
}

// attach starts a counter and returns once it counts.
func attach(ctx context.Context, pids []int, name string, counts func(counter int, pids []int) bool, args ...string) (*Counter, error) {
	out, err := os.CreateTemp("", "fairlead-bench-counter-")
	if err != nil {
		return nil, err
	}
	os.Remove(out.Name())
	cpus, err := CPUs()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stderr, cmd.Stdout = out, out
	if err := Start(cmd, cpus); err != nil {
		out.Close()
		return nil, err
	}
	c := &Counter{By: name, cmd: cmd, out: out}
	ctx, cancel := context.WithTimeoutCause(ctx, attachTime, ErrStuck)
	defer cancel()
	err = Until(ctx, 5*time.Millisecond, func() bool { return counts(cmd.Process.Pid, pids) || ended(cmd.Process.Pid) })
	if err == nil && ended(cmd.Process.Pid) {
		err = fmt.Errorf("%s ended", name)
	}
	if err != nil {
		Stop(cmd, time.Second)
		out.Close()
		return nil, err
	}
	return c, nil
}

// ended reports whether a child is a zombie.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.HasPrefix(b[bytes.LastIndexByte(b, ')')+1:], []byte(" Z"))
}

// perfAttached reports whether perf has an event open for every thread.
func perfAttached(perf int, pids []int) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", perf))
	events := 0
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == "anon_inode:[perf_event]" {
			events++
		}
	}
	return events >= len(threads(pids))
}

// straced reports whether every thread has a tracer.
func straced(_ int, pids []int) bool {
	for _, path := range threads(pids) {
		b, err := os.ReadFile(filepath.Join(path, "status"))
		if err != nil || bytes.Contains(b, []byte("\nTracerPid:\t0\n")) {
			return false
		}
	}
	return true
}

func threads(pids []int) []string {
	var out []string
	for _, pid := range pids {
		paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
		out = append(out, paths...)
	}
	return out
}

// End stops counting and returns how many calls there were.
func (c *Counter) End() (uint64, error) {
	defer c.out.Close()
	c.cmd.Process.Signal(syscall.SIGINT)
	c.cmd.Wait() // both end with the signal as their status
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", c.out.Fd()))
	if err != nil {
		return 0, err
	}
	if c.By == "perf" {
		return parsePerf(text)
	}
	return parseStrace(text)
}

// parsePerf reads the count of `perf stat -x,`.
func parsePerf(text []byte) (uint64, error) {
	for line := range bytes.Lines(text) {
		if f := bytes.Split(line, []byte(",")); len(f) > 2 && bytes.Equal(f[2], []byte("raw_syscalls:sys_enter")) {
			return strconv.ParseUint(string(f[0]), 10, 64)
		}
	}
	return 0, fmt.Errorf("output of perf %q: no count", text)
}

// parseStrace reads the last line of the table of `strace -c`:
// "100.00 0.012345 3 1234 5 total", without the 5 if no call failed.
func parseStrace(text []byte) (uint64, error) {
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) >= 5 && string(f[len(f)-1]) == "total" {
			return strconv.ParseUint(string(f[3]), 10, 64)
		}
	}
	return 0, fmt.Errorf("output of strace %q: no total", text)
}
