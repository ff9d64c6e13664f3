package discovery

import (
	"context"
	"fmt"
	"maps"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/swarm"
)

// The labels of a Swarm service that `deploy.labels` and `docker service
// create --label` set are kept with the service, not with its tasks'
// containers, and only managers tell them. A container of a service has them
// here, and its own where they say nothing: what the operator wrote for the
// service stands above what came with the image, and can be changed without
// new tasks (docker service update --label-add).
//
// Only tasks that run on this engine are seen. There are no events for tasks,
// and the addresses of the others cannot be dialled from here unless the proxy
// is on their overlay network.

// Labels that the engine gives the containers of a service.
const (
	taskOf     = "com.docker.swarm.service.id"
	taskOfName = "com.docker.swarm.service.name"
	stackLabel = "com.docker.stack.namespace"
)

// ingress is the network of Swarm's own load balancer. Tasks have an address
// there, on which only what the balancer sends is let through.
const ingress = "ingress"

// project is the compose project or the Swarm stack. A service without a stack
// is its own: else each of its tasks, whose names differ, would be a stranger to
// the others.
func (f *facts) project() string {
	if f.composed() {
		return f.labels[projectLabel]
	}
	if stack := f.labels[stackLabel]; stack != "" {
		return stack
	}
	return f.labels[taskOfName]
}

// service is the compose or Swarm service.
func (f *facts) service() string {
	if f.composed() {
		return f.labels[serviceLabel]
	}
	return f.labels[taskOfName]
}

// composed reports whether compose made it, or says so.
func (f *facts) composed() bool { return f.labels[projectLabel] != "" || f.labels[serviceLabel] != "" }

func (e *engine) services(ctx context.Context) ([]swarm.Service, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timing.List)
	defer cancel()
	e.calls.services.Add(1)
	return e.cli.ServiceList(ctx, swarm.ServiceListOptions{})
}

// services is what is known of the services whose tasks run here.
type services struct {
	manager bool                         // by /info, when it connected
	labels  map[string]map[string]string // by id; nil where there are none or they are not to be had
	asking  bool
	due     bool   // to be asked for
	failure string // why the last answer brought none
}

// recheck asks for the services' labels again, if there is any task.
func (l *loop) recheck() { l.services.due = len(l.tasks) > 0 }

// dress gives a container the labels in force.
func (l *loop) dress(it *item) {
	id := it.labels[taskOf]
	labels, ok := l.services.labels[id]
	it.all, it.unserved = it.labels, id != "" && !ok
	if it.unserved {
		l.services.due = true
	}
	if len(labels) > 0 {
		it.all = maps.Clone(it.labels)
		maps.Copy(it.all, labels)
	}
}

// askServices lists the services beside the loop.
func (l *loop) askServices(ctx context.Context) {
	l.services.asking, l.services.due = true, false
	l.asking.Add(1)
	go l.fetchServices(ctx)
}

func (l *loop) fetchServices(ctx context.Context) {
	defer l.asking.Done()
	list, err := l.engine.services(ctx)
	l.answer(ctx, answer{isServices: true, services: list, err: err})
}

// servicesAnswered takes the services' labels in. A service that was removed
// keeps its last ones as long as it has a task here, one that is gone included.
func (l *loop) servicesAnswered(a answer) {
	l.services.asking = false
	if a.err == nil {
		l.services.failure = ""
	} else if !l.servicesFailed(a.err) {
		return
	}
	listed := make(map[string]map[string]string, len(a.services))
	for _, s := range a.services {
		listed[s.ID] = s.Spec.Labels
	}
	was := l.services.labels
	l.services.labels = make(map[string]map[string]string, len(l.tasks))
	for id := range l.tasks {
		labels, ok := listed[id]
		if !ok {
			labels = was[id]
		}
		l.services.labels[id] = labels
		if before, ok := was[id]; !ok || !maps.Equal(before, labels) {
			l.redress(id)
		}
	}
	l.changed()
}

// redress gives the tasks of a service their labels anew.
func (l *loop) redress(id string) {
	for _, it := range l.tasks[id] {
		l.dress(it)
		l.alter(it)
		if !it.gone() && !it.full && l.wanted(it) {
			l.enqueue(it.id, false)
			if l.first != nil {
				l.first[it.id] = true
			}
		}
		l.housed(it)
	}
}

// servicesFailed reports whether the failure is final: a worker's, or that of a
// socket proxy that does not allow it. Then the containers' own labels are all
// there is. Of a manager's others, nothing is known until the next list.
func (l *loop) servicesFailed(err error) (final bool) {
	refused := cerrdefs.IsPermissionDenied(err) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsNotFound(err)
	final = refused || cerrdefs.IsUnavailable(err) && !l.services.manager
	if text := err.Error(); text != l.services.failure {
		l.services.failure = text
		err = fmt.Errorf("list Swarm services: %w", err)
		if final && !l.services.manager {
			l.log.Debug().Err(err).Msg("containers of services have only their own labels")
			return final
		}
		l.log.Warn().Err(err).Msg("labels of Swarm services unknown")
		l.status.failed(err)
	}
	return final
}
