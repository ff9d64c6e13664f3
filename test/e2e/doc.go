// Package e2e brings the built program and the built image up on a real Docker
// engine and looks at them from outside, as a user does: compose files,
// requests, the command line, the log.
//
// Everything it makes on the engine has a name that begins with fltest-e2e-p
// and the process id of the test; leftovers of a run that was killed are
// removed by the next one. Two runs on one engine do not disturb each other.
// Nothing is pulled: all images are made FROM scratch.
//
// Two tests have an engine of their own, and one of these a machine of its own,
// on which the commands and compose files of the pages are run.
//
// COMPOSE names the Compose to use; without it `docker compose` if it is
// there, else `docker-compose`.
package e2e
