//go:build linux

package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStatIsReadWhateverTheName(t *testing.T) {
	for in, want := range map[string][2]int{
		"12 (nginx) S 7 12 12 0":       {12, 7},
		"12 (a) (b c) 9 ) R 7 12 12 0": {12, 7},
		"12 (no end":                   {0, 0},
		"12 () S":                      {0, 0},
		"x (a) S 7 1":                  {0, 0},
	} {
		pid, parent, err := parseStat([]byte(in))
		if bad := want == [2]int{}; !bad && (pid != want[0] || parent != want[1]) || (err != nil) != bad {
			t.Errorf("%q: %d, %d, %v: want %v", in, pid, parent, err, want)
		}
	}
}

func TestPSSIsRead(t *testing.T) {
	if n, err := parsePSS([]byte("00400000-7ffd ---p 00000000 00:00 0 [rollup]\nRss:    9000 kB\nPss:    1234 kB\nPss_Anon: 1 kB\n")); n != 1234<<10 || err != nil {
		t.Errorf("got %d, %v: want %d", n, err, 1234<<10)
	}
	if _, err := parsePSS([]byte("Rss: 1 kB\n")); err == nil {
		t.Error("without a line Pss: want an error")
	}
	if n, err := PSS([]int{os.Getpid()}); n < 1<<20 || err != nil {
		t.Errorf("of this process: %d, %v: want a megabyte at least", n, err)
	}
}

func TestCountersAreRead(t *testing.T) {
	n, err := parsePerf([]byte("# started on Mon\n\n123456,,raw_syscalls:sys_enter,1000000,100.00,,\n"))
	if n != 123456 || err != nil {
		t.Errorf("perf: %d, %v: want 123456", n, err)
	}
	if _, err := parsePerf([]byte("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n")); err == nil {
		t.Error("perf that did not count: want an error")
	}
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000060           1        60         5 read
 40.00    0.000040           1        40           write
------ ----------- ----------- --------- --------- ----------------
`
	for _, last := range []string{"100.00    0.000100           1       100         5 total\n", "100.00    0.000100           1       100           total\n"} {
		if n, err := parseStrace([]byte(table + last)); n != 100 || err != nil {
			t.Errorf("strace: %d, %v: want 100", n, err)
		}
	}
	if _, err := parseStrace([]byte(table)); err == nil {
		t.Error("strace without a total: want an error")
	}
}

// A child that leaves its own child behind when it ends.
func TestTreeCPUAndStop(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap '' TERM; sleep 600 & echo $!; read never; wait`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := CPUs()
	if err != nil || len(cpus) == 0 {
		t.Fatalf("processors: %v, %v", cpus, err)
	}
	if err := Start(cmd, cpus[:1]); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 32)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Tree(cmd.Process.Pid)
	if err != nil || !slices.Equal(tree, []int{cmd.Process.Pid, child}) {
		t.Errorf("got %v, %v: want %v", tree, err, []int{cmd.Process.Pid, child})
	}
	if used, err := CPU(tree); used <= 0 || err != nil {
		t.Errorf("processor time %s, %v: want some", used, err)
	}
	for _, pid := range tree {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if want := fmt.Sprintf("Cpus_allowed_list:\t%d\n", cpus[0]); err != nil || !bytes.Contains(status, []byte(want)) {
			t.Errorf("process %d runs elsewhere than on %d: %v", pid, cpus[0], err)
		}
	}
	Stop(cmd, 10*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// Its parent is gone, so whoever adopts it reaps it: a zombie is ended too.
	if err := Until(ctx, time.Millisecond, func() bool { return syscall.Kill(child, 0) == syscall.ESRCH || ended(child) }); err != nil {
		t.Errorf("its child %d lives on: %v", child, err)
	}
}

func TestCPUOfThisProcessRises(t *testing.T) {
	self := []int{os.Getpid()}
	before, err := CPU(self)
	if err != nil {
		t.Fatal(err)
	}
	for {
		after, err := CPU(self)
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			break
		}
	}
	if _, err := CPU([]int{1 << 22}); err == nil {
		t.Error("a process that is not there: want an error")
	}
}

func TestStartLeavesThisProcessWhereItIs(t *testing.T) {
	before, err := CPUs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	if err := Start(cmd, before[:1]); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if after, err := CPUs(); err != nil || !slices.Equal(before, after) {
		t.Errorf("this process may run on %v, %v: want %v", after, err, before)
	}
	if err := PinSelf(before); err != nil {
		t.Error(err)
	}
}

func TestUntilGivesTheReasonWhyItStopped(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, ErrStuck)
	defer cancel()
	if err := Until(ctx, time.Millisecond, func() bool { return false }); !errors.Is(err, ErrStuck) {
		t.Errorf("got %v, want %v", err, ErrStuck)
	}
	calls := 0
	if err := Until(t.Context(), time.Millisecond, func() bool { calls++; return calls == 3 }); err != nil || calls != 3 {
		t.Errorf("%d calls, %v: want 3", calls, err)
	}
}
