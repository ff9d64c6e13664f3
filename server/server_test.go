package server_test

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/server/enginetest"
)

// net/http lingers for half a second on connections it closed early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func TestStdKeepsTheContract(t *testing.T) {
	enginetest.Run(t, func(h http.Handler) server.Engine { return server.NewStd(server.StdConfig{Handler: h}) },
		"version 1.2",                    // exchange.Arrival refuses it
		"length and chunked (THREATS 1)") // exchange.Arrival closes behind it
}
