package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/internal/http1"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/pflag"
)

// settings are what the operator decides about the process, by flag or by
// environment variable. There is no configuration file.
type settings struct {
	dockerHost, dockerCA, dockerCert, dockerKey string

	labelPrefix, domain, network string
	projects, defaults           []string
	shareHosts                   []string
	claimGrace                   time.Duration
	secretsDir, routes           string

	http      []string
	https     []string
	httpsPort int
	dataDir   string
	admin     string

	internalNames                          []string
	acmeDirectory, acmeCABundle, acmeEmail string
	acmeEABKeyID, acmeEABHMAC              string

	trustedProxies            []string
	engine                    string
	handshakeTimeout          time.Duration
	headTimeout, idleTimeout  time.Duration
	writeStall                time.Duration
	minBodyRate, maxHeadBytes string
	maxFields                 int
	maxRequestsPerConn        int
	maxClientConns            int
	maxConnsPerIP             int
	shutdownTimeout           time.Duration
	upgradeDrain              time.Duration

	assets assets.Limits

	logLevel, logFormat, accessLog string
	cpuProfile                     string
}

// envPrefix is what the environment variables of settings begin with.
const envPrefix = "FAIRLEAD_"

// inImage marks the file system of our image.
const inImage = "/.fairlead-image"

// flags declares every setting.
func (s *settings) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&s.dockerHost, "docker-host", "", "engine: unix:///path or tcp://host:port (default $DOCKER_HOST, else unix:///var/run/docker.sock)")
	f.StringVar(&s.dockerCA, "docker-tls-ca", "", "PEM file with the authority of an engine behind TLS")
	f.StringVar(&s.dockerCert, "docker-tls-cert", "", "PEM file with the client certificate for it")
	f.StringVar(&s.dockerKey, "docker-tls-key", "", "PEM file with its key")

	f.StringVar(&s.labelPrefix, "label-prefix", "fairlead", "what labels begin with")
	f.StringVar(&s.domain, "domain", "localhost", "domain of the hosts that the label enable gives")
	f.StringVar(&s.network, "network", "", "network preferred where a container shares several with the proxy")
	f.StringArrayVar(&s.projects, "project", nil, "serve only the containers of this compose project (repeatable)")
	f.StringArrayVar(&s.defaults, "default", nil, "KEY=VALUE: a policy label for all routes (repeatable)")
	f.StringArrayVar(&s.shareHosts, "share-host", nil, "HOST (or *) to which any owner may add routes (repeatable)")
	durationVar(f, &s.claimGrace, "claim-grace", spec.Remember, "how long a vanished owner keeps its hosts")
	f.StringVar(&s.secretsDir, "secrets-dir", "/run/secrets", "directory below which labels may name files")
	f.StringVar(&s.routes, "routes", "", "YAML file of routes to targets outside Docker, read again when it changes")

	f.StringArrayVar(&s.http, "http", []string{":80"}, "[NAME=]ADDRESS to listen on, or off (repeatable)")
	f.StringArrayVar(&s.https, "https", []string{":443"}, "[NAME=]ADDRESS to listen on for HTTPS, or off (repeatable)")
	f.IntVar(&s.httpsPort, "https-port", 0, "port by which clients reach HTTPS, for redirects (default: as published or listened on)")
	f.StringVar(&s.dataDir, "data-dir", defaultDataDir(), "directory for what outlives the process, 0700")
	adminFlag(f, &s.admin)

	f.StringVar(&s.acmeDirectory, "acme-directory", acme.LetsEncrypt, "directory URL of the authority for public names, or off")
	f.StringVar(&s.acmeCABundle, "acme-ca-bundle", "", "PEM file of the authorities that vouch for the directory's own host")
	f.StringVar(&s.acmeEmail, "acme-email", "", "address given to the authority")
	f.StringVar(&s.acmeEABKeyID, "acme-eab-kid", "", "key id of an external account binding")
	f.StringVar(&s.acmeEABHMAC, "acme-eab-hmac", "", "its key, in base64url")
	f.StringArrayVar(&s.internalNames, "internal-names", nil, "NAME below which the internal authority may sign, besides localhost, local, internal, home.arpa and test (repeatable)")

	f.StringArrayVar(&s.trustedProxies, "trusted-proxies", nil, "networks whose X-Forwarded-* headers are believed (repeatable, or comma-separated)")
	f.StringVar(&s.engine, "engine", ownEngine, "HTTP/1.1 engine: fairlead, or std for net/http's")
	durationVar(f, &s.handshakeTimeout, "handshake-timeout", 10*time.Second, "longest TLS handshake")
	durationVar(f, &s.headTimeout, "head-timeout", 10*time.Second, "longest wait for the head of a request")
	durationVar(f, &s.idleTimeout, "idle-timeout", 75*time.Second, "longest wait between requests on a connection")
	f.StringVar(&s.minBodyRate, "min-body-rate", "1k", "slowest request body, in bytes per second, over 20 seconds; off for any")
	durationVar(f, &s.writeStall, "write-stall", 30*time.Second, "longest wait for a client to accept 64 KiB of an answer")
	f.StringVar(&s.maxHeadBytes, "max-head-bytes", "64k", "largest head of a request")
	f.IntVar(&s.maxFields, "max-fields", 200, "most header fields of a request, up to 1000")
	f.IntVar(&s.maxRequestsPerConn, "max-requests-per-conn", 0, "most requests on a connection of HTTP/1.1, 0 for no limit")
	f.IntVar(&s.maxClientConns, "max-client-conns", 0, "most client connections at once, 0 for no limit; beyond it idle ones are given up first")
	f.IntVar(&s.maxConnsPerIP, "max-conns-per-ip", 0, "most connections of one client address (IPv6: /64), 0 for no limit")
	durationVar(f, &s.shutdownTimeout, "shutdown-timeout", 30*time.Second, "how long requests may go on after SIGTERM")
	durationVar(f, &s.upgradeDrain, "upgrade-drain", 10*time.Minute, "how long requests and WebSockets may go on after another process took over")

	sizeVar(f, &s.assets.Total, "assets-max-total", 5<<30, "most bytes kept of files copied out of containers, in --data-dir")
	sizeVar(f, &s.assets.Copy, "assets-max-copy", 1<<30, "most bytes copied out of one container")
	sizeVar(f, &s.assets.File, "assets-max-file", 256<<20, "largest file copied")
	f.IntVar(&s.assets.Entries, "assets-max-entries", 100_000, "most files and directories copied out of one container")
	durationVar(f, &s.assets.Time, "assets-copy-timeout", 30*time.Second, "longest copy: a container cannot be stopped meanwhile")

	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "auto", "json, console, or auto: console on a terminal")
	f.StringVar(&s.accessLog, "access-log", "stdout", "stdout, off, or a file (opened again on SIGUSR1 and SIGHUP)")
	s.profileFlag(f)
	for _, name := range laterFlags {
		f.StringArray(name, nil, "not yet")
		f.MarkHidden(name)
	}
}

// durationVar declares a flag whose value is written as in a label: 30s, 7d.
func durationVar(f *pflag.FlagSet, to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	f.Var((*duration)(to), name, usage)
}

// sizeVar declares a flag whose value is written as in a label: 512, 64k, 5g.
func sizeVar(f *pflag.FlagSet, to *int64, name string, value int64, usage string) {
	*to = value
	f.Var((*size)(to), name, usage)
}

type size int64

func (n *size) String() string { return label.BriefSize(int64(*n)) }
func (n *size) Type() string   { return "size" }

func (n *size) Set(text string) error {
	bytes, err := label.ParseSize(text)
	if err != nil {
		return fmt.Errorf("%s %w", text, err)
	}
	*n = size(bytes)
	return nil
}

type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }
func (d *duration) Type() string   { return "duration" }

func (d *duration) Set(text string) error {
	n, err := label.ParseDuration(text)
	if ve, ok := errors.AsType[*label.ValueError](err); ok && ve.Suggest != "" {
		return fmt.Errorf("%s %w, did you mean %q?", text, err, ve.Suggest)
	}
	*d = duration(n)
	return err
}

// laterFlags are settings of the contract that are not built yet. They are
// accepted, with a warning, so that one set of flags fits every version.
var laterFlags = []string{
	"http3", "cert", "auth",
}

func adminFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "admin", "", "control socket (default DATA-DIR/admin.sock)")
}

// defaultDataDir is /var/lib/fairlead as root or in the image, else below the
// user's own data directory.
func defaultDataDir() string {
	if _, err := os.Stat(inImage); err == nil || os.Geteuid() == 0 {
		return "/var/lib/fairlead"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fairlead")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "/var/lib/fairlead"
	}
	return filepath.Join(home, ".local", "share", "fairlead")
}

// fromEnv sets the flags of f that were not given from the environment. A
// variable of ours that names no setting is refused: it would be a mistake that
// nobody notices.
func fromEnv(f *pflag.FlagSet, environ []string) error {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&settings{}).flags(all)
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || strings.HasPrefix(name, spec.SecretEnv) {
			continue
		}
		flag := strings.ToLower(strings.ReplaceAll(rest, "_", "-"))
		if all.Lookup(flag) == nil || rest != strings.ToUpper(rest) {
			return unknownEnv(all, name, flag)
		}
		own := f.Lookup(flag)
		if own == nil || own.Changed {
			continue
		}
		for _, v := range envValues(own, value) {
			if err := f.Set(flag, v); err != nil {
				return fmt.Errorf("environment variable %s=%q: %w", name, value, err)
			}
		}
	}
	return nil
}

func unknownEnv(all *pflag.FlagSet, name, flag string) error {
	var known []string
	all.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	msg := "environment variable " + name + " is no setting"
	if near := label.Nearest(flag, slices.Values(known)); near != "" {
		msg += ", did you mean " + envName(near) + "?"
	}
	return errors.New(msg)
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// envValues splits the value of a repeatable setting: at lines, and at commas
// where no item can have one.
func envValues(f *pflag.Flag, value string) []string {
	if f.Value.Type() != "stringArray" {
		return []string{value}
	}
	if f.Name != "default" {
		value = strings.ReplaceAll(value, ",", "\n")
	}
	var out []string
	for line := range strings.SplitSeq(value, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// flagError adds what was probably meant to an unknown flag.
func flagError(err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&settings{}).flags(all)
	var known []string
	all.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := label.Nearest(name, slices.Values(known)); near != "" {
		return fmt.Errorf("%w, did you mean --%s?", err, near)
	}
	return err
}

// prefixText is what --label-prefix may be: labels are cut at their first dot.
var prefixText = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func wrongPrefix(text string) error {
	return fmt.Errorf("--label-prefix %q: want letters, digits, - and _", text)
}

func isName(h spec.Host) bool {
	_, addr := h.Addr()
	return h.Kind == spec.ExactHost && !addr
}

// check refuses values that every type of flag lets through, and brings hosts
// into the form in which they are compared.
func (s *settings) check() error {
	if !prefixText.MatchString(s.labelPrefix) {
		return wrongPrefix(s.labelPrefix)
	}
	if h, err := spec.ParseHostPattern(s.domain); err != nil || !isName(h) {
		return fmt.Errorf("--domain %s: want a host name such as example.com", s.domain)
	}
	for i, text := range s.internalNames {
		h, err := spec.ParseHostPattern(strings.TrimPrefix(strings.TrimPrefix(text, "*"), "."))
		if err != nil || !isName(h) {
			return fmt.Errorf("--internal-names %s: want a name such as lan or corp.example.com", text)
		}
		s.internalNames[i] = h.Text
	}
	if s.httpsPort < 0 || s.httpsPort > 65535 {
		return fmt.Errorf("--https-port %d: want a port from 1 to 65535", s.httpsPort)
	}
	for i, text := range s.shareHosts {
		if strings.HasPrefix(text, "~") {
			continue
		}
		h, err := spec.ParseHostPattern(text)
		if err != nil {
			return fmt.Errorf("--share-host %s: %w", text, err)
		}
		s.shareHosts[i] = h.String()
	}
	return s.checkLimits()
}

// checkLimits refuses limits that would be none where there has to be one.
func (s *settings) checkLimits() error {
	if s.maxFields < 1 || s.maxFields > http1.MaxFields {
		return fmt.Errorf("--max-fields %d: want 1 to %d", s.maxFields, http1.MaxFields)
	}
	for name, n := range map[string]int{"max-client-conns": s.maxClientConns, "max-conns-per-ip": s.maxConnsPerIP, "max-requests-per-conn": s.maxRequestsPerConn} {
		if n < 0 {
			return fmt.Errorf("--%s %d: want 0 for no limit, or more", name, n)
		}
	}
	for name, d := range map[string]time.Duration{
		"handshake-timeout": s.handshakeTimeout, "head-timeout": s.headTimeout, "idle-timeout": s.idleTimeout, "write-stall": s.writeStall,
	} {
		if d <= 0 {
			return fmt.Errorf("--%s %s: want more than 0", name, d)
		}
	}
	for name, d := range map[string]time.Duration{"claim-grace": s.claimGrace, "shutdown-timeout": s.shutdownTimeout, "upgrade-drain": s.upgradeDrain} {
		if d < 0 {
			return fmt.Errorf("--%s %s: want 0 or more", name, d)
		}
	}
	for name, n := range map[string]int64{
		"assets-max-total": s.assets.Total, "assets-max-copy": s.assets.Copy, "assets-max-file": s.assets.File,
		"assets-max-entries": int64(s.assets.Entries), "assets-copy-timeout": int64(s.assets.Time),
	} {
		if n <= 0 {
			return fmt.Errorf("--%s: want more than 0", name)
		}
	}
	return nil
}

// adminSocket returns where the control socket is.
func adminSocket(admin, dataDir string) string {
	if admin != "" {
		return admin
	}
	return filepath.Join(dataDir, "admin.sock")
}

// entryPoints reads --http and --https.
func (s *settings) entryPoints() ([]server.EntryPoint, error) {
	plain, err := readEntries("http", s.http)
	if err != nil {
		return nil, err
	}
	secure, err := readEntries("https", s.https)
	for i := range secure {
		secure[i].TLS = true
	}
	return append(plain, secure...), err
}

// readEntries reads the values of a flag: [NAME=]ADDRESS, or off. A plain and a
// TLS listener may have the same name: the label listen then means both.
func readEntries(flag string, values []string) ([]server.EntryPoint, error) {
	var points []server.EntryPoint
	for _, text := range values {
		if text == "off" {
			continue
		}
		name, addr, named := strings.Cut(text, "=")
		if !named {
			name, addr = flag, text
			if len(points) > 0 {
				name = fmt.Sprintf("%s%d", flag, len(points)+1)
			}
		}
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return nil, fmt.Errorf("--%s %s: want [NAME=]HOST:PORT or [NAME=]:PORT, such as :8080 or lan=192.168.1.2:80", flag, text)
		}
		if slices.ContainsFunc(points, func(p server.EntryPoint) bool { return p.Name == name }) {
			return nil, fmt.Errorf("--%s %s: the name %s is taken", flag, text, name)
		}
		points = append(points, server.EntryPoint{Name: name, Addr: addr})
	}
	return points, nil
}

// trusted reads --trusted-proxies.
func (s *settings) trusted() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range s.trustedProxies {
		for _, item := range label.SplitList(text) {
			p, err := label.ParsePrefix(item)
			if err != nil {
				return nil, fmt.Errorf("--trusted-proxies %s %w", item, err)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// policies reads --default.
func (s *settings) policies(schema *label.Schema) ([]label.Setting, error) {
	var out []label.Setting
	for _, text := range s.defaults {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--default %s: want KEY=VALUE", text)
		}
		if err := schema.CheckDefault(key, value); err != nil {
			return nil, fmt.Errorf("--default %s: %w", text, err)
		}
		out = append(out, label.Setting{Key: key, Text: value, Label: "--default " + key})
	}
	return out, nil
}

// shares reports whether the operator opened host to every owner.
func (s *settings) shares(host string) bool {
	return slices.Contains(s.shareHosts, "*") || slices.Contains(s.shareHosts, host)
}

// bytesOf reads a size such as 64k for the flag called name; off and 0 are -1.
func bytesOf(name, text string) (int, error) {
	if text == "off" || text == "0" {
		return -1, nil
	}
	n, err := label.ParseSize(text)
	if err != nil || n > 1<<30 {
		return 0, fmt.Errorf("--%s %s: want a size such as 512, 64k or 1m", name, text)
	}
	return int(n), nil
}

// unused returns the flags of later versions that were given a value.
func unused(f *pflag.FlagSet) []string {
	given := map[string]bool{}
	f.Visit(func(flag *pflag.Flag) {
		if slices.Contains(laterFlags, flag.Name) {
			given[flag.Name] = true
		}
	})
	return slices.Sorted(maps.Keys(given))
}
