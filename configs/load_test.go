package configs

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/policy"
	"postern/registry"
)

const (
	caKey       = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIETU20ZHSEj5rtka5oSW/Ej6SW12tNo6mxeHb2sOlX1V ca"
	securityKey = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gAAAABHNzaDo="
)

func mustKey(t testing.TB, line string) registry.Key {
	t.Helper()
	key, faults := parseKey(line)
	if len(faults) > 0 {
		t.Fatalf("key %q: %v", line, faults)
	}
	return key
}

// numberedKey returns the line of a key that differs for each number.
func numberedKey(t testing.TB, n int) string {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(n)+1)
	public, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

func TestDefaults(t *testing.T) {
	w := newWorld(t)
	cfg := w.mustLoad()
	want := &Config{
		Path:                  w.path("postern.yaml"),
		Listen:                []string{":2222"},
		State:                 w.path("state"),
		ClientsDir:            w.path("clients.d"),
		HostKeys:              []string{w.path("state/ssh_host_ed25519_key")},
		Programs:              Programs{Aliases: map[string][]string{}},
		LogLevel:              "info",
		Audit:                 Audit{Files: "all", Keep: 400 * 24 * time.Hour},
		SessionsPerConnection: 10,
		Idle:                  time.Minute,
		Door:                  defaultDoor(),
		Drain:                 5 * time.Second,
		Hash:                  cfg.Hash,
		Clients:               []registry.Client{},
		set:                   cfg.set,
		uid:                   os.Geteuid(),
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("loaded\n%+v, want\n%+v", cfg, want)
	}
}

func TestGatewayFile(t *testing.T) {
	w := newWorld(t)
	if err := os.Rename(w.path("clients.d"), w.path("machines")); err != nil {
		t.Fatal(err)
	}
	w.write("revoked_keys", "serial: 12\n")
	w.write("postern.yaml", `
listen: ["127.0.0.1:22", "[::1]:0", "localhost:2222"]
state: /nowhere/postern/./
clients: ./machines
host_keys: [rsa_key, /nowhere/keys/ecdsa_key]
programs: {rsync: /opt/rsync-3.5/bin/rsync, borg: /usr/bin/borg, borg2: /opt/borg2/bin/borg}
aliases: {rsync: [/opt/bin/rsync, rsync-new], borg: [borg-backup], borg2: []}
certificates:
  authorities: ["`+caKey+`"]
  revoked: revoked_keys
sandbox: {require: landlock, most: full, i_accept_unconfined: false}
audit: {files: changes, keep: {time: 12w, size: 20GiB}}
connection:
  sessions: 1000
  idle: 5m
  startups: "10:30:100"
  startups_per_source: 5
  proxies: [10.0.0.1, "2001:db8:1::/48", "::ffff:10.0.0.2"]
  source_bits: {ipv4: 24, ipv6: 56}
  penalties: {crash: 1d, authfail: 2h, noauth: 3m, grace_exceeded: 4s, refuseconnection: 5s, min: 6s, max: 7d, max_sources: 1000, exempt: [192.168.1.0/24, "2001:db8::1"]}
drain: 24h
log: {level: debug}
`)
	cfg := w.mustLoad()
	revoked := cfg.Revoked
	cfg.Revoked = nil
	want := &Config{
		Path:       w.path("postern.yaml"),
		Listen:     []string{"127.0.0.1:22", "[::1]:0", "localhost:2222"},
		State:      "/nowhere/postern",
		ClientsDir: w.path("machines"),
		HostKeys:   []string{"/nowhere/postern/ssh_host_ed25519_key", w.path("rsa_key"), "/nowhere/keys/ecdsa_key"},
		Programs: Programs{
			Rsync: "/opt/rsync-3.5/bin/rsync", Borg: "/usr/bin/borg", Borg2: "/opt/borg2/bin/borg",
			Aliases: map[string][]string{"rsync": {"/opt/bin/rsync", "rsync-new"}, "borg": {"borg-backup"}},
		},
		Authorities:           []ssh.PublicKey{mustKey(t, caKey).Public},
		LogLevel:              "debug",
		Sandbox:               Sandbox{Require: "landlock", Most: "full"},
		Audit:                 Audit{Files: "changes", Keep: 12 * 7 * 24 * time.Hour, Size: 20 << 30},
		SessionsPerConnection: 1000,
		Idle:                  5 * time.Minute,
		Door: Door{
			Start: 10, Rate: 30, Full: 100, PerSource: 5, IPv4Bits: 24, IPv6Bits: 56,
			Penalties: Penalties{
				Crash: 24 * time.Hour, AuthFail: 2 * time.Hour, NoAuth: 3 * time.Minute, GraceExceeded: 4 * time.Second, RefuseConnection: 5 * time.Second,
				Min: 6 * time.Second, Max: 7 * 24 * time.Hour, MaxSources: 1000,
				Exempt: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8::1/128")},
			},
		},
		Proxies:     []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("10.0.0.2/32")},
		Drain:       24 * time.Hour,
		Hash:        cfg.Hash,
		Clients:     []registry.Client{},
		set:         cfg.set,
		revokedFile: w.path("revoked_keys"),
		uid:         os.Geteuid(),
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("loaded\n%+v, want\n%+v", cfg, want)
	}
	if !revoked.RevokedCertificate(&ssh.Certificate{Serial: 12, Key: want.Authorities[0], SignatureKey: want.Authorities[0]}) {
		t.Error("the revocation list was not read")
	}
}

func TestClientFile(t *testing.T) {
	w := newWorld(t, "programs: {borg2: /opt/borg2/bin/borg}")
	w.client("laptop", `
keys:
  - '`+goodKey+` Ünïcode comment: with "quotes"'
  - no-touch-required `+securityKey+`
  - |
    `+numberedKey(t, 1)+`
principals: [laptop, alice@example.org]
login: backup
from: [192.168.1.7, 192.168.1.0/24, 0.0.0.0/0, "2001:db8::1", "2001:db8::/48", "::ffff:1.2.3.0/120", "::ffff:9.9.9.9", "::/0"]
expires: 2027-06-30
disabled: true
allow:
  - rsync: /volume1/Backups/laptop
  - access: read-only
    rsync: /volume1/Backups/Ünï code
    delete: false
    overwrite: false
    rooted: true
    munge_links: true
    run_as: 1002:100
    min_free: 1B
    quota: 1B
    max_files: 1000000
    one_writer: true
    wait: 0s
  - borg: /volume1/Backups/laptop.borg
    append_only: true
    quota: 500GiB
    wait: 24h
  - borg: /volume1/Backups/two.borg
    access: write-only
    quota: 1.5 TB
    run_as: alice
    min_free: 20GiB
limits:
  files: 1024
  memory: 2GiB
  connections: 3
  sessions: 2
  bandwidth: {in: 50MiB/s, out: 1.5 MB/s}
  hours: [mon-fri 22:00-06:00, "Sat,sun 08:00-24:00"]
  after_hours: end
  session_time: 12h
  idle: 10m
`)
	got := w.mustLoad().Clients[0]
	file := w.path("clients.d/laptop.yaml")
	if len(got.Keys) != 3 || got.Keys[0].Comment != `Ünïcode comment: with "quotes"` || got.Keys[0].NoTouchRequired ||
		!got.Keys[1].NoTouchRequired || got.Keys[2].Fingerprint() != mustKey(t, numberedKey(t, 1)).Fingerprint() {
		t.Errorf("keys %+v", got.Keys)
	}
	got.Keys = nil
	var from []string
	for _, network := range got.From {
		from = append(from, network.String())
	}
	if want := "192.168.1.7/32 192.168.1.0/24 0.0.0.0/0 2001:db8::1/128 2001:db8::/48 1.2.3.0/24 9.9.9.9/32 ::/0"; strings.Join(from, " ") != want {
		t.Errorf("from %q, want %q", from, want)
	}
	got.From = nil
	want := registry.Client{
		Name: "laptop", Login: "backup", Disabled: true, Principals: []string{"laptop", "alice@example.org"},
		Expires: time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC), Where: file,
		Limits: policy.Limits{Files: policy.LimitOf(1024), Memory: policy.LimitOf(2 << 30)},
		Bounds: registry.Bounds{
			Connections: policy.LimitOf(3), Sessions: policy.LimitOf(2), In: policy.LimitOf(50 << 20), Out: policy.LimitOf(1_500_000),
			Hours: registry.HoursOf(time.UTC,
				registry.Span{Days: [7]bool{1: true, 2: true, 3: true, 4: true, 5: true}, From: 22 * 60, To: 6 * 60, Text: "mon-fri 22:00-06:00"},
				registry.Span{Days: [7]bool{0: true, 6: true}, From: 8 * 60, To: 24 * 60, Text: "Sat,sun 08:00-24:00"}),
			EndAfterHours: true, SessionTime: 12 * time.Hour, Idle: 10 * time.Minute,
		},
		Rules: []policy.Rule{
			{Tool: policy.Rsync, Path: "/volume1/Backups/laptop", Access: policy.ReadWrite, Delete: true, Overwrite: true, Where: file + ":13"},
			{Tool: policy.Rsync, Path: "/volume1/Backups/Ünï code", Access: policy.ReadOnly, Rooted: true, MungeLinks: true,
				RunAs: policy.RunAsUser(policy.User{UID: 1002, GID: 100}), MinFree: policy.LimitOf(1),
				Quota: policy.LimitOf(1), MaxFiles: policy.LimitOf(1_000_000), OneWriter: true, Wait: policy.LimitOf(0), Where: file + ":14"},
			{Tool: policy.Borg, Path: "/volume1/Backups/laptop.borg", Access: policy.ReadWrite, AppendOnly: true, Quota: policy.LimitOf(500 << 30), Wait: policy.LimitOf(86400), Where: file + ":26"},
			{Tool: policy.Borg, Path: "/volume1/Backups/two.borg", Access: policy.WriteOnly, Quota: policy.LimitOf(1_500_000_000_000),
				RunAs: policy.RunAsUser(policy.User{UID: 1000, GID: 100}), MinFree: policy.LimitOf(20 << 30), Where: file + ":30"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("client\n%+v, want\n%+v", got, want)
	}
}

// TestFormsOfText loads one client in every way that an editor may save it.
func TestFormsOfText(t *testing.T) {
	plain := "# laptop\nkeys:\n  - " + goodKey + "\nlogin: backup\n"
	for name, content := range map[string]string{
		"plain":                 plain,
		"byte order mark":       "\ufeff" + plain,
		"Windows line ends":     strings.ReplaceAll(plain, "\n", "\r\n"),
		"both":                  "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n"),
		"no line end":           strings.TrimSuffix(plain, "\n"),
		"document marks":        "---\n" + plain + "...\n# done\n",
		"flow style":            "{keys: [" + goodKey + "], login: backup}\n",
		"JSON":                  `{"keys": ["` + goodKey + `"], "login": "backup"}`,
		"one byte under 1 MiB":  plain + strings.Repeat("#", 1<<20-len(plain)),
		"comments everywhere":   "# a\nkeys: # b\n  # c\n  - " + goodKey + " # d\n# e\nlogin: backup # f\n# g",
		"blank lines and trail": "\n\n" + plain + "\n  \n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client("laptop", content)
			client := w.mustLoad().Clients[0]
			if client.Login != "backup" || len(client.Keys) != 1 || client.Keys[0].Comment != "" {
				t.Errorf("client %+v", client)
			}
		})
	}
}

func TestPlacesInFormsOfText(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", "\ufeff# Ü\r\nkeys: [\""+goodKey+" Ü\"] \r\n# comment\r\n\"lögin\": x\r\n")
	_, err := w.load()
	if got, want := w.problems(err), "# want: 4:1: unknown key \"lögin\"\n# remedy: did you mean \"login\"?\n"; got != want {
		t.Errorf("problems\n%swant\n%s", got, want)
	}
}

// TestEverythingAtOnce finds the problems of all files in one load.
func TestEverythingAtOnce(t *testing.T) {
	w := newWorld(t, "lissten: []", "certificates: {revoked: revoked_keys}")
	w.write("revoked_keys", "serial: 0\n")
	w.client("a", "keys: [x]\n")
	w.client("b", "- not a client\n")
	w.client("c", "keys: ['"+goodKey+"']\nallow: [{rsync: '"+w.path("state")+"'}]\n")
	w.client("d", "keys: ['"+goodKey+"']\nallow: [{borg: /srv/d, access: read-only}]\n")
	w.write("clients.d/e.yml", "")
	_, err := w.load()
	problems, _ := err.(Problems)
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line))
	}
	// The gateway's own file may have meant a borg 2, so that is not complained
	// about.
	if want := "a.yaml:1 b.yaml:1 c.yaml:2 d.yaml:1 e.yml:0 postern.yaml:2 revoked_keys:1"; strings.Join(got, " ") != want {
		t.Errorf("problems of %q, want %q", got, want)
	}
}

func TestClientsOfBrokenGatewayFile(t *testing.T) {
	w := newWorld(t)
	w.client("a", "keys: [x]\n")
	for content, want := range map[string]int{"state: [\n": 1, "state: state\nclients: 1\n": 1, "x: 1\n": 3} {
		w.write("postern.yaml", content)
		_, err := w.load()
		if problems, _ := err.(Problems); len(problems) != want {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestConflictsBetweenClients(t *testing.T) {
	w := newWorld(t)
	w.client("a", "keys:\n  - "+numberedKey(t, 1)+"\n  - "+goodKey+"\nprincipals: [x]\n")
	w.client("b", "login: b\nkeys: ['"+goodKey+" again']\nprincipals: [y, x]\n")
	w.client("c", "login: c\nkeys: ['"+numberedKey(t, 2)+"']\n")
	w.client("d", "login: d\nkeys: ['"+numberedKey(t, 2)+"']\n")
	_, err := w.load()
	want := `# want: 2:8: key "SHA256:LUwpLgMwhrsaBnJVaTiQ0Zfoa9C3nc0t0z4k8fvFy7g" is in client "a" and in client "b", and the login name does not tell them apart
# remedy: remove it here or from DIR/clients.d/a.yaml:3, or give both clients a login of their own
# want: 3:17: principal "x" is in client "a" and in client "b", and the login name does not tell them apart
# remedy: remove it here or from DIR/clients.d/a.yaml:4, or give both clients a login of their own
`
	if got := w.problems(err); got != want {
		t.Errorf("problems\n%swant\n%s", got, want)
	}
}

func TestOtherFilesInClientsFolder(t *testing.T) {
	w := newWorld(t)
	good := "keys: ['" + goodKey + "']\n"
	w.client("laptop", good)
	for _, name := range []string{".laptop.yaml.swp", ".hidden.yaml", "laptop.yaml~", "README", "laptop.yaml.bak", "notes.txt"} {
		w.write("clients.d/"+name, "not: [yaml")
	}
	if err := os.Mkdir(w.path("clients.d/@eaDir"), 0o777); err != nil {
		t.Fatal(err)
	}
	if got := w.mustLoad().Clients; len(got) != 1 || got[0].Name != "laptop" {
		t.Errorf("clients %+v", got)
	}
}

func TestNamesOfClientFiles(t *testing.T) {
	good := "keys: ['" + goodKey + "']\n"
	long := strings.Repeat("x", 65)
	for name, want := range map[string]string{
		"laptop.yml":         "files of clients end in \".yaml\", not in \".yml\"",
		"laptop.YAML":        "files of clients end in \".yaml\", not in \".YAML\"",
		"Laptop.yaml":        "\"Laptop\" is not the name of a client",
		"-laptop.yaml":       "\"-laptop\" is not the name of a client",
		"lap top.yaml":       "\"lap top\" is not the name of a client",
		"läptop.yaml":        "\"läptop\" is not the name of a client",
		"lap\ntop.yaml":      "\"lap\\ntop\" is not the name of a client",
		"lap\x1b[31mtop.yml": "files of clients end in \".yaml\", not in \".yml\"",
		long + ".yaml":       "\"" + long + "\" is not the name of a client",
		long[:64] + ".yaml":  "",
		"0.laptop_x-y.yaml":  "",
		"laptop.yaml.yaml":   "",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("clients.d/"+name, good)
			_, err := w.load()
			if want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			problems, _ := err.(Problems)
			if len(problems) != 1 || problems[0].Message != want {
				t.Fatalf("problems %v, want %q", err, want)
			}
			if bytes.ContainsAny([]byte(problems[0].String()), "\x1b") {
				t.Errorf("the terminal is steered by %q", problems[0].String())
			}
		})
	}
}

func TestClientsAreOrdered(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"b", "a.b", "a", "a-b", "c"} {
		w.client(name, "keys: ['"+numberedKey(t, i)+"']\n")
	}
	var names []string
	for _, c := range w.mustLoad().Clients {
		names = append(names, c.Name)
	}
	if want := []string{"a", "a-b", "a.b", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("order %q, want %q", names, want)
	}
}

// TestHashNamesContent changes each file in turn: the hash must change, and come
// back.
func TestHashNamesContent(t *testing.T) {
	w := newWorld(t, "certificates: {revoked: revoked_keys}")
	files := map[string]string{
		"revoked_keys":       "serial: 1\n",
		"clients.d/a.yaml":   "keys: ['" + goodKey + "']\n",
		"clients.d/b.yaml":   "principals: [b]\n",
		"postern.yaml":       "state: state\ncertificates: {revoked: revoked_keys}\n",
		"clients.d/c.yaml":   "principals: [c]\n",
		"clients.d/0.x.yaml": "principals: [x]\n",
	}
	for name, content := range files {
		w.write(name, content)
	}
	first := w.mustLoad().Hash
	if len(first) != 64 {
		t.Errorf("hash %q", first)
	}
	seen := map[string]string{first: "the first"}
	for name, content := range files {
		w.write(name, content+"# changed\n")
		hash := w.mustLoad().Hash
		if before, ok := seen[hash]; ok {
			t.Errorf("changing %s gives the hash of %s", name, before)
		}
		seen[hash] = name
		w.write(name, content)
		if w.mustLoad().Hash != first {
			t.Errorf("the hash does not come back after %s", name)
		}
	}
	if err := os.Rename(w.path("clients.d/b.yaml"), w.path("clients.d/d.yaml")); err != nil {
		t.Fatal(err)
	}
	if w.mustLoad().Hash == first {
		t.Error("renaming a client does not change the hash")
	}
}

func TestLoadUsesTheProcess(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", "keys: ['"+goodKey+"']\nexpires: 2027-06-30\n")
	t.Chdir(w.folder)
	cfg, err := Load("postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2027, 7, 1, 0, 0, 0, 0, time.Local); !cfg.Clients[0].Expires.Equal(want) {
		t.Errorf("expires %v, want %v", cfg.Clients[0].Expires, want)
	}
	if cfg.ClientFile("x") != w.path("clients.d/x.yaml") {
		t.Errorf("file %q", cfg.ClientFile("x"))
	}
}

// writeMany makes a gateway with many clients, each with a folder of its own.
func writeMany(t testing.TB, n int) *world {
	w, backups := newWorld(t), t.TempDir()
	for i := range n {
		w.client(fmt.Sprintf("client-%05d", i), fmt.Sprintf(`# Client
keys:
  - %s backup@client
from: [192.168.1.0/24, "2001:db8:1::/48"]
expires: 2027-06-30
allow:
  - rsync: %s/client-%05d
    delete: false
  - borg: %s/client-%05d.borg
    append_only: true
    quota: 500GiB
`, numberedKey(t, i), backups, i, backups, i))
	}
	return w
}

// TestManyClients would take minutes if every client were compared with every
// other.
func TestManyClients(t *testing.T) {
	w := writeMany(t, 2000)
	start := time.Now()
	cfg := w.mustLoad()
	took := time.Since(start)
	if len(cfg.Clients) != 2000 {
		t.Errorf("%d clients", len(cfg.Clients))
	}
	if limit := 10 * time.Second; took > limit {
		t.Errorf("took %v, more than %v", took, limit)
	}
}

func BenchmarkLoad(b *testing.B) {
	w := writeMany(b, 10_000)
	for b.Loop() {
		w.t = b
		w.mustLoad()
	}
}

// TestStateFolder holds that the state is known as soon as the gateway's own file
// tells it, and never from one that somebody else could have written.
func TestStateFolder(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		mode  os.FileMode
		knows bool
	}{
		"all is well":             {"state: state\n", 0o600, true},
		"another key is wrong":    {"listen: [nonsense]\nstate: state\nshell: yes\n", 0o600, true},
		"no YAML":                 {"state: state\n\t- {\n", 0o600, false},
		"no state":                {"listen: [\":22\"]\n", 0o600, false},
		"a state that is missing": {"state: elsewhere\n", 0o600, false},
		"a file for everybody":    {"state: state\n", 0o666, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client("broken", "keys: 12\n")
			w.write("postern.yaml", c.text)
			if err := os.Chmod(w.path("postern.yaml"), c.mode); err != nil {
				t.Fatal(err)
			}
			want := ""
			if c.knows {
				want = w.path("state")
			}
			if got := StateFolder(w.path("postern.yaml"), os.Geteuid()); got != want {
				t.Errorf("state %q, want %q", got, want)
			}
		})
	}
	w := newWorld(t)
	if err := os.Chmod(w.path("state"), 0o777); err != nil {
		t.Fatal(err)
	}
	if got := StateFolder(w.path("postern.yaml"), os.Geteuid()); got != "" {
		t.Errorf("a state that everybody can write is %q", got)
	}
}
