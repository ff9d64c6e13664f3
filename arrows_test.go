// Package fairlead_test holds what is true of the module as a whole.
package fairlead_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/fairlead/fairlead"

// everybody is any package of the module.
const everybody = "*"

// arrows are the imports between rooms that are allowed, each for a reason
// (docs/design.md). Imports go one way. A new arrow is a decision: it is written
// here first.
var arrows = []struct{ from, to, why string }{
	{everybody, "exchange", "what is known of the request in hand is everybody's to read"},

	{"spec", "label", "a spec is what labels ask for, and its kinds are declared with them"},
	{"discovery", "spec", "what it finds is a Workload, and nothing else of it leaves"},
	{"discovery/composefile", "spec", "the same, of containers that are not there yet"},

	{"check", "discovery/composefile", "what a compose file comes to"},
	{"check", "label", "whether another spelling of a value means the same"},
	{"check", "spec", "files are read by the same parser as containers"},
	{"check", "routing", "and compiled into the same table"},
	{"check", "routing/build", "of which nothing is put into force"},
	{"check", "routing/upstream", "the same: its pools connect to nothing"},
	{"check", "assets", "the same: its store holds nothing"},

	{"routing", "label", "the schema is put together from the kinds of the rooms below"},
	{"routing", "spec", "a table is a spec compiled"},
	{"routing", "internal/statefile", "the ledger of claims outlives the process"},
	{"routing", "routing/build", "what a kind gets when a route is built"},
	{"routing", "routing/middleware", "the chain of a route"},
	{"routing", "routing/backend", "the end of a route"},
	{"routing", "routing/upstream", "the pools a table names"},
	{"routing/build", "assets", "what is copied out of containers is one store for all routes"},
	{"routing/build", "spec", "a kind may look at the route it is built into"},
	{"routing/middleware", "routing/build", "state, log and secrets of a kind"},
	{"routing/middleware", "label", "each kind declares its labels"},
	{"routing/middleware", "spec", "strip has to know what kind of path a route has"},
	{"routing/backend", "routing/build", "state, log and secrets of a kind"},
	{"routing/backend", "routing/upstream", "its errors become answers; the pool itself comes as an http.RoundTripper"},
	{"routing/backend", "assets", "the files of a route"},
	{"routing/backend", "routing/files", "how files are served"},
	{"routing/backend", "label", "each kind declares its labels"},
	{"routing/backend", "spec", "a redirect has to know the expressions of its route"},
	{"routing/files", "assets", "trees of files, wherever they lie"},
	{"routing/upstream", "routing/balance", "how an endpoint is picked"},
	{"routing/balance", "label", "each method is a value of the one label it declares"},
	{"routing/upstream", "spec", "endpoints are the spec's"},
	{"routing/upstream", "label", "labels say how load is shared"},
	{"routing/upstream", "internal/http1", "answers are read by the rules that requests are read by"},
	{"routing/upstream", "internal/rawsock", "system calls on the sockets of endpoints"},
	{"routing/backend", "internal/http1", "fields that are lists"},

	{"assets", "internal/statefile", "which copy belongs to which container outlives the process"},

	{"certs", "spec", "which certificate a host gets is decided by its policy"},
	{"certs", "label", "what is wrong with a certificate is shown as a Problem"},
	{"certs", "certs/acme", "its settings, and the answers that handshakes and requests look up"},
	{"certs", "certs/files", "certificates of the user's own"},
	{"certs", "certs/localca", "certificates of local names, and the stop-gap"},
	{"certs", "certs/public", "certificates of public names"},
	{"certs", "certs/storage", "the one directory of all of them"},
	{"certs/acme", "certs/storage", "account, and orders under way"},
	{"certs/acme", "label", "foreign words are shown within bounds"},
	{"certs/files", "spec", "a policy names the files"},
	{"certs/files", "label", "foreign words are shown within bounds"},
	{"certs/localca", "certs/storage", "the root and its key"},
	{"certs/localca", "spec", "which names it may sign"},
	{"certs/public", "certs/acme", "faults of an order decide when the next is due"},
	{"certs/public", "certs/localca", "a pre-flight over TLS shows a certificate of its own"},
	{"certs/public", "certs/storage", "certificates, and the ledger of orders"},
	{"certs/public", "label", "foreign words are shown within bounds; the nearest host to a typo"},
	{"certs/public", "spec", "under which domain an authority counts a name"},

	{"server", "internal/rawsock", "sockets of clients are read and written without telling the scheduler"},
	{"server/h1", "internal/http1", "the syntax of requests"},
	{"server/h1", "internal/rawsock", "requests are served without telling the scheduler"},
	{"server/enginetest", "server", "the contract every engine has to pass"},
	{"server/enginetest", "internal/conntest", "clients of the engines"},
	{"routing/upstream/transporttest", "internal/conntest", "heads as they are on the wire"},
	{"internal/servertest", "server", "it serves handlers in tests by the engines that are used"},
	{"internal/servertest", "server/h1", "the same"},
	{"internal/dockertest/record", "internal/dockertest", "what it records is what dockertest replays"},

	{"bench", "bench/load", "the generator is the same program, started again"},
	{"bench", "bench/origin", "and so is the origin"},
	{"bench", "bench/peers", "who is compared, and how it is told what to do"},
	{"bench", "bench/proc", "what a process costs"},
	{"bench/load", "bench/wire", "both ends speak the same little HTTP"},
	{"bench/origin", "bench/wire", "the same"},

	{"cmd/fairlead", everybody, "everything is wired here"},
}

// testArrows are those that tests alone need.
var testArrows = []struct{ from, to, why string }{
	{"bench/load", "bench/origin", "the generator is tested against what it will ask"},
	{"certs/acme", "internal/acmetest", "an authority that can be late, wrong and away"},
	{"certs", "internal/acmetest", "the same"},
	{everybody, "internal/alloctest", "what things cost"},
	{everybody, "internal/conntest", "both ends of a connection"},
	{"discovery", "internal/dockertest", "an engine that can be late, wrong and away"},
	{"discovery", "internal/logtest", "logs are read while they are written"},
	{"certs/files", "internal/logtest", "the same"},
	{"certs/storage", "internal/logtest", "the same"},
	{"telemetry", "internal/logtest", "the same"},
	{"label", "routing", "the reference is made of the schema of the program"},
	{"spec", "routing", "labels are read with the schema of the program"},
	{"exchange", "internal/servertest", "what a real engine makes of bytes on the wire"},
	{"server", "server/enginetest", "the contract every engine has to pass"},
	{"server", "server/h1", "connections that are dropped leave nothing with any engine"},
	{"server/h1", "server/enginetest", "the same"},
	{"server/h1", "server", "what enginetest makes engines of"},
	{"routing/upstream", "routing/upstream/transporttest", "the contract every transport has to pass"},
	{"routing/files", "internal/servertest", "files are sent by the engines that are used"},
	{"test/e2e", "routing/files", "files are compared with those of a real nginx"},
	{"test/e2e", "assets", "the same"},
	{"test/e2e", "internal/acmetest", "an authority that refuses"},
	{"test/e2e", "internal/servertest", "the same"},
	{"routing/backend", "internal/servertest", "proxies are tested behind the engines that are used"},
}

func allowed(from, to string, test bool) bool {
	lists := arrows
	if test {
		lists = slices.Concat(arrows, testArrows)
	}
	for _, a := range lists {
		if (a.from == from || a.from == everybody) && (a.to == to || a.to == everybody) {
			return true
		}
	}
	return false
}

func TestImportsFollowTheArrows(t *testing.T) {
	files, used := 0, map[[2]string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		for _, imp := range parsed.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			to, ours := strings.CutPrefix(name, module+"/")
			used[[2]string{from, to}] = true
			if ours && to != from && !allowed(from, to, strings.HasSuffix(path, "_test.go")) {
				t.Errorf("%s imports %s, and no arrow leads there", path, to)
			}
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Fatalf("read %d files: %v", files, err)
	}
	for _, a := range slices.Concat(arrows, testArrows) {
		if a.from != everybody && a.to != everybody && !used[[2]string{a.from, a.to}] {
			t.Errorf("nothing in %s imports %s any more: take the arrow away", a.from, a.to)
		}
	}
}

// An arrow is written once, with a reason.
func TestEveryArrowHasAReason(t *testing.T) {
	var seen []string
	for _, a := range slices.Concat(arrows, testArrows) {
		name := a.from + " → " + a.to
		if a.why == "" || slices.Contains(seen, name) {
			t.Errorf("arrow %s: reason %q, twice: %v", name, a.why, slices.Contains(seen, name))
		}
		seen = append(seen, name)
	}
}

// What must never be, whoever would like to: these keep rooms replaceable.
func TestSomeArrowsAreNeverAllowed(t *testing.T) {
	for _, a := range []struct{ from, to string }{
		{"routing", "discovery"}, {"routing", "server"}, {"routing", "certs"}, {"certs", "routing"}, {"certs", "server"}, {"certs", "discovery"}, {"routing/upstream", "discovery"},
		{"label", "spec"}, {"label", "exchange/x"}, {"exchange", "spec"}, {"server", "routing"}, {"server", "spec"}, {"admin", "routing"}, {"telemetry", "routing"}, {"spec", "routing"}, {"spec", "discovery"},
		{"bench", "server"}, {"bench/peers", "spec"}, {"bench/load", "internal/http1"}, // a yardstick is not made of what it measures
	} {
		if allowed(a.from, a.to, false) {
			t.Errorf("%s may import %s", a.from, a.to)
		}
	}
}
