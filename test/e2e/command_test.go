package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// cleanEnv is the environment without settings of a proxy that the person who
// runs the tests may have set.
func cleanEnv(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "FAIRLEAD_") {
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}

// run runs a command to its end and fails the test if it fails.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try runs a command for at most two minutes and returns what it wrote to
// stdout; its error holds everything it said.
func try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = cleanEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return strings.TrimSpace(stdout.String()), nil
}

func docker(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, "docker", args...)
}

// A result is what a command said, on both streams, and its exit code.
type result struct {
	Out  string
	Code int
}

// exitOf runs a command whose exit code is part of the question.
func exitOf(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %v: %v", cmd.Args, err)
	}
	return result{Out: string(out), Code: cmd.ProcessState.ExitCode()}
}

// eventually asks until cond returns nil, and fails with its last error.
func eventually(t testing.TB, within time.Duration, what string, cond func() error) {
	t.Helper()
	err := poll(within, cond)
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

func poll(within time.Duration, cond func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for {
		err := cond()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// pass lets time go by, where the point is that nothing happens meanwhile.
func pass(d time.Duration) { <-time.After(d) }
