package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// notifySocket is where systemd would listen.
func notifySocket(t *testing.T, dir string) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return path, func() string {
		conn.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("systemd was told nothing: %v", err)
		}
		return string(buf[:n])
	}
}

func TestSystemdIsToldWhoServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	path, next := notifySocket(t, w.dir)
	x, p := w.execute([]string{"NOTIFY_SOCKET=" + path})
	if got := next(); got != "READY=1" {
		t.Errorf("at start %q, want READY=1", got)
	}
	p.await("app.test", 200, "web ")
	p.client.CloseIdleConnections()
	y := execute(t, []string{"NOTIFY_SOCKET=" + path}, p.args...)
	// In this order: systemd hears the new one only once it is the main process.
	if got, want := next()+" "+next(), fmt.Sprintf("MAINPID=%d READY=1", y.cmd.Process.Pid); got != want {
		t.Errorf("at the handover %q, want %q", got, want)
	}
	x.code()
	y.cmd.Process.Signal(os.Interrupt)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("at the end %q, want STOPPING=1, and nothing of the old process's end", got)
	}
	y.code()
}

// A socket that systemd opened is served, by its name or by its address. The
// shell stands in for systemd: it knows the id of the process it becomes.
func TestSocketsOfSystemdAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	var files []*os.File
	var addrs []string
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		addrs = append(addrs, ln.Addr().String())
		ln.Close() // file keeps it open
		files = append(files, file)
	}
	sh := filepath.Join(w.dir, "systemd")
	content := "#!/bin/sh\nexport LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=http:unknown:nobodys\nexec " + os.Args[0] + " \"$@\"\n"
	if err := os.WriteFile(sh, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sh, "run", "--docker-host", w.engine.Host(), "--http", ":80", "--http", "second="+addrs[1], "--data-dir", filepath.Join(w.dir, "d"), "--log-format", "json")
	cmd.ExtraFiles = files
	x := launch(t, cmd, nil)
	for _, addr := range addrs[:2] {
		p := &proxy{TB: t, addr: addr}
		p.client = p.newClient()
		p.await("app.test", 200, "web ")
		p.client.CloseIdleConnections()
	}
	if !lineWith(x.stderr(), "inherited port closed", addrs[2]) {
		t.Errorf("the log does not name the socket that nobody wanted:\n%s", x.stderr())
	}
}

func TestOtherFilesOfSystemdAreRefused(t *testing.T) {
	t.Parallel()
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer wr.Close()
	if _, err := passed([]*os.File{r}, nil); err == nil || !strings.Contains(err.Error(), "socket 1 that systemd passes") || !strings.Contains(err.Error(), "ListenStream=") {
		t.Errorf("a pipe: %v, want it refused, with what to write", err)
	}
	if r.Close() == nil {
		t.Error("the pipe is still open")
	}
}
