package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// unprivileged is the user and group that a proxy started as root becomes.
const unprivileged = 65532

// dropPrivileges turns a process that runs as root into user 65532 without any
// capability and without a way to get one back. Ports must be bound by now. It
// keeps one group: that of the engine's socket, so that it can go on asking. If
// want is false or the process is not root it does nothing: whoever set
// `user:` has decided.
//
// socketPath is "" if the engine is not reached by a unix socket. dataDir is
// handed over with all that is in it.
func dropPrivileges(want bool, socketPath, dataDir string, log zerolog.Logger) error {
	if !want || os.Geteuid() != 0 {
		return nil
	}
	groups, err := socketGroups(socketPath)
	if err != nil {
		return err
	}
	if err := handOver(dataDir); err != nil && !unwritable(err) {
		return fmt.Errorf("hand over %s: %w", dataDir, err)
	}
	bounded, err := clearBoundingSet()
	if err != nil {
		return err
	}
	if err := becomeUnprivileged(groups); err != nil {
		return err
	}
	if err := verifyPrivileges(bounded); err != nil {
		return fmt.Errorf("verify that privileges are gone: %w", err)
	}
	log.Info().Int("uid", unprivileged).Ints("groups", groups).Msg("privileges dropped")
	return nil
}

// socketGroups returns the group that may use the engine's socket.
func socketGroups(socketPath string) ([]int, error) {
	if socketPath == "" {
		return nil, nil
	}
	var st unix.Stat_t
	err := unix.Stat(socketPath, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil // it may be an engine that starts later; what it says then names the cure
	case err != nil:
		return nil, fmt.Errorf("look at the engine's socket %s: %w", socketPath, err)
	}
	return []int{int(st.Gid)}, nil
}

// handOver gives the data directory and all in it to the unprivileged user.
// Links are changed themselves and never followed: the files of a run without
// privileges must not lead root elsewhere.
func handOver(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since the directory was read
		case err != nil:
			return err
		}
		return root.Lchown(filepath.FromSlash(path), unprivileged, unprivileged)
	})
	if err != nil {
		return err
	}
	return root.Chmod(".", 0o700)
}

// clearBoundingSet makes sure that no program this process could start gains a
// capability. It needs CAP_SETPCAP: without it (cap_drop in the compose file)
// no_new_privs alone has to do, which becomeUnprivileged sets.
func clearBoundingSet() (cleared bool, err error) {
	for c := uintptr(0); c < 64; c++ {
		switch err := everyThread(syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)); {
		case err == nil:
		case errors.Is(err, unix.EINVAL):
			return c > 0, nil // past the last capability of this kernel
		case errors.Is(err, unix.EPERM):
			return false, nil
		default:
			return false, fmt.Errorf("clear the bounding set: %w", err)
		}
	}
	return true, nil
}

func becomeUnprivileged(groups []int) error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"clear ambient capabilities", clearAmbient},
		{"set groups (CAP_SETGID)", func() error { return syscall.Setgroups(groups) }},
		{"set group (CAP_SETGID)", func() error { return syscall.Setresgid(unprivileged, unprivileged, unprivileged) }},
		{"set user (CAP_SETUID)", func() error { return syscall.Setresuid(unprivileged, unprivileged, unprivileged) }},
		{"clear capabilities", clearCapabilities},
		{"set no_new_privs", func() error {
			return everyThread(syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0))
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("drop privileges: %s: %w (or start the container with `user: \"%d:GROUP\"`, GROUP being that of the engine's socket)", s.name, err, unprivileged)
		}
	}
	return nil
}

func clearAmbient() error {
	err := everyThread(syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0))
	if errors.Is(err, unix.EINVAL) {
		return nil // a kernel before 4.3 has none
	}
	return err
}

// clearCapabilities empties the inheritable set, which a change of user leaves
// as it is, and the others, which it has emptied already.
func clearCapabilities() error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return everyThread(syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&none[0])), 0))
}

// everyThread is the error of a syscall.AllThreadsSyscall: what such calls
// change belongs to a thread, and goroutines run on all of them. The runtime
// can make them only if it made all threads itself.
func everyThread(_, _ uintptr, errno syscall.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.ENOTSUP:
		return errors.New("this binary was built with cgo, whose threads Go does not know: build it with CGO_ENABLED=0")
	}
	return errno
}

// verifyPrivileges reads from the kernel what every thread of this process can
// still do. Trusting the return values alone is how others got this wrong.
func verifyPrivileges(bounded bool) error {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	if len(tasks) == 0 {
		return errors.New("no /proc to verify it by")
	}
	for _, path := range tasks {
		status, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // a thread that ended
		}
		if err != nil {
			return err
		}
		if err := checkStatus(string(status), bounded); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// checkStatus checks one status file of /proc (proc_pid_status(5)).
func checkStatus(status string, bounded bool) error {
	id := fmt.Sprint(unprivileged)
	ids := strings.Join([]string{id, id, id, id}, "\t")
	want := map[string]string{"Uid": ids, "Gid": ids, "NoNewPrivs": "1"}
	sets := []string{"CapInh", "CapPrm", "CapEff", "CapAmb"}
	if bounded {
		sets = append(sets, "CapBnd")
	}
	for _, set := range sets {
		want[set] = "0000000000000000"
	}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if w, ok := want[key]; ok && value != w {
			return fmt.Errorf("%s is %s, want %s", key, value, w)
		}
		delete(want, key)
	}
	delete(want, "CapAmb") // not shown by a kernel before 4.3
	delete(want, "NoNewPrivs")
	for key := range want {
		return fmt.Errorf("%s is not shown", key)
	}
	return nil
}
