package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// dropVar makes the test binary a process that drops its privileges: the value
// is the socket and the data directory.
const dropVar = "TEST_DROP_PRIVILEGES"

func TestDropPrivileges(t *testing.T) {
	if arg := os.Getenv(dropVar); arg != "" {
		dropAndLook(t, arg)
		return
	}
	if uid := os.Geteuid(); uid != 0 { // then there are none to drop, and nothing may change
		if err := dropPrivileges(true, "", t.TempDir(), zerolog.Nop()); err != nil || os.Geteuid() != uid {
			t.Errorf("as user %d: %v, and now user %d", uid, err, os.Geteuid())
		}
		return
	}
	dir := t.TempDir()
	socket, data, outside := filepath.Join(dir, "engine.sock"), filepath.Join(dir, "data"), filepath.Join(dir, "outside")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, err := range []error{
		os.Chown(socket, 0, 4242),
		os.MkdirAll(filepath.Join(data, "certs"), 0o755),
		os.WriteFile(filepath.Join(data, "certs", "key"), nil, 0o600),
		os.WriteFile(outside, nil, 0o600),
		os.Symlink(outside, filepath.Join(data, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binaryWithoutCgo(t), "-test.run=^TestDropPrivileges$", "-test.v")
	cmd.Env = append(os.Environ(), dropVar+"="+socket+":"+data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path, want := range map[string]uint32{data: unprivileged, data + "/certs": unprivileged, data + "/certs/key": unprivileged, data + "/link": unprivileged, outside: 0} {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Uid != want || st.Gid != want {
			t.Errorf("%s belongs to %d:%d, %v, want %d", strings.TrimPrefix(path, dir), st.Uid, st.Gid, err, want)
		}
	}
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the data directory: %v, %v", info.Mode(), err)
	}
}

// binaryWithoutCgo is this test as the image is built: where cgo is linked in,
// as for the race detector, Go does not know all threads.
func binaryWithoutCgo(t *testing.T) string {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno != unix.ENOTSUP {
		return os.Args[0]
	}
	path := filepath.Join(t.TempDir(), "test")
	cmd := exec.Command("go", "test", "-c", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func dropAndLook(t *testing.T, arg string) {
	socket, data, _ := strings.Cut(arg, ":")
	if err := dropPrivileges(true, socket, data, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	groups, err := os.Getgroups()
	if err != nil || !slices.Equal(groups, []int{4242}) {
		t.Errorf("groups %v, %v, want that of the socket", groups, err)
	}
	if os.Getuid() != unprivileged || os.Getegid() != unprivileged {
		t.Errorf("user %d, group %d", os.Getuid(), os.Getegid())
	}
	if err := syscall.Setuid(0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("back to root: %v", err)
	}
	if f, err := os.Open("/proc/1/environ"); err == nil {
		f.Close()
		t.Error("read what only root may read")
	}
	if bounding, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil || bounding != 0 {
		t.Errorf("CAP_SYS_ADMIN in the bounding set: %d, %v", bounding, err)
	}
	// A second time there is nothing left to do, which is no error.
	if err := dropPrivileges(true, socket, data, zerolog.Nop()); err != nil {
		t.Error(err)
	}
}

func TestPrivilegesAreKeptIfNotWanted(t *testing.T) {
	before := os.Geteuid()
	if err := dropPrivileges(false, "/nonexistent", "/nonexistent/data", zerolog.Nop()); err != nil || os.Geteuid() != before {
		t.Errorf("got %v, user %d", err, os.Geteuid())
	}
}

func TestSocketGroups(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := socketGroups(file); err != nil || !slices.Equal(got, []int{os.Getegid()}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, none := range []string{"", file + "-none"} {
		if got, err := socketGroups(none); err != nil || got != nil {
			t.Errorf("%q: got %v, %v", none, got, err)
		}
	}
	if _, err := socketGroups(file + "/below"); err == nil {
		t.Error("no error for a path below a file")
	}
}

func TestCheckStatus(t *testing.T) {
	good := fmt.Sprintf("Name:\tfairlead\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\nCapInh:\t%[2]s\nCapPrm:\t%[2]s\nCapEff:\t%[2]s\nCapBnd:\t%[2]s\nCapAmb:\t%[2]s\nNoNewPrivs:\t1\n",
		unprivileged, "0000000000000000")
	if err := checkStatus(good, true); err != nil {
		t.Error(err)
	}
	tests := []struct {
		name, from, to string
		bounded        bool
	}{
		{"saved user", "65532\t65532\nGid", "65532\t0\nGid", true},
		{"effective", "CapEff:\t0", "CapEff:\t1", true},
		{"inheritable", "CapInh:\t0", "CapInh:\t1", true},
		{"ambient", "CapAmb:\t0", "CapAmb:\t1", true},
		{"bounding", "CapBnd:\t0", "CapBnd:\t1", true},
		{"new privileges", "NoNewPrivs:\t1", "NoNewPrivs:\t0", true},
		{"not shown", "CapPrm", "CapXxx", true},
	}
	for _, tt := range tests {
		bad := strings.Replace(good, tt.from, tt.to, 1)
		if err := checkStatus(bad, tt.bounded); bad == good || err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
	if err := checkStatus(strings.Replace(good, "CapBnd:\t0", "CapBnd:\t1", 1), false); err != nil {
		t.Errorf("a bounding set that may not be cleared: %v", err)
	}
}
