package dockertest

import (
	"maps"
	"slices"

	"github.com/docker/docker/api/types/swarm"
)

// A Service is a Swarm service as a manager lists it.
type Service struct {
	Name   string
	Labels map[string]string // deploy.labels

	id string
}

// Manage makes the engine a Swarm manager with the network "ingress", or a
// worker again, which does not list services.
func (e *Engine) Manage(manager bool) {
	e.mu.Lock()
	e.manager = manager
	have := e.networks["ingress"] != nil
	e.mu.Unlock()
	if !have {
		e.AddNetwork(Network{Name: "ingress", Driver: "overlay", Ingress: true})
	}
}

// AddService creates a service without tasks and returns its id.
func (e *Engine) AddService(s Service) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.id, s.Labels = e.newID("service")[:25], maps.Clone(s.Labels)
	e.services[s.id] = &s
	e.tellService(&s, "create")
	return s.id
}

// UpdateService replaces a service's labels; its tasks stay.
func (e *Engine) UpdateService(id string, labels map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.services[id]
	s.Labels = maps.Clone(labels)
	e.tellService(s, "update")
}

// RemoveService removes a service; its tasks are the test's to remove.
func (e *Engine) RemoveService(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.services[id]
	delete(e.services, id)
	e.tellService(s, "remove")
}

// Task is c as a container of a service, with the labels the engine gives it.
func (e *Engine) Task(service string, c Container) Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	labels := map[string]string{"com.docker.swarm.service.id": service, "com.docker.swarm.service.name": e.services[service].Name}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	return c
}

func (e *Engine) tellService(s *Service, action string) {
	e.emit(message{Type: "service", Action: action, ID: s.id, Attributes: map[string]string{"name": s.Name}})
}

func (e *Engine) serviceList() (any, error) {
	if !e.manager {
		return nil, statusError{503, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."}
	}
	out := make([]swarm.Service, 0, len(e.services))
	for _, id := range slices.Sorted(maps.Keys(e.services)) {
		s := swarm.Service{ID: id}
		s.Spec.Name, s.Spec.Labels = e.services[id].Name, e.services[id].Labels
		out = append(out, s)
	}
	return out, nil
}
