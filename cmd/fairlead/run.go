package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/discovery"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/statefile"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/server/h1"
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
			limitMemory(p.log)
			return profiled(s.cpuProfile, func() error { return p.run(c.Context()) })
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

	engine     *discovery.Docker
	file       *discovery.RoutesFile // nil without --routes
	readRoutes chan struct{}         // holds one: file is to be read again
	watch      *watch
	orders     *orderBook
	assets     *assets.Store
	prober     *upstream.Prober
	certs      *certs.Certificates // nil without an entry point with TLS
	server     *server.Server
	points     []server.EntryPoint // as bound
	limits     httpLimits
	probes     exchange.Probes
	reading    spec.Config // of labels
	engines    engines
	leaving    atomic.Bool

	open         chan struct{} // closed when the entry points are served
	reached      chan struct{} // closed when they are served by this process alone
	predecessor  *predecessor  // nil if nothing ran before
	handover     handover
	invocation   invocation
	surroundings surroundings
}

// newProcess checks the settings, wires the parts and takes the ports, from a
// proxy that runs already if there is one. It opens none and starts nothing.
func newProcess(s *settings, unused []string) (*process, error) {
	stderr := openStderr()
	log, err := telemetry.NewLogger(stderr, s.logLevel, s.logFormat)
	if err != nil {
		return nil, err
	}
	for _, name := range unused {
		log.Warn().Str("setting", name).Msg("setting is planned and does nothing yet")
	}
	p := &process{
		settings: s, log: log, open: make(chan struct{}), reached: make(chan struct{}),
		handover: handover{done: make(chan struct{})}, invocation: thisInvocation(), surroundings: surroundingsNow(),
	}
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
	return p, settleStderr()
}

// wireRouting sets up the way from labels to the table.
func (p *process) wireRouting(points []server.EntryPoint) error {
	s := p.settings
	schema := routing.Schema(s.labelPrefix)
	reader, err := s.reader(schema, points)
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
	p.orders = &orderBook{file: statefile.File(filepath.Join(s.dataDir, "control.json")), log: p.log}
	p.assets = assets.NewStore(assets.Config{Dir: filepath.Join(s.dataDir, "assets"), Fetch: p.fetchFiles, Limits: s.assets, Log: p.log, Now: time.Now})
	p.reading = reader
	p.watch = &watch{
		orders: p.orders,
		parser: spec.NewParser(p.reading),
		claims: &routing.Claims{Grace: s.claimGrace, Share: s.shares, File: filepath.Join(s.dataDir, "claims.json")},
		live:   &routing.Live{}, log: p.log,
		wake: make(chan struct{}, 1), first: make(chan struct{}), pen: newPen(), asked: make(chan chan<- *routing.Ledger),
	}
	sticky := sync.OnceValue(func() []byte { return stickyKey(s.dataDir, p.log) })
	p.watch.env = &routing.Env{
		Build: build.Build{Log: p.log, Prefix: s.labelPrefix, Now: time.Now, DataDir: s.dataDir, SecretsDir: s.secretsDir, Assets: p.assets, Keeper: &build.Keeper{}},
		NewPool: func(key string, tls spec.UpstreamTLS, b *build.Build) (*upstream.Pool, error) {
			return upstream.New(upstream.Config{Key: key, TLS: tls, Secret: b.Secret, StickyKey: sticky(), Prober: p.prober, Log: p.log, Poison: poison})
		},
	}
	p.prober.OnReady = p.watch.onReady
	if s.routes == "" {
		p.watch.routes = &spec.Snapshot{}
		return nil
	}
	p.readRoutes = make(chan struct{}, 1)
	p.file = &discovery.RoutesFile{Path: s.routes, Prefix: s.labelPrefix, Log: p.log, Again: p.readRoutes}
	return nil
}

// reader returns how labels are read.
func (s *settings) reader(schema *label.Schema, points []server.EntryPoint) (spec.Config, error) {
	defaults, err := s.policies(schema)
	return spec.Config{Schema: schema, Domain: s.domain, Network: s.network, Defaults: defaults, Entries: entryNames(points), Names: s.names()}, err
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
	if p.limits, err = s.httpLimits(); err != nil {
		return err
	}
	p.server = &server.Server{
		TLS: p.tlsConfig(), ALPN: byProtocol,
		Drain: s.shutdownTimeout, Courtesy: s.idleTimeout,
		HandedDrain: max(s.upgradeDrain, 1), // there 0 is the default, here it is none

		HandshakeTimeout: s.handshakeTimeout,
		Limits:           server.Limits{Conns: s.maxClientConns, ConnsPerIP: s.maxConnsPerIP, Stall: s.writeStall},
		Log:              func(msg string, err error) { p.log.Warn().Err(err).Msg(msg) },
		Serving:          func() { close(p.open) },
		Engine:           func(e server.EntryPoint) server.Engine { return p.newEngine(e, p.arrival(e, trusted)) },
	}
	if err := p.inherit(points); err != nil {
		return err
	}
	if err := p.server.Bind(points...); err != nil {
		err = p.inUse(err)
		p.giveUp(err)
		return err
	}
	p.points = p.server.EntryPoints()
	return nil
}

// arrival returns the first handler of an entry point.
func (p *process) arrival(e server.EntryPoint, trusted []netip.Prefix) http.Handler {
	next := http.Handler(p.watch.live)
	if p.certs != nil && !e.TLS {
		next = p.certs.Tokens(next)
	}
	access := &telemetry.AccessLog{Lines: p.sink.Lines, Faults: p.log, Counters: &p.counters, Next: next}
	a := p.arrivalAt(e, trusted, access)
	a.CloseChunked = p.settings.engine == stdEngine // net/http hides a Content-Length beside chunked
	a.Leaving, a.Answered, a.Probe = p.server.Leaving, access.Note, p.probes.Of
	return a
}

// arrivalAt returns what meets requests of an entry point: those that are served, and
// those that are only explained.
func (p *process) arrivalAt(e server.EntryPoint, trusted []netip.Prefix, next http.Handler) *exchange.Arrival {
	return &exchange.Arrival{
		Trusted: trusted, Gateways: p.watch.hidden, Entry: e.Name,
		EntryPort: portOf(e.Addr), HTTPS: e.TLS, Next: next,
	}
}

// run serves until a signal ends it, or until another process has taken over and
// what went on has ended. What can go wrong at once goes wrong before it serves.
func (p *process) run(ctx context.Context) (err error) {
	defer func() { p.giveUp(err) }()
	s := p.settings
	if err := os.MkdirAll(s.dataDir, 0o700); err != nil && !unwritable(err) {
		return fmt.Errorf("data directory: %w", err)
	}
	if set, err := p.watch.claims.Load(time.Now()); err != nil {
		p.log.Error().Err(err).Str("set_aside", set).Msg("claims could not be read, beginning without")
	}
	if set, err := p.orders.load(); err != nil {
		p.log.Error().Err(err).Str("set_aside", set).Msg("orders of drain and maintenance could not be read, beginning without")
	}
	ln, err := p.listenAdmin()
	if err != nil {
		return err
	}
	_, imageErr := os.Stat(inImage)
	if err := dropPrivileges(imageErr == nil, p.engine.Socket(), s.dataDir, p.log); err != nil {
		return err
	}
	if err := p.assets.Load(); err != nil {
		p.log.Error().Err(err).Msg("copied files could not be read, they are copied again")
	}
	told, tell := context.WithCancel(ctx)
	defer tell()
	defer p.onSignals(tell)()
	err = p.work(told, ln)
	if p.handover.takenBy() != nil && p.surroundings.endsContainer() {
		// Ending would end the container, which its restart policy starts again:
		// it would take over in turn, for ever.
		p.log.Info().Msg("drained, waiting to be stopped: the container ends with this process")
		<-told.Done()
	}
	err = errors.Join(err, p.sink.Close())
	p.log.Info().Msg("stopped")
	return err
}

// work runs every part until ctx ends or there is nothing left to do.
func (p *process) work(ctx context.Context, ln *admin.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Requests in progress still need pools and probes while the server drains,
	// so what serves them ends after it.
	support, end := context.WithCancel(context.WithoutCancel(ctx))
	var group, behind errgroup.Group
	behind.Go(func() error { return p.sink.Run(support) })
	behind.Go(func() error { return p.prober.Run(support) })
	behind.Go(func() error { return p.watch.Run(support) })
	if p.certs != nil {
		behind.Go(func() error { return p.untilTakenOver(support, p.certs.Run) })
	}
	behind.Go(func() error { return p.untilTakenOver(support, p.assets.Run) })
	behind.Go(func() error { return p.engine.Run(support, p.watch.fromEngine) })
	if ln != nil {
		group.Go(func() error { defer stop(); return p.adminServer().Serve(ctx, ln) })
	}
	if p.file != nil {
		group.Go(func() error { defer stop(); return p.file.Run(ctx, p.watch.fromRoutes) })
	}
	group.Go(func() error { defer stop(); return p.serve(ctx) })
	group.Go(func() error {
		err := p.succeed(ctx, ln)
		if err != nil {
			stop()
		}
		return err
	})
	err := group.Wait()
	p.awaitLastLines()
	end()
	return errors.Join(err, behind.Wait())
}

// awaitLastLines waits for those who served the last connections: a connection
// ends before what is logged of it.
func (p *process) awaitLastLines() {
	const limit = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if n := p.counters.Settle(ctx); n > 0 {
		p.log.Warn().Int64("requests", n).Msg("requests did not end with their connections, the access log is without them")
	}
}

// untilTakenOver runs what only one process may do, until ctx ends or another
// process does it.
func (p *process) untilTakenOver(ctx context.Context, run func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		defer stop()
		select {
		case <-p.handover.done:
		case <-ctx.Done():
		}
		return nil
	})
	group.Go(func() error { return run(ctx) })
	return group.Wait()
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
	if p.certs != nil {
		select {
		case <-ctx.Done():
			return p.server.Close()
		case <-p.certs.Stored():
		}
	}
	if p.predecessor != nil {
		p.warm(ctx)
	} else if err := p.orders.save(); err != nil { // without those that ended meanwhile
		p.log.Error().Err(err).Msg("orders could not be saved, they are kept in memory")
	}
	for _, e := range p.server.EntryPoints() {
		p.log.Info().Str("entry", e.Name).Str("address", e.Addr).Msg("listening")
	}
	err := p.server.Serve(ctx)
	if p.handover.takenBy() != nil {
		p.handover.talks.Wait() // whoever asked for it is told
	}
	return err
}

// ready returns why the proxy should get no traffic, nil if it should.
func (p *process) ready() error {
	if p.leaving.Load() {
		return errors.New("draining")
	}
	if to := p.handover.takenBy(); to != nil {
		return fmt.Errorf("handed over to pid %d", to.PID)
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
		Ready: p.ready,
		Actions: map[string]func(*http.Request) (any, error){
			"certs-retry": p.retryCertificate,
			"drain":       table(p.drain),
			"undrain":     table(p.undrain),
			"maintenance": table(p.maintenance),
		},
		Sessions: map[string]func(*http.Request) (func(context.Context, *admin.Session), error){
			"takeover": p.takeover,
			"upgrade":  p.upgrade,
			"send":     p.send,
		},
		Sources: map[string]func(*http.Request) (any, error){
			"certs":     p.certificates,
			"ca":        p.rootCertificate,
			"routes":    table(func(t *routing.Table, _ *http.Request) (any, error) { return p.routesView(t), nil }),
			"explain":   table(p.explain),
			"container": table(p.explainContainer),
			"running":   p.running,
			"status":    func(*http.Request) (any, error) { return p.status(), nil },
		},
	}
}

// statusView is what the proxy says of itself.
type statusView struct {
	PID      int                 `json:"pid"`
	Version  string              `json:"version"`
	Engine   discovery.Status    `json:"engine"`
	Requests telemetry.Snapshot  `json:"requests"`
	Conns    server.Stats        `json:"connections"`
	HTTP1    map[string]h1.Stats `json:"http1,omitempty"` // by entry point
	LogLost  uint64              `json:"access_log_lines_lost"`
	Kept     int                 `json:"states_kept"`
	Assets   assets.Usage        `json:"assets"`
	Allocs   uint64              `json:"heap_allocs"` // objects since the start
}

func (p *process) status() statusView {
	return statusView{
		PID: os.Getpid(), Version: version, Engine: p.engine.Status(), Requests: p.counters.Snapshot(), Conns: p.server.Stats(), HTTP1: p.engines.stats(),
		Assets: p.assets.Usage(), LogLost: p.sink.Dropped(), Kept: p.watch.env.Build.Keeper.Len(), Allocs: heapAllocs(),
	}
}
