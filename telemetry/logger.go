// Package telemetry tells what happens: the process log, one access log line
// for each exchange, and counters. Requests never wait for it.
package telemetry

import (
	"fmt"
	"io"
	"os"

	"github.com/rs/zerolog"
)

// Millis is RFC 3339 with milliseconds, the time of every line.
const Millis = "2006-01-02T15:04:05.000Z07:00"

// zerolog knows the format of times only as a global.
func init() { zerolog.TimeFieldFormat = Millis }

// NewLogger returns the logger of the process. level is one of zerolog's
// (debug, info, warn, error); format is auto, json or console: auto is console
// if w is a terminal.
func NewLogger(w io.Writer, level, format string) (zerolog.Logger, error) {
	l, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Nop(), fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	dst, err := encoder(w, format)
	if err != nil {
		return zerolog.Nop(), err
	}
	return zerolog.New(dst).Level(l).With().Timestamp().Logger(), nil
}

// encoder returns w behind the format.
func encoder(w io.Writer, format string) (io.Writer, error) {
	switch format {
	case "json":
		return w, nil
	case "console":
		return console(w), nil
	case "auto", "":
		if isTerminal(w) {
			return console(w), nil
		}
		return w, nil
	}
	return nil, fmt.Errorf("log format %q: want auto, json or console", format)
}

func console(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != "" || !isTerminal(w)}
}

// isTerminal takes a character device for one. /dev/null is another, where the
// format does not matter.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
