package e2e

import "strings"

// A situation is what a compose file cannot say. Each func may be nil.
type situation struct {
	prepare func(r *mistaken) // before the project is brought up
	then    func(r *mistaken) // once it is up
	repair  func(r *mistaken) // beside what the file says is the fix
}

var situations = map[string]situation{
	"":        {},
	"stopped": {then: stopApp, repair: func(r *mistaken) { r.projects[""].do("start") }},
	"one-off": {then: runOneOff, repair: func(r *mistaken) { r.projects[""].do("up", "-d") }},
}

// stopApp stops the service web.
func stopApp(r *mistaken) { r.projects[""].do("stop", "-t", "1", "web") }

// runOneOff replaces the container of web by one of `compose run`.
func runOneOff(r *mistaken) {
	p := r.projects[""]
	p.do("rm", "-s", "-f", "web")
	id := p.do("run", "-d", "web")
	r.known["oneoff"] = strings.TrimSpace(id[strings.LastIndex(id, "\n")+1:])
}
