package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/gateway"
	"postern/gateway/door"
	"postern/policy"
	"postern/registry"
	"postern/sandbox"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	sandbox.Main(os.Args)
	goleak.VerifyTestMain(m)
}

// world is a gateway that serves on loopback, with one client.
type world struct {
	t      *testing.T
	addr   string
	host   ssh.PublicKey
	config gateway.Config
	server *gateway.Server
	trail  *records
	// key is of the client "laptop", whose rule is for the folder data.
	key  ssh.Signer
	data string
	// stop ends the gateway and waits for it. ended gets what Serve returned.
	stop  func()
	ended chan error
}

// script makes an executable that runs the lines with sh. It stands for rsync,
// whose arguments it gets and ignores.
func script(t *testing.T, lines string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rsync")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

type clients = []registry.Client

// lenient is a door that punishes nobody: every peer of a test is at one address.
func lenient() *door.Door {
	return door.New(door.Config{Penalties: door.Penalties{Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
}

// me is who runs the tests, as whom the children run too.
func me() policy.User { return policy.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())} }

func runAsMe() policy.RunAs { return policy.RunAsUser(me()) }

// serve starts a gateway whose rsync is the given program. change may alter the
// configuration and the clients before it starts.
func serve(t *testing.T, rsync string, change ...func(*world, *clients)) *world {
	t.Helper()
	w := &world{t: t, key: newKey(t), trail: &records{changed: make(chan struct{})}, data: realTempDir(t)}
	all := clients{{
		Name:  "laptop",
		Keys:  []registry.Key{{Public: w.key.PublicKey()}},
		Rules: []policy.Rule{{Tool: policy.Rsync, Path: w.data, Access: policy.ReadWrite, Delete: true, Overwrite: true, RunAs: runAsMe(), Where: "laptop.yaml:3"}},
	}}
	hostKey := newKey(t)
	w.host = hostKey.PublicKey()
	w.config = gateway.Config{
		HostKeys: []ssh.Signer{hostKey},
		Host:     policy.Host{Rsync: policy.Program{Path: rsync, Version: "3.5.0"}, Home: "/nonexistent", User: me()},
		// The programs of these tests are scripts with tools of their own.
		Confinement: sandbox.None,
		Trail:       audit.New(w.trail, time.Now),
		KillGrace:   100 * time.Millisecond,
		Door:        lenient(),
	}
	for _, f := range change {
		f(w, &all)
	}
	w.config.Clients = registry.NewStore(set(t, all...))
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	server, err := gateway.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	w.ended = make(chan error)
	go func() { w.ended <- server.Serve(ctx, l) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-w.ended:
			if err != nil {
				w.t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			w.t.Error("Serve does not end")
		}
	})
	w.t.Cleanup(w.stop)
}

func set(t *testing.T, clients ...registry.Client) *registry.Set {
	t.Helper()
	s, err := registry.New(clients)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, private)
}

func signer(t *testing.T, private any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func realTempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// push is the exec string of a stock client that pushes into the data folder.
func (w *world) push() string { return "rsync --server -logDtpre.iLsfxCIvu . " + w.data + "/" }

// dial connects as login with the key, and returns what the gateway said in
// banners.
func (w *world) dial(login string, key ssh.Signer) (*ssh.Client, string, error) {
	var banners strings.Builder
	config := &ssh.ClientConfig{
		User:            login,
		HostKeyCallback: ssh.FixedHostKey(w.host),
		BannerCallback:  func(text string) error { banners.WriteString(text); return nil },
		Timeout:         patience,
	}
	if key != nil {
		config.Auth = []ssh.AuthMethod{ssh.PublicKeys(key)}
	}
	client, err := ssh.Dial("tcp", w.addr, config)
	if err == nil {
		w.t.Cleanup(func() { client.Close() })
	}
	return client, banners.String(), err
}

// client connects as the client "laptop".
func (w *world) client() *ssh.Client {
	w.t.Helper()
	client, _, err := w.dial("backup", w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// session opens a session on a new connection.
func (w *world) session() *ssh.Session {
	w.t.Helper()
	return newSession(w.t, w.client())
}

func newSession(t *testing.T, client *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// run runs a command as stock clients do and returns its output and status.
func (w *world) run(client *ssh.Client, command string) (stdout, stderr string, status int) {
	w.t.Helper()
	s := newSession(w.t, client)
	var out, complaints bytes.Buffer
	s.Stdout, s.Stderr = &out, &complaints
	err := s.Run(command)
	return out.String(), complaints.String(), exitStatus(w.t, err)
}

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitStatus()
	}
	t.Errorf("no exit status: %v", err)
	return -1
}

// records is a trail that tests can read and wait for.
type records struct {
	mu      sync.Mutex
	all     []record
	changed chan struct{}
	// full makes every event of this name fail.
	full string
}

type record map[string]any

func (r record) is(event string) bool { return r["message"] == event }

func (r *records) Write(line []byte) (int, error) {
	var record record
	if err := json.Unmarshal(line, &record); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full != "" && record.is(r.full) {
		return 0, errors.New("no space left on device")
	}
	r.all = append(r.all, record)
	close(r.changed)
	r.changed = make(chan struct{})
	return len(line), nil
}

// fail makes every record of the event fail from now on.
func (r *records) fail(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = event
}

// find returns the records of an event so far, and what to wait for.
func (r *records) find(event string) (found []record, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range r.all {
		if record.is(event) {
			found = append(found, record)
		}
	}
	return found, r.changed
}

// wait returns the first record of an event, once there is one.
func (w *world) wait(event string) record {
	w.t.Helper()
	return w.waitFor(event, 1)[0]
}

func (w *world) waitFor(event string, n int) []record {
	w.t.Helper()
	timeout := time.After(patience)
	for {
		found, changed := w.trail.find(event)
		if len(found) >= n {
			return found
		}
		select {
		case <-changed:
		case <-timeout:
			w.t.Fatalf("no record %q; there are %v", event, w.trail.all)
		}
	}
}

// none reports records of an event that must not be there.
func (w *world) none(event string) {
	w.t.Helper()
	if found, _ := w.trail.find(event); len(found) > 0 {
		w.t.Errorf("there are records of %q: %v", event, found)
	}
}

// gate is a FIFO that a child reads a line from before it goes on.
type gate struct {
	path string
	file *os.File
}

func newGate(t *testing.T) gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return gate{path, file}
}

func (g gate) open() { g.file.WriteString("\n") }

// waitGone waits until a process is gone; where nobody reaps orphans it stays as
// a zombie, which counts as gone.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, state, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(state, "Z") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
	}
}
