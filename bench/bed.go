//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/bench/load"
	"github.com/fairlead/fairlead/bench/peers"
	"github.com/fairlead/fairlead/bench/proc"
)

// Waits for processes.
const (
	startTime = 30 * time.Second // 10,000 hosts are read meanwhile
	stopTime  = 5 * time.Second
	logTime   = 3 * time.Second // nginx writes its log once a second
	lookEvery = 10 * time.Millisecond
)

// A machine is where everything runs.
type machine struct {
	dir       string // of this run, removed at its end
	proxyCPU  []int
	loadCPUs  []int
	cert, key string
	ca        string
	origin    netip.AddrPort
	originCmd *exec.Cmd
	site      string // directory of the files that are served
}

// A bed is one proxy that runs, with its load beside it.
type bed struct {
	*machine
	peer *peers.Peer
	cfg  peers.Config
	cmd  *exec.Cmd
	pids []int // of the proxy, workers included
	dir  string

	gone   chan struct{} // closed when the proxy has ended
	stderr *os.File
	end    context.CancelFunc // of what runs beside
	beside chan error
}

// newMachine starts the origin and makes certificates.
func newMachine(proxyCPU int) (*machine, error) {
	cpus, err := proc.CPUs()
	if err != nil {
		return nil, err
	}
	if len(cpus) < 2 {
		return nil, errors.New("want two processors or more: one for the proxy alone, the others for origin and load")
	}
	if proxyCPU < 0 {
		proxyCPU = cpus[len(cpus)-1]
	}
	m := &machine{proxyCPU: []int{proxyCPU}}
	for _, cpu := range cpus {
		if cpu != proxyCPU {
			m.loadCPUs = append(m.loadCPUs, cpu)
		}
	}
	if len(m.loadCPUs) == len(cpus) {
		return nil, fmt.Errorf("processor %d is none of %v", proxyCPU, cpus)
	}
	if err := proc.PinSelf(m.loadCPUs); err != nil {
		return nil, err
	}
	if m.dir, err = os.MkdirTemp(memoryDir(), "fairlead-bench-"); err != nil {
		return nil, err
	}
	if err := m.writeSite(); err != nil {
		return m, err
	}
	if err := m.certificates(); err != nil {
		return m, err
	}
	return m, m.startOrigin()
}

// memoryDir is where logs are written: what a disk does is nobody's cost here.
func memoryDir() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (m *machine) close() {
	if m == nil {
		return
	}
	if m.originCmd != nil {
		proc.Stop(m.originCmd, stopTime)
	}
	os.RemoveAll(m.dir)
	os.RemoveAll(m.site)
}

func (m *machine) startOrigin() error {
	cmd := exec.Command("/proc/self/exe", "origin")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := proc.Start(cmd, m.loadCPUs); err != nil {
		return err
	}
	m.originCmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the origin did not start: %w", err)
	}
	m.origin, err = netip.ParseAddrPort(strings.TrimSpace(line))
	return err
}

// bring starts a proxy and returns when it answers as it should.
func (m *machine) bring(ctx context.Context, p *peers.Peer, change func(*peers.Config)) (*bed, error) {
	b := &bed{machine: m, peer: p, gone: make(chan struct{}), beside: make(chan error, 1)}
	var err error
	if b.dir, err = os.MkdirTemp(m.dir, p.Name+"-"); err != nil {
		return nil, err
	}
	if b.cfg, err = m.config(b.dir); err != nil {
		return nil, err
	}
	if change != nil {
		change(&b.cfg)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, proc.ErrStuck)
	defer cancel()
	if err = b.start(ctx); err == nil {
		err = b.check(ctx)
	}
	if err == nil {
		b.pids, err = proc.Tree(b.cmd.Process.Pid)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w%s", p.Name, err, b.lastWords())
		b.stop()
		return nil, err
	}
	return b, nil
}

func (m *machine) config(dir string) (peers.Config, error) {
	c := peers.Config{Dir: dir, Origin: m.origin, Hosts: hosts(10), AccessLog: true, Site: m.site, Cert: m.cert, Key: m.key, CA: m.ca}
	for _, addr := range []*netip.AddrPort{&c.Plain, &c.TLS, &c.Admin} {
		// Held until all are chosen, so that they differ.
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return c, err
		}
		defer ln.Close()
		*addr = ln.Addr().(*net.TCPAddr).AddrPort()
	}
	return c, nil
}

// hosts are names that our internal authority may sign (RFC 6761).
func hosts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "h" + strconv.Itoa(i) + ".bench.test"
	}
	return out
}

func (b *bed) start(ctx context.Context) error {
	if err := b.peer.Prepare(b.cfg); err != nil {
		return err
	}
	if b.peer.Beside != nil {
		beside, end := context.WithCancel(context.WithoutCancel(ctx))
		b.end = end
		ready := make(chan struct{})
		go func() { b.beside <- b.peer.Beside(beside, b.cfg, func() { close(ready) }) }()
		select {
		case err := <-b.beside:
			b.beside <- err
			return fmt.Errorf("what runs beside it: %w", err)
		case <-ready:
		}
	}
	cmd := exec.Command(b.peer.Binary, b.peer.Args(b.cfg)...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if b.peer.Env != nil {
		cmd.Env = append(cmd.Env, b.peer.Env(b.cfg)...)
	}
	var err error
	if b.stderr, err = os.Create(filepath.Join(b.dir, "stderr")); err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = b.stderr, b.stderr
	if b.peer.LogsToStdout {
		out, err := os.Create(b.cfg.LogFile())
		if err != nil {
			return err
		}
		defer out.Close()
		cmd.Stdout = out
	}
	if err := proc.Start(cmd, b.proxyCPU); err != nil {
		return err
	}
	b.cmd = cmd
	go func() { cmd.Wait(); close(b.gone) }()
	return nil
}

// lastWords is the end of what the proxy wrote on standard error.
func (b *bed) lastWords() string {
	var out strings.Builder
	for _, name := range []string{"stderr", "error.log"} {
		text, err := os.ReadFile(filepath.Join(b.dir, name))
		if err == nil && len(bytes.TrimSpace(text)) > 0 {
			fmt.Fprintf(&out, "\n%s", text[max(0, len(text)-600):])
		}
	}
	return out.String()
}

func (b *bed) stop() {
	if b.cmd != nil {
		proc.End(b.cmd, b.gone, stopTime)
	}
	if b.end != nil {
		b.end()
		<-b.beside
	}
	if b.stderr != nil {
		b.stderr.Close()
	}
	os.RemoveAll(b.dir)
}

// cpu is the processor time so far of the proxy and of the origin.
func (b *bed) cpu() (proxy, origin time.Duration, err error) {
	if proxy, err = proc.CPU(b.pids); err != nil {
		return 0, 0, err
	}
	origin, err = proc.CPU([]int{b.originCmd.Process.Pid})
	return proxy, origin, err
}

// generate runs a generator to its end and returns its output and what it cost.
func (b *bed) generate(ctx context.Context, in []byte, name string, args ...string) ([]byte, time.Duration, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Dir = b.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := proc.Start(cmd, b.loadCPUs); err != nil {
		return nil, 0, err
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		return nil, 0, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// task runs our own generator.
func (b *bed) task(ctx context.Context, t load.Task) (load.Result, time.Duration, error) {
	in, err := json.Marshal(t)
	if err != nil {
		return load.Result{}, 0, err
	}
	out, cost, err := b.generate(ctx, in, "/proc/self/exe", "load")
	if err != nil {
		return load.Result{}, 0, err
	}
	var r load.Result
	err = json.Unmarshal(out, &r)
	return r, cost, err
}

// hold starts our own generator on an Idle task. release ends it.
func (b *bed) hold(ctx context.Context, idle load.Idle) (r load.Result, release func(), err error) {
	in, err := json.Marshal(load.Task{Idle: &idle})
	if err != nil {
		return r, nil, err
	}
	cmd := exec.Command("/proc/self/exe", "load")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return r, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return r, nil, err
	}
	cmd.Stderr = os.Stderr
	if err := proc.Start(cmd, b.loadCPUs); err != nil {
		return r, nil, err
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	release = func() {
		stdin.Close()
		io.Copy(io.Discard, stdout)
		cmd.Wait()
		stop()
	}
	if _, err = stdin.Write(in); err == nil {
		err = json.NewDecoder(stdout).Decode(&r)
	}
	if err != nil {
		release()
		return r, nil, fmt.Errorf("idle connections: %w", err)
	}
	return r, release, nil
}
