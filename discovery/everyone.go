package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Listed is a container as a list of the engine shows it.
type Listed struct {
	ID, Name         string
	Project, Service string // "" without
	State            string // in the engine's word: "running", "exited"
}

// Everyone asks the engine for all its containers, by name: also those that are of no
// interest (Config.Projects), of which nothing else is told. It is for people who ask
// why one is missing, and needs Run to have connected.
func (d *Docker) Everyone(ctx context.Context) ([]Listed, error) {
	e := d.engine.Load()
	if e == nil {
		return nil, errors.New("list containers: not connected yet")
	}
	rows, err := e.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", e.cause(ctx, err))
	}
	all := make([]Listed, len(rows))
	for i, row := range rows {
		f := fromList(row)
		all[i] = Listed{f.id, f.name, f.project(), f.service(), f.status}
	}
	slices.SortFunc(all, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
