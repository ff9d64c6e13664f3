// Command socketfilter stands between the proxy and the Docker socket and lets
// pass only what the proxy needs to read. Whoever can write to the Docker
// socket is root on the machine; behind this filter a broken proxy can list
// and inspect containers, and nothing else.
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
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "unix:///run/engine/docker.sock", "where to listen, unix:///PATH or tcp://HOST:PORT")
	engine := flag.String("engine", "unix:///var/run/docker.sock", "where the engine listens, unix:///PATH or tcp://HOST:PORT")
	mode := flag.String("mode", "0660", "permissions of the unix socket, octal")
	group := flag.Int("group", 65532, "group of the unix socket; the proxy runs with this id")
	archive := flag.Bool("archive", false, "also let GET /containers/{id}/archive pass: it reads any file of any container")
	flag.Parse()

	l, err := open(*listen, *mode, *group)
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	network, address, err := split(*engine)
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	f := newFilter(filterConfig{Network: network, Address: address, Archive: *archive})
	srv := &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// Close and not Shutdown: an event stream never ends by itself.
	context.AfterFunc(ctx, func() { srv.Close() })
	log.Printf("passing read-only requests from %s to %s", *listen, *engine)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// split turns unix:///PATH or tcp://HOST:PORT into what net.Dial takes.
func split(addr string) (network, address string, err error) {
	network, address, ok := strings.Cut(addr, "://")
	if !ok || address == "" || network != "unix" && network != "tcp" {
		return "", "", fmt.Errorf("%q is neither unix:///PATH nor tcp://HOST:PORT", addr)
	}
	return network, address, nil
}

// open listens, in place of a socket that an earlier run left behind.
func open(addr, mode string, group int) (net.Listener, error) {
	network, address, err := split(addr)
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		return net.Listen(network, address)
	}
	perm, err := strconv.ParseUint(mode, 8, 9)
	if err != nil {
		return nil, fmt.Errorf("read -mode: %w", err)
	}
	if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the old socket: %w", err)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(address, -1, group); err != nil {
		l.Close()
		return nil, fmt.Errorf("give the socket to group %d: %w", group, err)
	}
	if err := os.Chmod(address, os.FileMode(perm)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
