package server_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/server/enginetest"
)

// net/http lingers for half a second on connections it closed early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// stdLax is what net/http lets through or lacks.
var stdLax = []string{
	// Refused by exchange.Arrival.
	`version "HTTP/1.2"`,
	`the preface of HTTP/2 (THREATS 8)`,
	`target (THREATS 7) "/a#/admin"`,
	`target (THREATS 7) "/#"`,
	`target (THREATS 7) "/a?b#c"`,
	`authority as a target`,
	// exchange.Arrival closes the connection behind them.
	`length and chunked (THREATS 1)`,
	`chunked and length (THREATS 1)`,
	`length of 0 and chunked (THREATS 1)`,
	// Read as other lenient readers do, and forwarded in one form.
	`bare LFs`,
	`bare LF behind the request line`,
	`bare LF between fields`,
	`bare LF before the body`,
	`bare LF at the end`,
	`bare LF behind a trailer`,
	`folded value`,
	`folded with a tab`,
	`folded to nothing`,
	`folded trailer`,
	`folded chunked`,
	`chunked behind a bare LF`,
	`trailer name "X-A "`,
	`trailer name "X A"`,
	`chunk size "3 "`,
	`chunk size "3\t"`,
	`control bytes in an extension`,
	// Read as requests without chunks, as RFC 7230 had it for 1.0.
	`chunked in 1.0`,
	`chunked and length in 1.0`,
	// Its background read takes one byte and sees nothing of what is behind it.
	`a client that leaves behind a pipelined request ends the context`,
	`clients of 1.0 get no 1xx`,
	// The forwarder switches by Hijack.
	`101 without Hijack ends the connection`,
}

func TestStdKeepsTheContract(t *testing.T) { enginetest.Run(t, enginetest.Std, stdLax...) }

func TestStdKeepsTheContractBehindWriters(t *testing.T) {
	// Five seconds, in which no writer has a part.
	const slow = "Shutdown closes connections that never asked"
	enginetest.Run(t, enginetest.ProxyLike(enginetest.Std), append(stdLax, slow)...)
}

// Two engines of net/http agree: what the comparison finds with another engine
// is that engine's.
func FuzzRequests(f *testing.F) {
	for _, in := range enginetest.Seeds() {
		f.Add(in, uint16(len(in)/3))
	}
	enginetest.Fuzz(f, enginetest.Std, enginetest.Std)
}

func FuzzShapes(f *testing.F) { enginetest.FuzzShapes(f, enginetest.Std, enginetest.Std) }
