package upstream

// Why says in words why the pool has no ready endpoint, container by container.
func (p *Pool) Why() string {
	return p.unavailable().(*Unavailable).Reason
}
