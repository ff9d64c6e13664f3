package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
)

// An ordered is what came of an order.
type ordered struct {
	Done     string   `json:"done"`           // in one sentence
	Undo     string   `json:"undo,omitempty"` // the command that takes it back
	Warnings []string `json:"warnings,omitempty"`
}

// order has the proxy carry out an action, and says what came of it.
func (f *clientFlags) order(c *cobra.Command, action string, query url.Values) error {
	client, err := f.client(c)
	if err != nil {
		return err
	}
	if length := c.Flags().Lookup("for"); length != nil && length.Changed {
		query.Set("for", length.Value.String()) // empty too, as an unset $VARIABLE leaves it: that is not for ever
	}
	var o ordered
	if err := client.Post(c.Context(), action, query, nil, &o); err != nil {
		return err
	}
	if f.json {
		return writeJSON(c.OutOrStdout(), o)
	}
	o.print(c.OutOrStdout())
	return nil
}

func (o *ordered) print(w io.Writer) {
	fmt.Fprintln(w, o.Done)
	for _, warning := range o.Warnings {
		fmt.Fprintln(w, "warning: "+warning)
	}
	if o.Undo != "" {
		fmt.Fprintln(w, "undo: "+o.Undo)
	}
}

// Bounds of --for.
const (
	shortestOrder = time.Second
	longestOrder  = 365 * 24 * time.Hour
)

// newOrder returns the order that begins now and holds for as long as --for says,
// without it until it is undone.
func newOrder(q url.Values) (spec.Order, error) {
	o := spec.Order{Since: time.Now().UTC().Round(0)} // as it is read again
	if !q.Has("for") {
		return o, nil
	}
	length := q.Get("for")
	d, err := label.ParseDuration(length)
	if err == nil && (d < shortestOrder || d > longestOrder) {
		err = errors.New("is outside 1s to 1y")
	}
	if err != nil {
		err = fmt.Errorf("--for %q %w", label.Shown(length), err)
		if ve, ok := errors.AsType[*label.ValueError](err); ok && ve.Suggest != "" {
			err = fmt.Errorf("%w, did you mean %s?", err, ve.Suggest)
		}
		return o, admin.Status{Code: http.StatusBadRequest, Err: err}
	}
	o.Until = o.Since.Add(d)
	return o, nil
}

// lasts says for how long o holds, behind what was done.
func lasts(o spec.Order) string {
	if o.Until.IsZero() {
		return ""
	}
	return " until " + o.End("")
}

// renewed says what an order for what is so already comes to.
func renewed(what string, before, o spec.Order, undo string) string {
	if before.Until.Equal(o.Until) {
		return what + " already"
	}
	return what + " already, now until " + o.End(undo)
}

// carryOut has the orders as they are now take effect before it returns, and
// then writes them down. The effect does not need the disk: what is wrong there
// is a warning.
func (p *process) carryOut(ctx context.Context, done *ordered) error {
	if err := p.watch.turned(ctx); err != nil {
		return admin.Status{Code: http.StatusServiceUnavailable, Err: fmt.Errorf("ordered, and not in effect yet: %w", err)}
	}
	if err := p.orders.save(); err != nil {
		p.log.Error().Err(err).Msg("orders could not be saved, they are kept in memory")
		done.Warnings = append(done.Warnings, "this will not outlive the process: "+err.Error())
	}
	return nil
}
