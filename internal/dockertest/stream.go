package dockertest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxHistory is how many events a real engine keeps for since.
const maxHistory = 256

// A message is one event as the engine writes it.
type message struct {
	Type, Action string
	ID           string // of the actor
	Attributes   map[string]string
	At           time.Time
	raw          json.RawMessage // recorded, instead of the above
}

func (m *message) line() []byte {
	if m.raw != nil {
		return append(m.raw, '\n')
	}
	v := map[string]any{
		"Type": m.Type, "Action": m.Action, "Actor": map[string]any{"ID": m.ID, "Attributes": m.Attributes},
		"scope": "local", "time": m.At.Unix(), "timeNano": m.At.UnixNano(),
	}
	if m.Type == "container" {
		v["status"], v["id"], v["from"] = m.Action, m.ID, m.Attributes["image"]
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// A stream is one reader of events.
type stream struct {
	types, actions map[string]bool
	send           chan []byte
	cut            chan struct{}
	left           int // events until it is cut, below 0: never
}

func (s *stream) wants(m *message) bool {
	action, _, _ := strings.Cut(m.Action, ":")
	return (len(s.types) == 0 || s.types[m.Type]) && (len(s.actions) == 0 || s.actions[action])
}

// emit sends an event to all streams; e.mu is held.
func (e *Engine) emit(m message) {
	if m.At.IsZero() {
		m.At = time.Now()
	}
	e.history = append(e.history, m)
	if len(e.history) > maxHistory {
		e.history = e.history[1:]
	}
	id := m.ID
	if m.Type == "network" {
		id = m.Attributes["container"]
	}
	if e.lost != nil && e.lost(m.Action, id) {
		e.history = e.history[:len(e.history)-1]
		return
	}
	for s := range e.streams {
		e.push(s, &m)
	}
}

func (e *Engine) push(s *stream, m *message) {
	if !s.wants(m) {
		return
	}
	if s.left == 0 {
		e.close(s)
		return
	}
	s.left--
	select {
	case s.send <- m.line():
	default: // a real engine drops events for a reader that is too slow
	}
}

func (e *Engine) close(s *stream) {
	if e.streams[s] {
		delete(e.streams, s)
		close(s.cut)
	}
}

// Cut ends all event streams, as a socket proxy does after its time limit.
func (e *Engine) Cut() { e.CutAfter(0) }

// CutAfter ends each open event stream when it has brought n more events. A
// stream is open once its client knows of it.
func (e *Engine) CutAfter(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.opening > 0 {
		e.opened.Wait()
	}
	for s := range e.streams {
		if s.left = n; n == 0 {
			e.close(s)
		}
	}
}

// Streams is how many event streams are open.
func (e *Engine) Streams() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.streams)
}

func (e *Engine) serveEvents(w http.ResponseWriter, r *http.Request) {
	var filters map[string]map[string]bool
	if f := r.URL.Query().Get("filters"); f != "" {
		if err := json.Unmarshal([]byte(f), &filters); err != nil {
			e.refuse(w, statusError{400, "invalid filter"})
			return
		}
	}
	e.mu.Lock()
	e.opening++
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(200)
	flush := w.(http.Flusher).Flush
	flush() // a real engine does so too, before it subscribes
	s := &stream{types: filters["type"], actions: filters["event"], send: make(chan []byte, 8192), cut: make(chan struct{}), left: -1}
	e.subscribe(s, r.URL.Query().Get("since"))
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.close(s)
	}()
	for {
		select {
		case b := <-s.send:
			w.Write(b)
			flush()
		case <-s.cut:
			for len(s.send) > 0 {
				w.Write(<-s.send)
			}
			flush()
			return
		case <-r.Context().Done():
			return
		}
	}
}

// subscribe adds a stream and replays the events since then, inclusively.
func (e *Engine) subscribe(s *stream, since string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams[s] = true
	e.opening--
	e.opened.Broadcast()
	sec, nano, _ := strings.Cut(since, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return
	}
	frac, _ := strconv.ParseInt(nano, 10, 64)
	from := time.Unix(n, frac)
	for i := range e.history {
		if !e.history[i].At.Before(from) {
			e.push(s, &e.history[i])
		}
	}
}
