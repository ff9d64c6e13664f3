package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/docker/docker/client"
	"github.com/rs/zerolog"
)

// Config says which engine to watch and what of it is of interest. The zero
// value watches everything on the engine that $DOCKER_HOST names.
type Config struct {
	// Host is the engine: unix:///path or tcp://host:port. Empty: $DOCKER_HOST,
	// else unix:///var/run/docker.sock.
	Host string
	// CA, Cert and Key are PEM files for an engine behind TLS. All empty: those
	// of $DOCKER_CERT_PATH, verified as $DOCKER_TLS_VERIFY says.
	CA, Cert, Key string
	// Projects keeps only the containers of these compose projects (and the
	// proxy's own); empty keeps all.
	Projects []string
	// Wants says by its labels whether a container is worth an inspect; nil: all
	// are. The others are handed over too, from what lists and events say.
	Wants func(labels map[string]string) bool
	Log   zerolog.Logger

	// SelfID names the proxy's own container; nil: it is found out from /proc
	// and the hostname.
	SelfID func() string
	// LocalAddrs are the addresses of this network namespace; nil: those of its
	// interfaces.
	LocalAddrs func() []netip.Addr
	Timing     Timing
}

// Timing holds every interval of discovery. Zero fields take the default.
type Timing struct {
	Quiet      time.Duration // a change that adds waits for so much silence (20 ms)
	Burst      time.Duration // but no longer than this (250 ms)
	Reconcile  time.Duration // between two lists (10 s)
	Call       time.Duration // longest wait for any answer but the event stream (5 s)
	List       time.Duration // longest wait for a list of all containers (10 s)
	Confirm    time.Duration // longest wait for a confirmation (250 ms)
	Stop       time.Duration // what a container without StopTimeout gets to stop (10 s, the engine's default)
	DrainGrace time.Duration // added to it before a container told to stop is looked at again (5 s)
	RetryMin   time.Duration // first pause before the engine is tried again (100 ms)
	RetryMax   time.Duration // longest such pause (2 s)
	Remember   time.Duration // how long a removed container is shown as gone (spec.Remember)
}

func (t Timing) withDefaults(remember time.Duration) Timing {
	return Timing{
		Quiet:      cmp.Or(t.Quiet, 20*time.Millisecond),
		Burst:      cmp.Or(t.Burst, 250*time.Millisecond),
		Reconcile:  cmp.Or(t.Reconcile, 10*time.Second),
		Call:       cmp.Or(t.Call, 5*time.Second),
		List:       cmp.Or(t.List, 10*time.Second),
		Confirm:    cmp.Or(t.Confirm, 250*time.Millisecond),
		Stop:       cmp.Or(t.Stop, 10*time.Second),
		DrainGrace: cmp.Or(t.DrainGrace, 5*time.Second),
		RetryMin:   cmp.Or(t.RetryMin, 100*time.Millisecond),
		RetryMax:   cmp.Or(t.RetryMax, 2*time.Second),
		Remember:   cmp.Or(t.Remember, remember),
	}
}

// host is the engine's address with the environment and the default applied.
func (c *Config) host() string {
	return cmp.Or(c.Host, os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
}

func (c *Config) validate() error {
	u, err := client.ParseHostURL(c.host())
	if err != nil {
		return fmt.Errorf("docker host %q: want unix:///path or tcp://host:port", c.host())
	}
	switch u.Scheme {
	case "unix":
	case "tcp", "http", "https":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return fmt.Errorf("docker host %q: %w", c.host(), err)
		}
	default:
		return fmt.Errorf("docker host %q: %s is not supported, use unix:// or tcp:// (for ssh, forward the socket)", c.host(), u.Scheme)
	}
	if (c.Cert == "") != (c.Key == "") {
		return errors.New("docker-tls-cert and docker-tls-key go together")
	}
	if _, _, err := newClient(c, "", nil); err != nil {
		return err
	}
	return nil
}

// tls says how the client finds its certificates: the configured files, else
// the environment that the docker command reads.
func (c *Config) tls() client.Opt {
	if c.CA != "" || c.Cert != "" {
		return client.WithTLSClientConfig(c.CA, c.Cert, c.Key)
	}
	return client.WithTLSClientConfigFromEnv()
}

func interfaceAddrs() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}
