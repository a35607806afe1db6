package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/audit"
	"postern/configs"
	"postern/sandbox"
)

// reloading is a reloader that nobody tells of changes: what it sees, a poll sees.
type reloading struct {
	*reloader
	t      *testing.T
	folder string
	log    bytes.Buffer
}

func newReloading(t *testing.T) *reloading {
	t.Helper()
	config := newGatewayFolder(t)
	loader := configs.NewLoader(config)
	c, err := loader.Load()
	if err != nil {
		t.Fatal(err)
	}
	r := &reloading{t: t, folder: filepath.Dir(config)}
	trail := audit.New(&r.log, time.Now)
	server, _, err := newGateway(c, tools{}, sandbox.None, trail, doorOf(c.Door))
	if err != nil {
		t.Fatal(err)
	}
	r.reloader = &reloader{loader: loader, server: server, trail: trail, started: c, current: c, load: loader.Load}
	return r
}

func (r *reloading) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.folder, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// saw returns the records since the last call.
func (r *reloading) saw() string {
	r.reload(r.t.Context(), false)
	defer r.log.Reset()
	return r.log.String()
}

func (r *reloading) expect(step string, clients int, texts ...string) {
	r.t.Helper()
	saw := r.saw()
	for _, text := range texts {
		if !strings.Contains(saw, text) {
			r.t.Errorf("%s: the records lack %q: %s", step, text, saw)
		}
	}
	if len(texts) == 0 && saw != "" {
		r.t.Errorf("%s: recorded %s", step, saw)
	}
	if len(r.current.Clients) != clients {
		r.t.Errorf("%s: %d clients", step, len(r.current.Clients))
	}
}

func TestReload(t *testing.T) {
	r := newReloading(t)
	const one = "principals: [one]\n"
	r.expect("nothing happened", 0)
	r.write("clients.d/one.yaml", one)
	r.expect("a new client", 1, `"clients":1`, "policy loaded")
	r.expect("nothing more happened", 1)
	r.write("clients.d/two.yaml", "principles: [two]\n")
	r.expect("a bad file", 1, "policy refused", "two.yaml:1:1")
	r.expect("the bad file is there still", 1)
	r.write("clients.d/two.yaml", "principals: [one]\n")
	r.expect("another fault", 1, "policy refused", "is in client")
	r.write("clients.d/two.yaml", "principals: [two]\n")
	r.expect("a good file", 2, `"clients":2`, "policy loaded")
	if err := os.Remove(filepath.Join(r.folder, "clients.d/two.yaml")); err != nil {
		t.Fatal(err)
	}
	r.expect("a client is gone", 1, `"clients":1`, "policy loaded")
	text, err := os.ReadFile(filepath.Join(r.folder, "postern.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("postern.yaml", strings.NewReplacer("sessions: 10", "sessions: 3", "level: info", "level: warn").Replace(string(text)))
	r.expect("keys for the next start", 1, `"next_start":["connection","log"]`)
	r.write("postern.yaml", string(text))
	if saw := r.saw(); !strings.Contains(saw, "policy loaded") || strings.Contains(saw, "next_start") {
		t.Errorf("recorded %s", saw)
	}
	r.write("postern.yaml", "nonsense")
	r.expect("no configuration", 1, "policy refused")
	r.write("postern.yaml", string(text))
	r.expect("the same as before", 1, "policy loaded")
}

// Editors that write a new file first remove the old one: nobody loses anything in
// between.
func TestReloadLooksTwice(t *testing.T) {
	r := newReloading(t)
	r.write("clients.d/one.yaml", "principals: [one]\n")
	r.expect("a new client", 1, "policy loaded")
	file := filepath.Join(r.folder, "clients.d/one.yaml")
	if err := os.Rename(file, file+"~"); err != nil {
		t.Fatal(err)
	}
	back := time.AfterFunc(secondLook/4, func() { os.Rename(file+"~", file) })
	defer back.Stop()
	r.expect("away for a moment", 1)
}

// SIGHUP is answered by a record also where nothing has changed.
func TestReloadThatIsAskedFor(t *testing.T) {
	r := newReloading(t)
	r.loader.Forget()
	r.reload(t.Context(), true)
	if !strings.Contains(r.log.String(), "policy loaded") {
		t.Errorf("recorded %q", &r.log)
	}
}
