package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"postern/audit"
)

func clock() time.Time { return time.Date(2026, 10, 18, 3, 4, 5, 60e6, time.FixedZone("x", 7200)) }

// records runs the events and returns what was written, one map a line.
func records(t *testing.T, events func(*audit.Trail) error) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	if err := events(audit.New(&out, clock)); err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(out.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("not a line of JSON: %q: %v", line, err)
		}
		all = append(all, record)
	}
	return all
}

var from = audit.Connection{
	ID: "c1", Address: "192.0.2.7:50001", Login: "backup", Software: "SSH-2.0-OpenSSH_9.2",
	Client: "laptop", Key: "SHA256:abc", Certificate: "serial 12",
}

func TestEveryEventIsOneRecord(t *testing.T) {
	for name, c := range map[string]struct {
		event func(*audit.Trail) error
		want  string // the record as fmt prints a map
	}{
		"gateway started": {func(a *audit.Trail) error {
			return a.GatewayStarted(audit.Start{Version: "1", Listen: []string{":2222"}, HostKeys: []string{"SHA256:h"},
				Clients: 3, Policy: "ab", Confinement: "none",
				Programs: []audit.Program{{Name: "rsync", Path: "/usr/bin/rsync", Version: "3.2.7", Holes: []string{"CVE-1"}}}})
		}, `clients:3 confinement:none host_keys:[SHA256:h] level:info listen:[:2222] message:gateway started policy:ab programs:[map[holes:[CVE-1] name:rsync path:/usr/bin/rsync version:3.2.7]] time:2026-10-18T01:04:05.060Z version:1`},
		"gateway draining": {func(a *audit.Trail) error { return a.GatewayDraining("signal", 2, time.Unix(0, 0)) },
			`level:info message:gateway draining sessions:2 time:2026-10-18T01:04:05.060Z until:1970-01-01T00:00:00.000Z why:signal`},
		"gateway stopped": {func(a *audit.Trail) error { return a.GatewayStopped("signal") },
			`level:info message:gateway stopped time:2026-10-18T01:04:05.060Z why:signal`},
		"listener failed": {func(a *audit.Trail) error { return a.ListenerFailed(":22", errors.New("too many open files")) },
			`error:too many open files level:error listen::22 message:listener failed time:2026-10-18T01:04:05.060Z`},
		"connection refused": {func(a *audit.Trail) error {
			return a.ConnectionRefused(audit.Connection{ID: "c1", Address: "192.0.2.7:1"}, "no common algorithm")
		}, `address:192.0.2.7:1 connection:c1 level:warn message:connection refused time:2026-10-18T01:04:05.060Z why:no common algorithm`},
		"connection accepted": {func(a *audit.Trail) error { return a.ConnectionAccepted(from) },
			`address:192.0.2.7:50001 certificate:serial 12 client:laptop connection:c1 key:SHA256:abc level:info login:backup message:connection accepted software:SSH-2.0-OpenSSH_9.2 time:2026-10-18T01:04:05.060Z`},
		"connection ended": {func(a *audit.Trail) error {
			return a.ConnectionEnded(audit.Connection{ID: "c1"}, 1500*time.Millisecond, 2, "client left")
		}, `address: connection:c1 level:info message:connection ended seconds:1.5 sessions:2 time:2026-10-18T01:04:05.060Z why:client left`},
		"key refused": {func(a *audit.Trail) error {
			return a.KeyRefused(audit.Connection{ID: "c1"}, audit.KeyRefusal{Fingerprint: "SHA256:x", Type: "ssh-ed25519", Proved: true, Code: "address", Why: "w"})
		}, `address: code:address connection:c1 fingerprint:SHA256:x level:warn message:key refused proved:true time:2026-10-18T01:04:05.060Z type:ssh-ed25519 why:w`},
		"panic": {func(a *audit.Trail) error { return a.Panicked(audit.Connection{ID: "c1"}, "boom", "main.go:1") },
			`address: cause:boom connection:c1 level:error message:panic stack:main.go:1 time:2026-10-18T01:04:05.060Z`},
		"requests refused": {func(a *audit.Trail) error {
			return a.RequestsRefused(audit.Connection{ID: "c1"}, "c1.1", map[string]int{"pty-req": 1, "env": 3})
		}, `address: connection:c1 kinds:[env pty-req] level:info message:requests refused scope:c1.1 time:2026-10-18T01:04:05.060Z times:[3 1]`},
		"session denied": {func(a *audit.Trail) error {
			return a.SessionDecided(audit.Connection{ID: "c1"}, audit.Decision{Session: "c1.1", Request: "sh", Verdict: "deny", Code: "unknown-program", Why: "w", Detail: "d"})
		}, `address: code:unknown-program connection:c1 detail:d direction: level:warn message:session decided request:sh rules:[] session:c1.1 time:2026-10-18T01:04:05.060Z tool: verdict:deny why:w`},
		"session allowed": {func(a *audit.Trail) error {
			return a.SessionDecided(audit.Connection{ID: "c1"}, audit.Decision{Session: "c1.1", Request: "rsync --server -s", Arguments: []string{"rsync", "."},
				Tool: "rsync", Direction: "push", Verdict: "allow", Rules: []string{"laptop.yaml:3"}, Program: "/usr/bin/rsync", Args: []string{"rsync", "--server"}, Dir: "/data"})
		}, `address: args:[rsync --server] arguments:[rsync .] connection:c1 dir:/data direction:push level:info message:session decided program:/usr/bin/rsync request:rsync --server -s rules:[laptop.yaml:3] session:c1.1 stores:false time:2026-10-18T01:04:05.060Z tool:rsync verdict:allow`},
		"session ended": {func(a *audit.Trail) error {
			return a.SessionEnded(audit.Connection{ID: "c1"}, audit.End{Session: "c1.1", Status: 143, Signal: "terminated", Lasted: time.Second, In: 1, Out: 2, Err: 3, Why: "keepalive", Failure: "f"})
		}, `address: connection:c1 err:3 failure:f in:1 level:info message:session ended out:2 seconds:1 session:c1.1 signal:terminated status:143 time:2026-10-18T01:04:05.060Z why:keepalive`},
	} {
		t.Run(name, func(t *testing.T) {
			got := records(t, c.event)
			if len(got) != 1 || fmt.Sprint(got[0]) != "map["+c.want+"]" {
				t.Errorf("got  %v\nwant [map[%s]]", got, c.want)
			}
		})
	}
}

// request records a foreign text and returns the record.
func request(t *testing.T, text string) map[string]any {
	t.Helper()
	return records(t, func(a *audit.Trail) error {
		return a.SessionDecided(audit.Connection{}, audit.Decision{Request: text})
	})[0]
}

func TestForeignTextComesBackExactly(t *testing.T) {
	for _, text := range []string{
		"rsync --server . plain", `back\slash`, "line\nbreak\r\t\x00\x1b[2J\x7f", `{"message":"session ended"}`, "日本語 ü",
		"not UTF-8 \xff\xfe \\xff", "C1 \u009b31m and \u202e reversed \\u{202e}", "\ufffd", "", "\u2028",
	} {
		got := request(t, text)
		back := got["request"].(string)
		if got["request_escaped"] == true {
			back = unescape(t, back)
		}
		if back != text {
			t.Errorf("%q came back as %q", text, back)
		}
	}
}

// What is shown on a terminal must not steer it.
func TestForeignTextCannotSteerATerminal(t *testing.T) {
	var out bytes.Buffer
	trail := audit.New(&out, clock)
	evil := "\x1b]0;x\a \u009b2J \u202e \xff \r\n"
	if err := trail.RequestsRefused(audit.Connection{Software: evil}, "s", map[string]int{evil: 1}); err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(out.String(), "\n") {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			t.Errorf("the record holds %q", r)
		}
	}
}

func TestForeignTextIsBounded(t *testing.T) {
	long := strings.Repeat("ä\xff", 400_000)
	sum := sha256.Sum256([]byte(long))
	got := request(t, long)
	kept := unescape(t, got["request"].(string))
	if len(kept) != 4096 || !strings.HasPrefix(long, kept) {
		t.Errorf("%d bytes were kept", len(kept))
	}
	if got["request_bytes"] != float64(len(long)) || got["request_sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("length %v and hash %v", got["request_bytes"], got["request_sha256"])
	}
}

func TestForeignListIsBounded(t *testing.T) {
	words := make([]string, 10_000)
	for i := range words {
		words[i] = "\xffname " + strconv.Itoa(i)
	}
	got := records(t, func(a *audit.Trail) error {
		return a.SessionDecided(audit.Connection{}, audit.Decision{Args: words})
	})[0]
	kept := got["args"].([]any)
	if len(kept) < 100 || len(kept) > 1000 || unescape(t, kept[99].(string)) != words[99] {
		t.Errorf("%d words were kept", len(kept))
	}
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00") + "\x00"))
	if got["args_count"] != 10000. || got["args_sha256"] != hex.EncodeToString(sum[:]) || got["args_escaped"] != true {
		t.Errorf("count %v, hash %v, escaped %v", got["args_count"], got["args_sha256"], got["args_escaped"])
	}
}

var escapes = regexp.MustCompile(`\\(\\|x[0-9a-f]{2}|u\{[0-9a-f]+\})`)

func unescape(t *testing.T, text string) string {
	t.Helper()
	return escapes.ReplaceAllStringFunc(text, func(found string) string {
		if found == `\\` {
			return `\`
		}
		code, err := strconv.ParseUint(strings.Trim(found[2:], "{}"), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		if found[1] == 'x' {
			return string([]byte{byte(code)})
		}
		return string(rune(code))
	})
}

type brokenWriter struct {
	n   int
	err error
}

func (w brokenWriter) Write([]byte) (int, error) { return w.n, w.err }

func TestARecordThatCannotBeWrittenIsAnError(t *testing.T) {
	full := errors.New("no space left")
	for name, w := range map[string]brokenWriter{"full": {0, full}, "short": {3, nil}} {
		if err := audit.New(w, clock).SessionDecided(from, audit.Decision{}); err == nil {
			t.Errorf("%s: no error", name)
		} else if w.err != nil && !errors.Is(err, full) {
			t.Errorf("%s: %v does not wrap the cause", name, err)
		}
	}
}

// lineWriter fails every second write, and notices records that mix.
type lineWriter struct {
	t     *testing.T
	calls int
}

func (w *lineWriter) Write(line []byte) (int, error) {
	if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
		w.t.Errorf("not one record: %q", line)
	}
	if w.calls++; w.calls%2 == 0 {
		return 0, errors.New("full")
	}
	return len(line), nil
}

func TestRecordsDoNotMix(t *testing.T) {
	trail := audit.New(&lineWriter{t: t}, clock)
	var failed sync.Map
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if trail.ConnectionAccepted(from) != nil {
				failed.Store(i, true)
			}
		})
	}
	all.Wait()
	n := 0
	failed.Range(func(any, any) bool { n++; return true })
	if n != 50 {
		t.Errorf("%d of 100 failed, want 50", n)
	}
}
