// Command whoami is the app that the examples and the end-to-end tests put
// behind the proxy: it says who answered and exactly what it received, and can
// be made to start late, stop late, or not stop at all.
//
// Every flag can be given as an environment variable, WHOAMI_ and its name in
// capitals with "_" for "-", because compose files and `docker run -e` are
// where it is configured. "whoami healthcheck" asks a running whoami in the
// same container whether it answers; the image's HEALTHCHECK may use it.
// "whoami wait" listens nowhere and waits until it is told to stop, "whoami
// end" ends at once: for containers that are nothing but their files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type config struct {
	listen     string        // addresses, separated by commas
	version    string        // reported, so that a test sees which deploy answered
	startDelay time.Duration // before the first listen: "started" is not "listening"
	grace      time.Duration // how long running requests may finish after SIGTERM
	ignoreTerm bool          // behave like an app that does not handle its stop signal
	files      string        // made before the first listen, see parseMade
	store      string        // directory of uploads
	speaks     string        // what it speaks on its ports, see serveAs
	http       string        // further addresses, where it speaks HTTP
}

func main() {
	log.SetFlags(log.LUTC | log.Ltime | log.Lmicroseconds)
	args, does := os.Args[1:], serve
	if len(args) > 0 {
		switch args[0] {
		case "healthcheck":
			os.Exit(healthcheck(args[1:]))
		case "wait":
			args, does = args[1:], wait
		case "end":
			args, does = args[1:], end
		}
	}
	cfg, err := parse(args)
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	if err := does(cfg); err != nil {
		log.Fatal(err)
	}
}

// parse reads flags, with the environment as their defaults.
func parse(args []string) (config, error) {
	var c config
	fs := flag.NewFlagSet("whoami", flag.ContinueOnError)
	fs.StringVar(&c.listen, "listen", ":80", "addresses to listen on, separated by commas")
	fs.StringVar(&c.version, "version", "1", "version to report")
	fs.DurationVar(&c.startDelay, "start-delay", 0, "how long to wait before listening")
	fs.DurationVar(&c.grace, "grace", 10*time.Second, "how long running requests may finish after SIGTERM")
	fs.BoolVar(&c.ignoreTerm, "ignore-sigterm", false, "ignore SIGTERM")
	fs.StringVar(&c.files, "files", "", "files to make before listening, one a line: /PATH=TEXT or /PATH:SIZE")
	fs.StringVar(&c.store, "store", "/app/media", "directory of what is sent to /store/NAME by PUT")
	fs.StringVar(&c.speaks, "speaks", "http", "what is spoken on its ports: http, tls, or what no proxy understands: alert, h2c, ssh, nothing")
	fs.StringVar(&c.http, "http", "", "further addresses to listen on, where HTTP is spoken whatever -speaks says")
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		name := "WHOAMI_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok {
			if e := f.Value.Set(v); e != nil {
				err = fmt.Errorf("read %s: %w", name, e)
			}
		}
	})
	if err != nil {
		return c, err
	}
	return c, fs.Parse(args)
}

// until returns a context that ends when the app is told to stop.
func (cfg *config) until() (context.Context, context.CancelFunc) {
	// PID 1 gets no default action for signals: without a handler it could
	// not be stopped at all, and with one it decides itself.
	signal.Ignore(syscall.SIGHUP) // as servers outlive it that read their files again
	if cfg.ignoreTerm {
		signal.Ignore(syscall.SIGTERM)
		return context.WithCancel(context.Background())
	}
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

// prepare does what comes before an app listens: it takes its time, and makes
// files at the end of it. Its error is ctx's if that ends.
func prepare(ctx context.Context, cfg config) error {
	select {
	case <-time.After(cfg.startDelay):
	case <-ctx.Done():
		return ctx.Err()
	}
	return makeAll(cfg.files)
}

func end(cfg config) error {
	ctx, stop := cfg.until()
	defer stop()
	return orTold(prepare(ctx, cfg))
}

func wait(cfg config) error {
	ctx, stop := cfg.until()
	defer stop()
	err := prepare(ctx, cfg)
	if err == nil {
		<-ctx.Done()
	}
	return orTold(err)
}

// orTold is err without that of being told to stop.
func orTold(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serve answers until it is told to stop and the running requests have ended.
func serve(cfg config) error {
	ctx, stop := cfg.until()
	defer stop()
	if err := prepare(ctx, cfg); err != nil {
		return orTold(err)
	}
	srv := &http.Server{Handler: newHandler(cfg), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	for _, on := range []struct{ addrs, speaks string }{{cfg.listen, cfg.speaks}, {cfg.http, "http"}} {
		for addr := range strings.SplitSeq(on.addrs, ",") {
			if addr == "" && on.addrs == "" {
				continue
			}
			l, err := net.Listen("tcp", strings.TrimSpace(addr))
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			log.Printf("version %s listening on %s", cfg.version, l.Addr())
			go func() { failed <- serveAs(on.speaks, srv, l) }()
		}
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Print("told to stop")
	drain, cancel := context.WithTimeout(context.Background(), cfg.grace)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// healthcheck asks /health at the first listen address.
func healthcheck(args []string) int {
	cfg, err := parse(args)
	if err != nil {
		return 2
	}
	first, _, _ := strings.Cut(cfg.listen, ",")
	_, port, err := net.SplitHostPort(strings.TrimSpace(first))
	if err != nil {
		log.Print(err)
		return 2
	}
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://127.0.0.1:" + port + "/health")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}
