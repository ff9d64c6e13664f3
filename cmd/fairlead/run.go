package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/discovery"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/spec"
	"github.com/fairlead/fairlead/telemetry"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // the image has no authorities of its own
	"golang.org/x/sync/errgroup"
)

func runCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "run", Short: "Run the proxy", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fromEnv(c.Flags(), os.Environ()); err != nil {
				return err
			}
			p, err := newProcess(&s, unused(c.Flags()))
			if err != nil {
				return err
			}
			return p.run(c.Context())
		},
	}
	s.flags(c.Flags())
	return c
}

// A process is the running proxy: every part of it, wired.
type process struct {
	settings *settings
	log      zerolog.Logger
	sink     *telemetry.Sink
	counters telemetry.Counters

	engine  *discovery.Docker
	file    *discovery.RoutesFile // nil without --routes
	watch   *watch
	prober  *upstream.Prober
	certs   *certs.Certificates // nil without an entry point with TLS
	server  *server.Server
	points  []server.EntryPoint // as bound
	leaving atomic.Bool
}

// newProcess checks the settings and wires the parts. It takes no port, opens
// no socket and starts nothing.
func newProcess(s *settings, unused []string) (*process, error) {
	log, err := telemetry.NewLogger(os.Stderr, s.logLevel, s.logFormat)
	if err != nil {
		return nil, err
	}
	for _, name := range unused {
		log.Warn().Str("setting", name).Msg("setting is planned and does nothing yet")
	}
	p := &process{settings: s, log: log}
	if p.sink, err = telemetry.OpenSink(s.accessLog, s.logFormat); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	points, err := s.entryPoints()
	if err != nil {
		return nil, err
	}
	if err := p.wireRouting(points); err != nil {
		return nil, err
	}
	if err := p.wireCertificates(points); err != nil {
		return nil, err
	}
	if err := p.wireServer(points); err != nil {
		return nil, err
	}
	return p, nil
}

// wireRouting sets up the way from labels to the table.
func (p *process) wireRouting(points []server.EntryPoint) error {
	s := p.settings
	schema := routing.Schema(s.labelPrefix)
	defaults, err := s.policies(schema)
	if err != nil {
		return err
	}
	p.engine, err = discovery.New(discovery.Config{
		Host: s.dockerHost, CA: s.dockerCA, Cert: s.dockerCert, Key: s.dockerKey,
		Projects: s.projects, Wants: schema.Mentions, Log: p.log,
	})
	if err != nil {
		return err
	}
	p.prober = &upstream.Prober{
		Confirm: p.engine.Confirm, Log: p.log,
		Away: func(err error) bool { return errors.Is(err, discovery.ErrAway) },
	}
	p.watch = &watch{
		parser: spec.NewParser(spec.Config{Schema: schema, Domain: s.domain, Network: s.network, Defaults: defaults, Entries: entryNames(points), Names: s.names()}),
		claims: &routing.Claims{Grace: s.claimGrace, Share: s.shares, File: filepath.Join(s.dataDir, "claims.json")},
		live:   &routing.Live{}, log: p.log,
		wake: make(chan struct{}, 1), first: make(chan struct{}),
	}
	p.watch.env = &routing.Env{
		Build: build.Build{Log: p.log, Prefix: s.labelPrefix, Now: time.Now, DataDir: s.dataDir, SecretsDir: s.secretsDir, Keeper: &build.Keeper{}},
		NewPool: func(key string, tls spec.UpstreamTLS, b *build.Build) (*upstream.Pool, error) {
			return upstream.New(upstream.Config{Key: key, TLS: tls, Secret: b.Secret, Prober: p.prober, Log: p.log})
		},
	}
	p.prober.OnReady = p.watch.onReady
	if s.routes == "" {
		p.watch.routes = &spec.Snapshot{}
		return nil
	}
	p.file = &discovery.RoutesFile{Path: s.routes, Prefix: s.labelPrefix, Log: p.log}
	return nil
}

// entryNames returns what the label listen may name.
func entryNames(points []server.EntryPoint) []string {
	var names []string
	for _, e := range points {
		for _, name := range []string{e.Name, portOf(e.Addr)} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// wireServer sets up the way of a request to the table.
func (p *process) wireServer(points []server.EntryPoint) error {
	s := p.settings
	trusted, err := s.trusted()
	if err != nil {
		return err
	}
	head, err := bytesOf("max-head-bytes", s.maxHeadBytes)
	if err != nil {
		return err
	}
	rate, err := bytesOf("min-body-rate", s.minBodyRate)
	if err != nil {
		return err
	}
	if s.engine != "std" && s.engine != "fairlead" {
		return fmt.Errorf("--engine %s: want std", s.engine)
	}
	p.server = &server.Server{
		TLS: p.tlsConfig(), ALPN: byProtocol,
		Drain: s.shutdownTimeout, Limits: server.Limits{Conns: s.maxClientConns, ConnsPerIP: s.maxConnsPerIP},
		Log: func(msg string, err error) { p.log.Warn().Err(err).Msg(msg) },
		Engine: func(e server.EntryPoint) server.Engine {
			next := http.Handler(p.watch.live)
			if p.certs != nil && !e.TLS {
				next = p.certs.Tokens(next)
			}
			access := &telemetry.AccessLog{Log: p.sink.Log, Faults: p.log, Counters: &p.counters, Next: next}
			return server.NewStd(server.StdConfig{
				HeadTimeout: s.headTimeout, IdleTimeout: s.idleTimeout, MaxHeadBytes: head, MinBodyRate: rate,
				ErrorLog: func(line string) { p.log.Debug().Str("entry", e.Name).Msg(line) },
				Handler: &exchange.Arrival{
					Trusted: trusted, Gateways: p.watch.hidden, Entry: e.Name,
					EntryPort: portOf(e.Addr), HTTPS: e.TLS,
					CloseChunked: true, // net/http hides a Content-Length beside chunked
					Answered:     access.Note, Next: access,
				},
			})
		},
	}
	err = p.server.Bind(points...)
	p.points = p.server.EntryPoints()
	return err
}

// run serves until a signal ends it. What can go wrong at once goes wrong
// before it serves.
func (p *process) run(ctx context.Context) error {
	s := p.settings
	if err := os.MkdirAll(s.dataDir, 0o700); err != nil && !unwritable(err) {
		return fmt.Errorf("data directory: %w", err)
	}
	if set, err := p.watch.claims.Load(time.Now()); err != nil {
		p.log.Error().Err(err).Str("set_aside", set).Msg("claims could not be read, beginning without")
	}
	ln, err := admin.Listen(adminSocket(s.admin, s.dataDir))
	if unwritable(err) {
		p.log.Error().Err(err).Msg("data directory cannot be written: nothing will outlive this process, and commands such as fairlead routes will not reach it; --admin puts their socket elsewhere")
	} else if err != nil {
		return err
	}
	_, imageErr := os.Stat(inImage)
	if err := dropPrivileges(imageErr == nil, p.engine.Socket(), s.dataDir, p.log); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer p.onSignals(stop)()

	// Requests in progress still need pools and probes while the server drains,
	// so what serves them ends after it.
	support, end := context.WithCancel(context.WithoutCancel(ctx))
	var group, behind errgroup.Group
	behind.Go(func() error { return p.sink.Run(support) })
	behind.Go(func() error { return p.prober.Run(support) })
	behind.Go(func() error { return p.watch.Run(support) })
	if p.certs != nil {
		behind.Go(func() error { return p.certs.Run(support) })
	}
	behind.Go(func() error { return p.engine.Run(support, p.watch.fromEngine) })
	if ln != nil {
		group.Go(func() error { defer stop(); return p.adminServer().Serve(ctx, ln) })
	}
	if p.file != nil {
		group.Go(func() error { defer stop(); return p.file.Run(ctx, p.watch.fromRoutes) })
	}
	group.Go(func() error { defer stop(); return p.serve(ctx) })
	err = group.Wait()
	end()
	err = errors.Join(err, behind.Wait(), p.sink.Close())
	p.log.Info().Msg("stopped")
	return err
}

// unwritable reports whether err is a disk's that is full or read-only: what is
// served does not need one.
func unwritable(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// serve opens the entry points once the first table is complete: nobody is told
// 404 because the list of containers was not read yet.
func (p *process) serve(ctx context.Context) error {
	p.log.Info().Str("version", version).Msg("started, reading containers")
	select {
	case <-ctx.Done():
		return p.server.Close()
	case <-p.watch.first:
	}
	for _, e := range p.server.EntryPoints() {
		p.log.Info().Str("entry", e.Name).Str("address", e.Addr).Msg("listening")
	}
	return p.server.Serve(ctx)
}

// onSignals drains at the first SIGTERM or SIGINT and ends at once at the
// second; SIGUSR1 opens the access log again. It returns what undoes it.
func (p *process) onSignals(drain func()) (undo func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGHUP)
	go p.handleSignals(signals, drain)
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

func (p *process) handleSignals(signals <-chan os.Signal, drain func()) {
	for sig := range signals {
		switch {
		case sig == syscall.SIGHUP:
			p.log.Info().Msg("nothing to reload: labels, the routes file and certificates are watched")
		case sig == syscall.SIGUSR1:
			if err := p.sink.Reopen(); err != nil {
				p.log.Error().Err(err).Msg("access log could not be opened again")
			}
		case p.leaving.Swap(true):
			p.log.Warn().Msg("second signal, ended at once")
			p.sink.Close()
			os.Exit(exitNo)
		default:
			p.log.Info().Stringer("signal", sig).Dur("timeout", p.settings.shutdownTimeout).Msg("draining")
			drain()
		}
	}
}

// ready returns why the proxy should get no traffic, nil if it should.
func (p *process) ready() error {
	if p.leaving.Load() {
		return errors.New("draining")
	}
	select {
	case <-p.watch.first:
		return nil
	default:
	}
	if st := p.engine.Status(); st.LastError != "" {
		return fmt.Errorf("the containers have not been read yet: %s", st.LastError)
	}
	return errors.New("the containers have not been read yet")
}

// adminServer answers the commands.
func (p *process) adminServer() *admin.Server {
	table := func(f func(*routing.Table, *http.Request) (any, error)) func(*http.Request) (any, error) {
		return func(r *http.Request) (any, error) {
			t := p.watch.live.Table()
			if t == nil {
				return nil, admin.Status{Code: http.StatusServiceUnavailable, Err: p.ready()}
			}
			return f(t, r)
		}
	}
	return &admin.Server{
		Ready:   p.ready,
		Actions: map[string]func(*http.Request) (any, error){"certs-retry": p.retryCertificate},
		Sources: map[string]func(*http.Request) (any, error){
			"certs":   p.certificates,
			"ca":      p.rootCertificate,
			"routes":  table(func(t *routing.Table, _ *http.Request) (any, error) { return p.routesView(t), nil }),
			"explain": table(p.explain),
			"status":  func(*http.Request) (any, error) { return p.status(), nil },
		},
	}
}

// statusView is what the proxy says of itself.
type statusView struct {
	Version  string             `json:"version"`
	Engine   discovery.Status   `json:"engine"`
	Requests telemetry.Snapshot `json:"requests"`
	Conns    server.Stats       `json:"connections"`
	LogLost  uint64             `json:"access_log_lines_lost"`
	Kept     int                `json:"states_kept"`
}

func (p *process) status() statusView {
	return statusView{
		Version: version, Engine: p.engine.Status(), Requests: p.counters.Snapshot(), Conns: p.server.Stats(),
		LogLost: p.sink.Dropped(), Kept: p.watch.env.Build.Keeper.Len(),
	}
}
