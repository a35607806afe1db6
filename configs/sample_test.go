package configs

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/policy"
	"postern/registry"
)

// example is a line of a sample that shows a key without setting it: prose has a
// space behind the #.
var example = regexp.MustCompile(`(?m)^( *)#([^ \n])`)

// key is a key of a sample, also in such a line.
var key = regexp.MustCompile(`(?m)^ *#?(?:- )?([a-z][a-z_0-9]*):`)

func sample(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// keysOf returns the keys of a sample, sorted.
func keysOf(text string) []string {
	var keys []string
	for _, found := range key.FindAllStringSubmatch(text, -1) {
		keys = append(keys, found[1])
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TestGatewaySampleIsTheDefault loads the reference: it must say what its
// comments call the defaults.
func TestGatewaySampleIsTheDefault(t *testing.T) {
	w := newWorld(t)
	want := w.mustLoad()
	w.write("postern.yaml", strings.Replace(sample(t, "postern.yaml"), referenceState, "state: state\n", 1))
	got := w.mustLoad()
	got.Hash = want.Hash
	got.Programs.Aliases = want.Programs.Aliases
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sample is\n%+v, the default\n%+v", got, want)
	}
}

func TestGatewaySampleExamples(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(sample(t, "postern.yaml"), referenceState, "state: state\n", 1)
	w.write("postern.yaml", example.ReplaceAllString(text, "$1$2"))
	w.write("revoked_keys", "serial: 12\n")
	cfg := w.mustLoad()
	if cfg.Programs.Borg2 == "" || cfg.Revoked == nil || len(cfg.Audit.Send) != 3 || cfg.Audit.Send[2].Key == "" {
		t.Errorf("the examples are not all there: %+v", cfg)
	}
}

func TestGatewaySampleHasEveryKey(t *testing.T) {
	want := []string{
		"aliases", "audit", "authfail", "authorities", "borg", "borg2", "certificates", "clients", "connection", "crash", "drain", "exempt", "files",
		"grace_exceeded", "host_keys", "i_accept_unconfined", "idle", "keep", "level", "listen", "log", "max", "max_sources", "min", "most", "noauth", "penalties",
		"programs", "proxies", "refuseconnection", "require", "revoked", "rsync", "sandbox", "send", "sessions", "size", "source_bits", "startups",
		"startups_per_source", "state", "time",
	}
	if got := keysOf(sample(t, "postern.yaml")); !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

func TestClientSample(t *testing.T) {
	w := newWorld(t)
	text := sample(t, "client.yaml")
	w.client("laptop", text)
	client := w.mustLoad().Clients[0]
	if len(client.Keys) != 1 || client.Disabled || client.Login != "" || len(client.From) != 2 {
		t.Errorf("client %+v", client)
	}
	if want := (policy.Limits{Files: policy.LimitOf(1024)}); client.Limits != want {
		t.Errorf("limits %+v, want %+v", client.Limits, want)
	}
	if !reflect.DeepEqual(client.Bounds, registry.Bounds{}) {
		t.Errorf("bounds %+v", client.Bounds)
	}
	// All but the quota is the default.
	for i := range client.Rules {
		client.Rules[i].Where = ""
	}
	want := []policy.Rule{
		{Tool: policy.Rsync, Path: "/volume1/Backups/laptop", Access: policy.ReadWrite, Delete: true, Overwrite: true},
		{Tool: policy.Borg, Path: "/volume1/Backups/laptop.borg", Access: policy.ReadWrite, Quota: policy.LimitOf(500 << 30)},
	}
	if !reflect.DeepEqual(client.Rules, want) {
		t.Errorf("rules %+v, want %+v", client.Rules, want)
	}
	w.client("laptop", example.ReplaceAllString(text, "$1$2"))
	client = w.mustLoad().Clients[0]
	if len(client.Keys) != 2 || !client.Keys[1].NoTouchRequired || client.Login != "backup" || len(client.Principals) != 1 ||
		client.Limits.Memory != policy.LimitOf(2<<30) || client.Bounds.Sessions != policy.LimitOf(2) || client.Bounds.Hours.String() != "22:00-06:00" {
		t.Errorf("the examples are not all there: %+v", client)
	}
	for _, r := range client.Rules {
		if _, named := r.RunAs.User(); !named || r.MinFree != policy.LimitOf(20<<30) || r.Wait != policy.LimitOf(30*60) ||
			r.Quota != policy.LimitOf(500<<30) || r.Tool == policy.Rsync && r.MaxFiles != policy.LimitOf(1_000_000) {
			t.Errorf("the examples are not all there: %+v", r)
		}
	}
	keys := []string{
		"access", "after_hours", "allow", "append_only", "bandwidth", "borg", "connections", "delete", "disabled", "expect", "expires", "files", "from",
		"hours", "idle", "keys", "limits", "login", "max_files", "memory", "min_free", "munge_links", "one_writer", "overwrite", "principals", "quota",
		"rooted", "rsync", "run_as", "session_time", "sessions", "wait",
	}
	if got := keysOf(text); !slices.Equal(got, keys) {
		t.Errorf("keys %q, want %q", got, keys)
	}
}
