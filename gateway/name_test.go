package gateway_test

import (
	"regexp"
	"testing"
	"time"

	"postern/audit"
)

// Readers of a trail find a session by the time that its name begins with.
func TestConnectionsAreNamedByTheirTime(t *testing.T) {
	at := time.Date(2026, 10, 18, 1, 4, 5, 0, time.UTC)
	w := serve(t, script(t, `true`), func(w *world, _ *clients) {
		w.config.Now = func() time.Time { return at }
		w.config.Trail = audit.New(w.trail, w.config.Now)
	})
	w.client()
	w.client()
	names := map[any]bool{}
	for _, r := range w.waitFor("connection accepted", 2) {
		name, _ := r["connection"].(string)
		if names[name] = true; !regexp.MustCompile(`^6ad41b05[0-9a-f]{8}$`).MatchString(name) {
			t.Errorf("a connection of %v is named %q", at, name)
		}
	}
	if len(names) != 2 {
		t.Errorf("two connections have the names %v", names)
	}
}
