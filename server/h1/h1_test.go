package h1_test

import (
	"testing"

	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/server/enginetest"
	"github.com/fairlead/fairlead/server/h1"
)

// poisoned makes engines that overwrite what they use again.
func poisoned(c enginetest.Config) server.Engine {
	return h1.New(h1.Config{
		Handler: c.Handler, HeadTimeout: c.HeadTimeout, IdleTimeout: c.IdleTimeout, MaxHeadBytes: c.MaxHeadBytes,
		MinBodyRate: c.MinBodyRate, BodyGrace: c.BodyGrace, ErrorLog: c.ErrorLog, Poison: true,
	})
}

func TestKeepsTheContract(t *testing.T) { enginetest.Run(t, poisoned) }

func TestKeepsTheContractForTheProxy(t *testing.T) { enginetest.Run(t, enginetest.ProxyLike(poisoned)) }

func FuzzRequests(f *testing.F) { enginetest.Fuzz(f, enginetest.Std, poisoned) }

func FuzzShapes(f *testing.F) { enginetest.FuzzShapes(f, enginetest.Std, poisoned) }
