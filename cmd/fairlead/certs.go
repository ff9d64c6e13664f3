package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/certs"
	"github.com/spf13/cobra"
)

var errNoTLS = errors.New("HTTPS is switched off (--https off), so there are no certificates")

// certificates answers the command certs.
func (p *process) certificates(*http.Request) (any, error) {
	if p.certs == nil {
		return nil, admin.Status{Code: http.StatusNotFound, Err: errNoTLS}
	}
	return p.certs.View(), nil
}

// retryCertificate answers certs retry.
func (p *process) retryCertificate(r *http.Request) (any, error) {
	if p.certs == nil {
		return nil, admin.Status{Code: http.StatusNotFound, Err: errNoTLS}
	}
	if err := p.certs.Retry(r.URL.Query().Get("host")); err != nil {
		return nil, admin.Status{Code: http.StatusConflict, Err: err}
	}
	return struct{}{}, nil
}

func certsCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "certs", Short: "Show the certificate of every host: where it is from, how long it holds, what is in its way", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			var v certs.View
			if err := client.Get(c.Context(), "certs", nil, &v); err != nil {
				return err
			}
			if f.json {
				return writeJSON(c.OutOrStdout(), v)
			}
			return printCerts(c.OutOrStdout(), v, time.Now())
		},
	}
	f.add(c)
	c.AddCommand(certsRetryCommand())
	return c
}

func certsRetryCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "retry HOST", Short: "Order a certificate for HOST now, without the check that it can be reached", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			if err := client.Post(c.Context(), "certs-retry", url.Values{"host": args}, nil, nil); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "ordering; fairlead certs shows what comes of it")
			return nil
		},
	}
	f.add(c)
	return c
}

func printCerts(w io.Writer, v certs.View, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "HOST\tFROM\tSTATE\tUNTIL\tNEXT")
	for _, l := range v.Lines {
		from := l.Source
		if from == "acme" {
			from = v.Authority
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", l.Host, from, l.State, day(l.NotAfter), distance(l.Next, now))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, l := range v.Lines {
		if l.Error != "" {
			fmt.Fprintf(w, "\n%s: %s\n", l.Host, l.Error)
			if l.Fix != "" {
				fmt.Fprintf(w, "  → %s\n", l.Fix)
			}
		}
	}
	if v.Trouble != "" {
		fmt.Fprintln(w, "\nDATA DIRECTORY: "+v.Trouble)
	}
	return nil
}

func day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// distance says how far t is ahead: "in 29d", "in 40s".
func distance(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	switch {
	case t.IsZero():
		return "–"
	case d <= 0:
		return "now"
	case d >= 48*time.Hour:
		return fmt.Sprintf("in %dd", int(d.Hours()/24))
	}
	return "in " + d.String()
}
