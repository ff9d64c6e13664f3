//go:build linux

package load

import (
	"encoding/json"
	"fmt"
	"io"
)

// A Task is what a process of the generator does; exactly one field is set.
type Task struct {
	Plan      *Plan      `json:",omitempty"`
	Handshake *Handshake `json:",omitempty"`
	Idle      *Idle      `json:",omitempty"`
}

// Run does the task and writes its Result to out. An Idle one is held until in
// ends.
func (t Task) Run(in io.Reader, out io.Writer) error {
	var r Result
	var err error
	switch {
	case t.Plan != nil:
		r, err = t.Plan.Run()
	case t.Handshake != nil:
		r, err = t.Handshake.Run()
	case t.Idle != nil:
		var release func()
		if r, release, err = t.Idle.Open(); release != nil {
			defer release()
			defer io.Copy(io.Discard, in)
		}
	default:
		err = fmt.Errorf("an empty task")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}
