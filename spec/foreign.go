package spec

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// Labels of other proxies that give a container its host: what is left in a
// compose file of whoever moves here. The submatch is the host.
var (
	ruleOfTraefik = regexp.MustCompile(`^traefik\.http\.routers\.[^.]+\.rule$`)
	hostInRule    = regexp.MustCompile("(?i)Host\\(\\s*[`\"']([^`\"']+)[`\"']")
	siteOfCaddy   = regexp.MustCompile(`^caddy(_[0-9]+)?$`)
)

// foreign hints at a container that has labels of another proxy and none of
// ours. Whoever runs both knows, and is not harmed.
func (c *container) foreign(prefix string) {
	if strings.EqualFold(c.w.Labels["traefik.enable"], "false") || len(c.problems) > 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.w.Labels)) {
		proxy, host := "", ""
		switch text := c.w.Labels[name]; {
		case ruleOfTraefik.MatchString(name):
			proxy = "Traefik"
			if m := hostInRule.FindStringSubmatch(text); m != nil {
				host = m[1]
			}
		case siteOfCaddy.MatchString(name):
			proxy, host = "caddy-docker-proxy", strings.TrimSpace(text)
		}
		if _, err := ParseHostPattern(host); proxy == "" || host == "" || err != nil {
			continue
		}
		c.problems = append(c.problems, Problem{
			Code: "foreign-labels", Container: c.w.Name, Label: label.Shown(name), Value: label.Shown(c.w.Labels[name]),
			Message: "is read by " + proxy + " and not by this proxy, which has no label of this container",
			Fix:     "if it is to be served here, add the label " + prefix + ".host: " + label.Shown(host), Effect: label.Hinted,
		})
		return
	}
}

// TitleLabel and OwnTitle are by what images say that they are this program
// (OCI image specification, annotations). The Dockerfile sets it.
const (
	TitleLabel = "org.opencontainers.image.title"
	OwnTitle   = "fairlead"
)

// secondProxy hints at a container that is a proxy like this one: both would
// serve the same containers, and order the same certificates. One of the same
// project may be the successor or the predecessor in an upgrade.
func (p *Parser) secondProxy(w *Workload) []Problem {
	if w.Labels[TitleLabel] != OwnTitle || w.State != Running || w.ID == p.self.ID || w.Project != "" && w.Project == p.self.Project {
		return nil
	}
	return []Problem{{
		Code: "second-proxy", Container: w.Name,
		Message: "is a Fairlead too, on the same engine as this one: both serve the same containers, and each gets certificates of its own for them",
		Fix:     "stop one of them, or have each read labels (--label-prefix) or projects (--project) of its own", Effect: label.Hinted,
	}}
}
