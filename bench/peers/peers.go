// Package peers knows the proxies that are compared, one file each: how it is
// told to do the work that all of them do.
//
// That work: every host of Config goes to Origin over kept connections, the
// client's address, scheme and host are passed on in X-Forwarded-For, -Proto,
// -Host and X-Real-IP, each request is written to an access log (unless Config
// says no) and counted, one worker.
package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Config is one run of a proxy.
type Config struct {
	Dir        string         // its own, for whatever it writes
	Plain, TLS netip.AddrPort // where it listens; TLS may be none
	Admin      netip.AddrPort // for metrics, if it has a listener for them
	Origin     netip.AddrPort
	Hosts      []string
	AccessLog  bool
	Site       string // directory that those who serve files have at FilesHost
	Cert, Key  string // PEM files for all hosts, signed by CA
	CA         string // PEM file
	Profile    string // file for a profile of our binary's processor time; "" for none
}

// FilesHost is the host whose answers are files: plain HTTP alone, no origin.
const FilesHost = "files.bench.test"

func (c Config) path(name string) string { return filepath.Join(c.Dir, name) }

// LogFile is where the access log is.
func (c Config) LogFile() string { return c.path("access.log") }

// write writes the files a peer reads, by name.
func (c Config) write(files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(c.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A Peer is a proxy that can be measured.
type Peer struct {
	Name    string
	Binary  string   // name or path
	Version []string // arguments that make it print its version

	// Prepare writes what the proxy reads.
	Prepare func(Config) error
	// Args are what it is started with.
	Args func(Config) []string
	Env  func(Config) []string // added to the environment; nil: none
	// LogsToStdout says that the access log comes by standard output.
	LogsToStdout bool
	// Beside runs beside the proxy until ctx ends, if the proxy needs it. It
	// calls ready once.
	Beside      func(ctx context.Context, c Config, ready func()) error
	ServesFiles bool
	// Root is the authority of its certificates; nil: Config.CA.
	Root func(Config) string
	// Metrics is the URL path below Config.Admin where counters can be read;
	// "" where it is none.
	Metrics string
	// Mallocs returns how many objects the process has allocated so far; nil if
	// it cannot say.
	Mallocs func(context.Context, Config) (uint64, error)
}

// ErrMissing is the error of a program that is not installed.
var ErrMissing = errors.New("not installed")

// Find resolves Binary.
func (p *Peer) Find() error {
	path, err := exec.LookPath(p.Binary)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", p.Name, p.Binary, ErrMissing)
	}
	p.Binary, err = filepath.Abs(path)
	return err
}

// VersionText is the first line of what it says of its version.
func (p *Peer) VersionText(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, p.Binary, p.Version...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if line == "" && err != nil {
		return err.Error()
	}
	return line
}

// known are the peers by the name they are asked for.
var known = map[string]func() *Peer{
	"nginx": nginx, "nginx-tuned": nginxTuned, "haproxy": haproxy, "caddy": caddy, "traefik": traefik,
}

// Parse reads a list such as "nginx,haproxy,traefik=/opt/traefik": a name, and
// the path of its binary unless it is the one in PATH.
func Parse(list string) ([]*Peer, error) {
	var out []*Peer
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, path, given := strings.Cut(item, "=")
		build := known[name]
		if build == nil {
			return nil, fmt.Errorf("peer %q is not known: want nginx, nginx-tuned, haproxy, caddy or traefik", name)
		}
		p := build()
		if given {
			p.Binary = path
		}
		out = append(out, p)
	}
	return out, nil
}
