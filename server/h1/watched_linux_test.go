package h1

// watched returns how many requests have their client watched.
func watched(e *Engine) int {
	w := e.watching()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.known)
}
