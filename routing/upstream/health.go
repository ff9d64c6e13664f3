package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/internal/http1"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// Modes of health checks.
const (
	healthOff  = "off" // the image's HEALTHCHECK does not count either
	healthTCP  = "tcp"
	healthHTTP = "http"
	healthGRPC = "grpc"
)

type healthOptions struct {
	Mode              string // "" for the image's HEALTHCHECK alone
	Path              string
	Interval, Timeout time.Duration
	Status            []statusRange
	Rise, Fall        int
	Host              string
	Port              int
}

type statusRange struct{ From, To int }

var _ = register(label.Kind{
	Name: "health", Level: label.PerPool,
	Doc: "Health checks by the proxy.",
}, (*healthOptions).check,
	label.Def[healthOptions]{
		Value: healthMode(),
		Doc:   "`tcp` checks that the port takes connections, `http` that `health.path` answers, `grpc` asks the gRPC health service; `off` checks nothing and ignores the image's HEALTHCHECK too. Without the label the HEALTHCHECK counts, where the image has one. Checks by label take its place: they are made every 250 ms until the first one passes.", Example: "tcp",
	},
	label.Def[healthOptions]{
		Name: "path", Value: label.Text(func(o *healthOptions) *string { return &o.Path }, checkHealthPath),
		Doc: "Path, with a query if need be, that is asked for. A container gets its first request when that has been answered well.", Example: "/healthz",
	},
	label.Def[healthOptions]{
		Name: "interval", Value: label.Duration(func(o *healthOptions) *time.Duration { return &o.Interval }, 250*time.Millisecond, time.Hour),
		Default: "5s", Doc: "How often a container is checked that has passed once, 250ms to 1h.", Example: "10s",
	},
	label.Def[healthOptions]{
		Name: "timeout", Value: label.Duration(func(o *healthOptions) *time.Duration { return &o.Timeout }, 10*time.Millisecond, time.Minute),
		Default: "2s", Doc: "How long a check may take, 10ms to 1m.", Example: "1s",
	},
	label.Def[healthOptions]{
		Name: "status", Value: label.List(func(o *healthOptions) *[]statusRange { return &o.Status }, parseStatusRange),
		Default: "200-399", Doc: "Answers that are good: a list of statuses and ranges.", Example: "200, 204, 301-308",
	},
	label.Def[healthOptions]{
		Name: "rise", Value: label.Int(func(o *healthOptions) *int { return &o.Rise }, 1, 100),
		Default: "1", Doc: "How many checks in a row must pass before a container counts as healthy.", Example: "2",
	},
	label.Def[healthOptions]{
		Name: "fall", Value: label.Int(func(o *healthOptions) *int { return &o.Fall }, 1, 100),
		Default: "3", Doc: "How many in a row must fail before it counts as unhealthy. An unhealthy container is used only if no other is left.", Example: "2",
	},
	label.Def[healthOptions]{
		Name: "host", Value: label.Text(func(o *healthOptions) *string { return &o.Host }, checkHealthHost),
		Doc: "The Host that is sent; the first exact host of the route without it.", Example: "app.example.com",
	},
	label.Def[healthOptions]{
		Name: "port", Value: label.Int(func(o *healthOptions) *int { return &o.Port }, 1, 65535),
		Doc: "The port that is checked; the one that gets the requests without it.", Example: "9000",
	},
)

func healthMode() label.Value[healthOptions] {
	v := label.Choice(func(o *healthOptions) *string { return &o.Mode }, []string{healthOff, healthTCP, healthHTTP, healthGRPC})
	choose := v.Set
	v.Off, v.Form.Pattern = true, label.AnyCase("no")+"|0"
	v.Set = func(o *healthOptions, arg, text string) error {
		if on, ok := label.ParseBool(text); ok && !on {
			text = healthOff // False, as YAML loaders write it
		}
		return choose(o, arg, text)
	}
	return v
}

func (o *healthOptions) check() error {
	switch {
	case o.Path == "" || o.Mode == healthHTTP:
	case o.Mode == "":
		o.Mode = healthHTTP
	default:
		return &label.ValueError{Code: "exclusive", Msg: "health=" + o.Mode + " and health.path exclude each other"}
	}
	if o.Mode == healthHTTP && o.Path == "" {
		o.Path = "/"
	}
	if o.Timeout > o.Interval {
		return &label.ValueError{Code: "exclusive", Msg: fmt.Sprintf("health.timeout %s is longer than health.interval %s", o.Timeout, o.Interval)}
	}
	return nil
}

func checkHealthPath(text string) error {
	if !strings.HasPrefix(text, "/") {
		return &label.ValueError{Msg: "does not begin with /", Suggest: "/" + text}
	}
	if !http1.IsTarget(text) {
		return &label.ValueError{Msg: "has blanks or control bytes"}
	}
	return nil
}

func checkHealthHost(text string) error {
	if h, err := spec.ParseHostPattern(text); err != nil || h.Kind != spec.ExactHost {
		return &label.ValueError{Msg: "is not a host such as app.example.com"}
	}
	return nil
}

func parseStatusRange(text string) (statusRange, error) {
	from, to, ranged := strings.Cut(text, "-")
	if !ranged {
		to = from
	}
	a, errA := strconv.Atoi(strings.TrimSpace(from))
	b, errB := strconv.Atoi(strings.TrimSpace(to))
	if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
		return statusRange{}, &label.ValueError{Msg: "is not a status or a range such as 200-399"}
	}
	return statusRange{a, b}, nil
}

// health returns how p's endpoints are checked.
func (p *Pool) health() healthOptions { return option(p.options, "health", healthOptions{}) }

// active reports whether the proxy checks itself.
func (o healthOptions) active() bool { return o.Mode != "" && o.Mode != healthOff }

// checks are what the checks of an endpoint have shown in its present run.
type checks struct {
	began  time.Time // of the first
	passed bool      // as often as it takes to be ready
	failed bool      // too often since
	inRow  int       // that went the same way
	last   bool      // which way
	reason string    // of the last failure
}

// note takes in a check that returned err.
func (c *checks) note(h *healthOptions, now time.Time, err error) {
	if c.began.IsZero() {
		c.began = now
	}
	if ok := err == nil; c.inRow == 0 || ok != c.last {
		c.last, c.inRow = ok, 0
	}
	c.inRow++
	if err != nil {
		c.reason = err.Error()
	}
	switch {
	case c.last && c.inRow >= h.Rise:
		c.passed, c.failed = true, false
	case !c.last && c.inRow >= h.Fall:
		c.failed = true
	}
}

// verdict says what that means. A container that has never passed is given the
// time of Fall checks to come up; after that it is unhealthy like any other, so
// that a wrong path does not keep a site away whose app answers.
func (c *checks) verdict(h *healthOptions, now time.Time) (state, string) {
	patience := time.Duration(h.Fall) * h.Interval
	switch {
	case c.passed && !c.failed:
		return ready, ""
	case c.passed, !c.began.IsZero() && now.Sub(c.began) >= patience:
		return unhealthy, "its health check fails: " + c.reason
	case c.reason != "":
		return starting, "its health check has not passed yet: " + c.reason
	}
	return starting, "its health check has not passed yet"
}

// checked takes in the check of probe pr, and returns how long until the next.
func (e *endpoint) checked(pr *probe, err error) time.Duration {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.probing != pr.ctx {
		return 0
	}
	h := p.health()
	before := e.state
	e.checks.note(&h, time.Now(), err)
	e.settle()
	if e.state != before {
		p.publish()
	}
	if !e.checks.passed {
		return min(longestWait, h.Interval)
	}
	return h.Interval
}

// A healthCheck is what to do to find out how an endpoint is.
type healthCheck struct {
	healthOptions
	network, addr string // to be connected to
	host          string // as which
	plain         bool
	transport     *transport
}

// healthCheck returns the check of e now, nil for none.
func (e *endpoint) healthCheck() *healthCheck {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &healthCheck{healthOptions: p.health(), network: e.transport.network, addr: e.transport.addr, transport: e.transport}
	if !c.active() {
		return nil
	}
	if c.Port != 0 && c.network == "tcp" {
		c.addr = withPort(c.addr, c.Port)
	}
	c.host = p.host
	if c.Host != "" {
		c.host = c.Host
	}
	switch {
	case c.host != "":
	case c.network == "unix":
		c.host = "localhost"
	default:
		c.host = c.addr
	}
	c.plain = p.plain
	return c
}

func withPort(addr string, port int) string {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return netip.AddrPortFrom(a.Addr(), uint16(port)).String()
	}
	host, _, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// run makes the check once. Its error is for people.
func (c *healthCheck) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var err error
	switch c.Mode {
	case healthHTTP:
		err = c.askHTTP(ctx)
	case healthGRPC:
		err = c.askGRPC(ctx)
	default:
		err = c.connect(ctx)
	}
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("no answer in %s", c.Timeout)
	}
	return err
}
