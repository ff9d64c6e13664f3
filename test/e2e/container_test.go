package e2e

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
)

// unique returns a name that nothing else on the engine has; it can be a host
// name too.
func unique(t testing.TB, what string) string {
	t.Helper()
	return fmt.Sprintf("%s-%s-%s", prefix, strings.ToLower(what), strings.ToLower(rand.Text()[:5]))
}

// A container is one app on the engine.
type container struct {
	t    testing.TB
	Name string
	ID   string
}

// runApp starts whoami; flags are those of `docker run`.
func runApp(t testing.TB, flags ...string) *container {
	t.Helper()
	return runImage(t, imageWhoami, flags...)
}

func runImage(t testing.TB, image string, flags ...string) *container {
	t.Helper()
	c := &container{t: t, Name: unique(t, "c")}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try("docker", "logs", "--tail", "20", c.Name)
			t.Logf("log of %s:\n%s", c.Name, out)
		}
		try("docker", "rm", "-f", "-v", c.Name)
	})
	args := append([]string{"run", "-d", "--name", c.Name}, flags...)
	c.ID = docker(t, append(args, image)...)
	return c
}

// label makes the flag of one fairlead label.
func label(key, value string) string { return "--label=fairlead." + key + "=" + value }

// do runs a docker subcommand on the container: c.do("stop", "-t", "5").
func (c *container) do(verb string, flags ...string) {
	c.t.Helper()
	docker(c.t, append(append([]string{verb}, flags...), c.Name)...)
}

// network makes a bridge network.
func network(t testing.TB) string {
	t.Helper()
	name := unique(t, "net")
	docker(t, "network", "create", name)
	t.Cleanup(func() { try("docker", "network", "rm", name) })
	return name
}
