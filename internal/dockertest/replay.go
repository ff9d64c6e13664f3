package dockertest

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed testdata/*.jsonl
var recordings embed.FS

// Recordings names the sequences recorded from a real engine by the program in
// record.
func Recordings() []string {
	entries, err := recordings.ReadDir("testdata")
	if err != nil {
		panic(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".jsonl"))
	}
	return names
}

// An Entry is one line of a recording: a step that was done to the engine, an
// event it sent, or what it answered at that moment.
type Entry struct {
	Step  string          `json:"step,omitempty"`
	Event json.RawMessage `json:"event,omitempty"`
	State *State          `json:"state,omitempty"`
}

// State holds an engine's answers at one moment.
type State struct {
	List     []json.RawMessage          `json:"list"`
	Inspect  map[string]json.RawMessage `json:"inspect"`
	Networks json.RawMessage            `json:"networks,omitempty"` // as before if empty
}

type state State

// Recording reads one by its name.
func Recording(name string) ([]Entry, error) {
	b, err := recordings.ReadFile("testdata/" + name + ".jsonl")
	if err != nil {
		return nil, err
	}
	var out []Entry
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("recording %s: %w", name, err)
		}
		out = append(out, e)
	}
	return out, lines.Err()
}

// Play takes one entry of a recording: answers are given from then on, events
// are sent at once. The model is out of use from the first answers on.
func (e *Engine) Play(entry Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := entry.State; s != nil {
		next := state(*s)
		if next.Networks == nil && e.replay != nil {
			next.Networks = e.replay.Networks
		}
		e.replay = &next
	}
	if entry.Event == nil {
		return
	}
	var m struct {
		Type, Action string
		Actor        struct {
			ID         string
			Attributes map[string]string
		}
	}
	if err := json.Unmarshal(entry.Event, &m); err != nil {
		panic(err)
	}
	e.emit(message{Type: m.Type, Action: m.Action, ID: m.Actor.ID, Attributes: m.Actor.Attributes, raw: entry.Event})
}

func (s *state) body(endpoint, id string) (v any, err error, ok bool) {
	switch endpoint {
	case List:
		if s.List == nil {
			return []struct{}{}, nil, true
		}
		return s.List, nil, true
	case Networks:
		return s.Networks, nil, true
	case Inspect:
		if b := s.Inspect[id]; b != nil {
			return b, nil, true
		}
		return nil, statusError{404, "No such container: " + id}, true
	}
	return nil, nil, false
}
