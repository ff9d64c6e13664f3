package main

import (
	"errors"
	"os"
	"strconv"
)

// surroundings are what decides whether this process may leave its place to one
// that it starts.
type surroundings struct {
	pid, parent int
	container   bool   // a container's file system
	unit        string // SYSTEMD_EXEC_PID: the process that systemd started
	notified    bool   // systemd listens to us
}

func surroundingsNow() surroundings {
	s := surroundings{pid: os.Getpid(), parent: os.Getppid(), unit: os.Getenv("SYSTEMD_EXEC_PID"), notified: os.Getenv("NOTIFY_SOCKET") != ""}
	for _, mark := range []string{inImage, "/.dockerenv", "/run/.containerenv"} {
		_, err := os.Stat(mark)
		s.container = s.container || err == nil
	}
	return s
}

// endsContainer reports whether the container ends with this process: as its
// first one, or as the one that its init runs.
func (s surroundings) endsContainer() bool { return s.pid == 1 || s.container && s.parent == 1 }

// stays returns why no process that this one starts would outlive it, nil if
// one would.
func (s surroundings) stays() error {
	switch {
	case s.endsContainer():
		return errors.New("the container ends with its first process, and what that started with it: start a second container, which takes over, then stop the first: " +
			"docker compose up -d --no-recreate --scale fairlead=2 (docs/upgrade.md)")
	case s.unit == strconv.Itoa(s.pid) && !s.notified:
		return errors.New("systemd would end the new process with this one, since its unit is not told of changes: write Type=notify into the unit (docs/upgrade.md)")
	}
	return nil
}
