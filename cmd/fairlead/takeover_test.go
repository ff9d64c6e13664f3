package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// A port that cannot be had is told with what to do about it.
func TestAPortThatCannotBeHadIsExplained(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before *predecessor
		err    error
		want   string
	}{
		{"another program's", nil, syscall.EADDRINUSE, "ss -ltnp"},
		{"the predecessor's", &predecessor{}, syscall.EADDRINUSE, "the running fairlead may have it"},
		{"root's", nil, syscall.EACCES, "ip_unprivileged_port_start"},
		{"no address of this machine", nil, syscall.EADDRNOTAVAIL, "cannot assign"},
	} {
		err := (&process{predecessor: tt.before}).inUse(fmt.Errorf("bind :80: %w", tt.err))
		if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", tt.name, err, tt.want)
		}
	}
}
