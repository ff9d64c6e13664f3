package discovery

import "testing"

func TestRemoteIsTheAddressOfAnEngineElsewhere(t *testing.T) {
	for _, c := range []struct{ host, want string }{
		{"unix:///var/run/docker.sock", "invalid IP"},
		{"tcp://127.0.0.1:2375", "invalid IP"},
		{"tcp://192.168.7.5:2376", "192.168.7.5"},
		{"tcp://[fd00::5]:2376", "fd00::5"},
		{"tcp://engine:2375", "invalid IP"},
	} {
		cfg := Config{Host: c.host}
		if got := cfg.remote().String(); got != c.want {
			t.Errorf("remote of %s = %s, want %s", c.host, got, c.want)
		}
	}
}
