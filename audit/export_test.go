package audit

// Die leaves a trail as a gateway does that is killed.
func (t *Trail) Die() {
	t.looking.end()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keeper.work.Wait()
	t.store.file.Close()
	t.keeper.lock.Close()
	if t.shared != nil {
		t.shared.turn.file.Close()
	}
}

// Shared reports whether the trail is shared.
func (t *Trail) Shared() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shared != nil
}
