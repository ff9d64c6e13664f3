package main

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/server/h1"
)

// Values of --engine.
const (
	ownEngine = "fairlead"
	stdEngine = "std" // net/http
)

// poison has the engine overwrite what handlers were given once they have
// returned. Tests set it, to find who keeps what is not his.
var poison = false

// httpLimits are the limits of requests that are written as sizes.
type httpLimits struct{ headBytes, bodyRate int }

// httpLimits reads them, and the name of the engine that is to keep them.
func (s *settings) httpLimits() (l httpLimits, err error) {
	if s.engine != ownEngine && s.engine != stdEngine {
		return l, fmt.Errorf("--engine %s: want %s or %s", s.engine, ownEngine, stdEngine)
	}
	if s.engine == stdEngine && s.maxRequestsPerConn > 0 {
		return l, fmt.Errorf("--max-requests-per-conn %d: net/http (--engine %s) has no such limit", s.maxRequestsPerConn, stdEngine)
	}
	if l.headBytes, err = bytesOf("max-head-bytes", s.maxHeadBytes); err != nil {
		return l, err
	}
	l.bodyRate, err = bytesOf("min-body-rate", s.minBodyRate)
	return l, err
}

// newEngine returns what speaks HTTP on e: HTTP/2 is net/http's in any case.
func (p *process) newEngine(e server.EntryPoint, h http.Handler) server.Engine {
	s := p.settings
	log := func(line string) { p.log.Debug().Str("entry", e.Name).Msg(line) }
	if s.engine == stdEngine {
		return p.stdEngine(h, log)
	}
	own := h1.New(h1.Config{
		Handler: h, HeadTimeout: s.headTimeout, IdleTimeout: s.idleTimeout,
		MaxHeadBytes: p.limits.headBytes, MaxFields: s.maxFields, MaxRequests: s.maxRequestsPerConn, MinBodyRate: p.limits.bodyRate,
		ErrorLog: log, Poison: poison,
	})
	p.engines.add(e.Name, own)
	if !e.TLS {
		return own
	}
	return server.Split{H1: own, H2: p.stdEngine(h, log)}
}

// engines are those of our own, by entry point.
type engines struct {
	mu  sync.Mutex
	all map[string][]*h1.Engine // guarded by mu; a plain and a TLS one may have the same name
}

func (es *engines) add(name string, e *h1.Engine) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.all == nil {
		es.all = map[string][]*h1.Engine{}
	}
	es.all[name] = append(es.all[name], e)
}

// stats returns what each entry point served of HTTP/1.1, nil with net/http.
func (es *engines) stats() map[string]h1.Stats {
	es.mu.Lock()
	defer es.mu.Unlock()
	var out map[string]h1.Stats
	for name, all := range es.all {
		var sum h1.Stats
		for _, e := range all {
			sum.Add(e.Stats())
		}
		if out == nil {
			out = map[string]h1.Stats{}
		}
		out[name] = sum
	}
	return out
}

func (p *process) stdEngine(h http.Handler, log func(line string)) server.Engine {
	s := p.settings
	return server.NewStd(server.StdConfig{
		Handler: h, HeadTimeout: s.headTimeout, IdleTimeout: s.idleTimeout,
		MaxHeadBytes: p.limits.headBytes, MaxFields: s.maxFields, MinBodyRate: p.limits.bodyRate, ErrorLog: log,
	})
}
