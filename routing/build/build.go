// Package build is what a kind gets when it is built into a route: state that
// survives table swaps, a log, secrets, a clock. What it hands out belongs to
// the route; Release gives it back when the route is retired.
package build

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// A Scope says whose a kept state is: everything built under the same kind,
// scope and key shares it.
type Scope uint8

const (
	Route  Scope = iota // the route of this id
	Pool                // every route to this pool; the route, where it has none
	Host                // every route whose first host is this
	Global              // the whole process
)

// A Build builds one route. It is used by one goroutine, while the table is
// compiled, and not by requests.
type Build struct {
	Kind  string      // being built now; the compiler sets it
	Route *spec.Route // being built
	Log   zerolog.Logger
	// Prefix is that of labels, for messages: "fairlead".
	Prefix string

	// Now is the clock; time.Now unless a test says otherwise.
	Now func() time.Time
	// DataDir is where state that outlives the process goes, "" if nowhere.
	DataDir string
	// SecretsDir is the one directory below which labels may name files.
	SecretsDir string
	// Assets has what is copied out of containers.
	Assets *assets.Store

	Keeper *Keeper
	holds  []holding
}

// A Keeper owns the state that survives swaps. Its zero value is ready to use.
type Keeper struct {
	mu      sync.Mutex // guards what is below
	entries map[holding]*entry
}

type holding struct {
	kind  string
	scope Scope
	of    string // id of the route, key of the pool, host; "" for Global
	key   string
	typ   reflect.Type
}

type entry struct {
	value any
	refs  int
}

// Keep returns the S that the previous table had under (kind, scope, key), or
// what make returns if it had none. Whatever may change in place, such as a
// rate, stays out of key. An S that is an io.Closer is closed once no table
// names it any more; a request that outlives the grace of its table may still
// use it then.
func Keep[S any](b *Build, scope Scope, key string, make func() S) S {
	s, _ := TryKeep(b, scope, key, func() (S, error) { return make(), nil })
	return s
}

// TryKeep is Keep for what may fail to be made. A failure is not kept: the next
// table tries again.
func TryKeep[S any](b *Build, scope Scope, key string, make func() (S, error)) (S, error) {
	h := holding{b.Kind, scope, b.of(scope), key, reflect.TypeFor[S]()}
	if e := b.Keeper.take(h); e != nil {
		b.holds = append(b.holds, h)
		return e.value.(S), nil
	}
	s, err := make() // may keep something itself
	if err != nil {
		return s, err
	}
	b.Keeper.put(h, s)
	b.holds = append(b.holds, h)
	return s, nil
}

func (k *Keeper) take(h holding) *entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[h]
	if e != nil {
		e.refs++
	}
	return e
}

func (k *Keeper) put(h holding, value any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entries == nil {
		k.entries = map[holding]*entry{}
	}
	k.entries[h] = &entry{value: value, refs: 1}
}

func (b *Build) of(scope Scope) string {
	switch {
	case scope == Global || b.Route == nil:
		return ""
	case scope == Pool && b.Route.Pool != "":
		return b.Route.Pool
	case scope == Host && len(b.Route.Matches) > 0:
		return b.Route.Matches[0].Host.String()
	}
	return b.Route.Owner + "\x00" + b.Route.ID // ids of two owners may be the same
}

// Release gives back what b keeps, when the last request of the route's table
// has ended. Calling it again does nothing.
func (b *Build) Release() {
	var closers []io.Closer
	b.Keeper.mu.Lock()
	for _, h := range b.holds {
		e := b.Keeper.entries[h]
		if e.refs--; e.refs > 0 {
			continue
		}
		delete(b.Keeper.entries, h)
		if c, ok := e.value.(io.Closer); ok {
			closers = append(closers, c)
		}
	}
	b.holds = nil
	b.Keeper.mu.Unlock()
	for _, c := range closers {
		c.Close()
	}
}

// Len returns how many states are kept, for tests and the status page.
func (k *Keeper) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.entries)
}

// maxSecret bounds a secret file, in bytes.
const maxSecret = 1 << 20

// Secret returns what ref names: file:PATH below SecretsDir, or env:NAME with
// the prefix spec.SecretEnv.
func (b *Build) Secret(ref string) ([]byte, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if !strings.HasPrefix(name, spec.SecretEnv) {
			return nil, fmt.Errorf("environment variable %s does not begin with %s", name, spec.SecretEnv)
		}
		text, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("environment variable %s is not set in the proxy", name)
		}
		return []byte(text), nil
	}
	path := filepath.Clean(strings.TrimPrefix(ref, "file:"))
	below, err := filepath.Rel(b.SecretsDir, path)
	if err != nil || !filepath.IsLocal(below) {
		return nil, fmt.Errorf("%s is not below the secrets directory %s", path, b.SecretsDir)
	}
	root, err := os.OpenRoot(b.SecretsDir)
	if err != nil {
		return nil, fmt.Errorf("open secrets directory: %w", err)
	}
	defer root.Close()
	f, err := root.OpenFile(below, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for its writer
	if err != nil {
		return nil, fmt.Errorf("open secret: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("secret %s is not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fmt.Errorf("secret %s is larger than %d bytes", path, maxSecret)
	}
	return data, err
}
