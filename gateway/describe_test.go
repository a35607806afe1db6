package gateway_test

import (
	"strings"
	"testing"
	"time"

	"postern/gateway"
	"postern/policy"
	"postern/registry"
)

func TestDescribe(t *testing.T) {
	both := policy.Host{Rsync: policy.Program{Path: "/usr/bin/rsync"}, Borg2: policy.Program{Path: "/usr/bin/borg2"}}
	rules := []policy.Rule{
		{Tool: policy.Rsync, Path: "/volume1/Backups/laptop", Access: policy.ReadWrite, Delete: true, Overwrite: true, OneWriter: true, MaxFiles: policy.LimitOf(5)},
		{Tool: policy.Rsync, Path: "/volume1/in\x1b[2Jbox", Access: policy.WriteOnly, Rooted: true, MungeLinks: true},
		{Tool: policy.Rsync, Path: "/volume1/photos", Access: policy.ReadOnly, OneWriter: true, Quota: policy.LimitOf(1 << 40), MaxFiles: policy.LimitOf(5)},
		{Tool: policy.Borg, Path: "/volume1/laptop.borg", Access: policy.ReadWrite, AppendOnly: true, Quota: policy.LimitOf(500 << 30), MinFree: policy.LimitOf(1 << 30)},
	}
	for name, c := range map[string]struct {
		client registry.Client
		host   policy.Host
		able   bool
		want   string
	}{
		"everything": {registry.Client{Name: "laptop", Rules: rules}, both, true, `
You are client "laptop", with the key SHA256:x.
There is no shell here. You may use:

  rsync  "/volume1/Backups/laptop"    read-write, one writer at a time, at most 5 files
  rsync  "/volume1/in\x1b[2Jbox"      write-only, no deleting, no overwriting, seen as /, symbolic links made inert
  rsync  "/volume1/photos"            read-only
  borg   "/volume1/laptop.borg"       read-write, append only, at most 500 GiB, while 1.0 GiB are free
`},
		"nothing": {registry.Client{Name: "laptop"}, both, false, `
You are client "laptop", with the key SHA256:x.
You may do nothing here: no rule allows you anything.
`},
		"not installed, and not for long": {
			registry.Client{Name: "laptop", Rules: rules[3:], Expires: time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC)}, policy.Host{Rsync: both.Rsync}, false, `
You are client "laptop", with the key SHA256:x.
Your access ends at 2027-07-01 00:00 UTC.
There is no shell here. You may use:

  borg  "/volume1/laptop.borg"  read-write, append only, not installed on this gateway, at most 500 GiB, while 1.0 GiB are free
`},
		"within limits": {
			registry.Client{Name: "laptop", Rules: rules[2:3], Bounds: registry.Bounds{
				Connections: policy.LimitOf(1), Sessions: policy.LimitOf(2), In: policy.LimitOf(50 << 20), Out: policy.LimitOf(50 << 20),
				Hours: night(), SessionTime: 90 * time.Minute, Idle: 10 * time.Second,
			}}, both, true, `
You are client "laptop", with the key SHA256:x.
There is no shell here. You may use:

  rsync  "/volume1/photos"  read-only

All together:

  at most 1 connection at once
  at most 2 sessions at once
  at most 50 MiB/s each way
  in the hours 22:00-06:00; what runs then may finish
  at most 90m for a session
  given up after 10s without an answer
`},
		"unknown tool": {registry.Client{Name: "laptop", Rules: []policy.Rule{{Tool: "scp", Path: "/x"}}}, both, false, `
You are client "laptop", with the key SHA256:x.
There is no shell here. You may use:

  scp  "/x"  none, not installed on this gateway
`},
	} {
		if got := gateway.Describe(c.client, "SHA256:x", c.host); squeeze(got) != squeeze(c.want[1:]) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
		if got := gateway.MayAnything(c.client, c.host); got != c.able {
			t.Errorf("%s: may do something: %v", name, got)
		}
	}
}

// squeeze makes any run of blanks one; the table's padding is its own business.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
