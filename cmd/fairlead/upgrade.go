package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/spf13/cobra"
)

func upgradeCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "upgrade", Short: "Have the running proxy start its binary again and hand over to it, without a failed request", Args: cobra.NoArgs,
		Long: "Have the running proxy start its binary again, as it is on disk now and with the same arguments and environment, and hand over to it.\n" +
			"The new process takes the listening sockets and serves from its first complete table on; only then does the old one stop accepting,\n" +
			"and it ends what it has begun (--upgrade-drain). If the new process fails, the old one serves on, and the exit code is 1.",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			done, err := askUpgrade(c.Context(), client)
			switch {
			case errors.Is(err, errNotUpgraded):
				c.PrintErrln("fairlead:", err)
				return errNo
			case err != nil:
				return err
			case f.json:
				return writeJSON(c.OutOrStdout(), done)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "upgraded: pid %d (%s) → pid %d (%s)\n", done.From.PID, done.From.Version, done.To.PID, done.To.Version)
			return err
		},
	}
	f.add(c)
	return c
}

// upgraded is what came of an upgrade.
type upgraded struct {
	From peer   `json:"from"`
	To   *peer  `json:"to"`
	Why  string `json:"why,omitempty"` // it failed
}

var errNotUpgraded = errors.New("not upgraded")

func askUpgrade(ctx context.Context, client admin.Client) (*upgraded, error) {
	s, err := client.Open(ctx, "upgrade", nil)
	if status := (admin.Status{}); errors.As(err, &status) && status.Code == http.StatusConflict {
		return nil, fmt.Errorf("%w: %w", errNotUpgraded, err)
	}
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(upgradeTime + takeoverTime + messageTime))
	var u upgraded
	switch _, err := s.Receive(&u); {
	case err != nil:
		return nil, fmt.Errorf("%w: the running proxy does not say what came of it: %w", errNotUpgraded, err)
	case u.To == nil:
		return nil, fmt.Errorf("%w, pid %d serves on: %s", errNotUpgraded, u.From.PID, u.Why)
	}
	return &u, nil
}

// upgradeTime is how long the new process may take until it serves.
const upgradeTime = time.Minute

// upgrade answers the command.
func (p *process) upgrade(*http.Request) (func(context.Context, *admin.Session), error) {
	if err := p.surroundings.stays(); err != nil {
		return nil, admin.Status{Code: http.StatusConflict, Err: err}
	}
	if err := p.handover.join(); err != nil {
		return nil, admin.Status{Code: http.StatusConflict, Err: err}
	}
	return func(ctx context.Context, s *admin.Session) {
		defer p.handover.talks.Done()
		u := upgraded{From: self()}
		if err := p.startAgain(ctx); err != nil {
			p.log.Error().Err(err).Msg("upgrade failed, serving on")
			u.Why = err.Error()
		} else {
			u.To = p.handover.takenBy()
		}
		s.SetDeadline(time.Now().Add(messageTime))
		s.Send(u)
	}, nil
}

// startAgain starts the binary and returns nil when a process has taken over.
func (p *process) startAgain(ctx context.Context) error {
	cmd, said, err := p.invocation.command()
	if err != nil {
		return err
	}
	p.handover.fail(nil) // of another one, before
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p.log.Info().Int("pid", cmd.Process.Pid).Str("path", cmd.Path).Msg("new process started")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	late := time.NewTimer(upgradeTime)
	defer late.Stop()
	select {
	case <-p.handover.done:
		return nil
	case <-ended:
		err = fmt.Errorf("the new process ended (%s)", cmd.ProcessState)
	case <-late.C:
		err = fmt.Errorf("the new process did not serve within %s", upgradeTime)
	case <-ctx.Done():
		err = errors.New("this process is stopping")
	}
	if !p.handover.revoke(cmd.Process.Pid) { // it has taken over in this very moment
		<-p.handover.done
		return nil
	}
	cmd.Process.Kill()
	if why := p.handover.failure(); why != nil {
		return fmt.Errorf("%w: %w", err, why)
	}
	if end := said.String(); end != "" {
		return fmt.Errorf("%w: %s", err, end)
	}
	return err
}

// An invocation is how this process was started, so that it can be again.
type invocation struct {
	path string
	args []string // with its name
}

// thisInvocation returns the path as it was started, and not what that led to: a
// link may lead to another file by the time it is started again.
func thisInvocation() invocation {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return invocation{path, os.Args}
}

// realStderr is the variable with the number of the file that is standard error
// once a process that was started by upgrade is on its feet. Until then what it
// says goes through the one that started it.
const realStderr = "_FAIRLEAD_STDERR"

// command returns how to start it, and what keeps the end of what that says
// while it starts.
func (i invocation) command() (*exec.Cmd, *lastWords, error) {
	if i.path == "" {
		return nil, nil, errors.New("it is not known how this process was started")
	}
	said := &lastWords{}
	cmd := exec.Command(i.path)
	cmd.Args = i.args
	cmd.Env = append(os.Environ(), realStderr+"=3")
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	cmd.Stderr, cmd.ExtraFiles = io.MultiWriter(os.Stderr, said), []*os.File{os.Stderr}
	return cmd, said, nil
}

// openStderr returns where the log goes.
func openStderr() *os.File {
	if os.Getenv(realStderr) != "3" {
		return os.Stderr
	}
	syscall.CloseOnExec(3)
	return os.NewFile(3, "stderr")
}

// settleStderr makes it the process's standard error, so that whoever started
// this process may go.
func settleStderr() error {
	if os.Getenv(realStderr) != "3" {
		return nil
	}
	os.Unsetenv(realStderr)
	if err := dup(3, 2); err != nil {
		return fmt.Errorf("standard error: %w", err)
	}
	return nil
}

// lastWords keeps the end of what was written.
type lastWords struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

func (l *lastWords) Write(p []byte) (int, error) {
	const most = 2 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - most; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.text))
}
