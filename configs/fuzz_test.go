package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/policy"
	"postern/registry"
)

func specKey(k registry.Key) string {
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.Public)))
	if k.NoTouchRequired {
		text = "no-touch-required " + text
	}
	return strings.TrimSpace(text + " " + k.Comment)
}

func specRule(r policy.Rule) RuleSpec {
	spec := RuleSpec{
		Tool: r.Tool, Path: r.Path, Access: r.Access.String(), Rooted: r.Rooted, MungeLinks: r.MungeLinks, AppendOnly: r.AppendOnly,
		OneWriter: r.OneWriter,
	}
	if r.Tool == policy.Rsync {
		spec.NoDelete, spec.NoOverwrite = !r.Delete, !r.Overwrite
	}
	if bytes, ok := r.Quota.Number(); ok {
		spec.Quota = strconv.FormatInt(bytes, 10) + "B"
	}
	if files, ok := r.MaxFiles.Number(); ok {
		spec.MaxFiles = strconv.FormatInt(files, 10)
	}
	if seconds, ok := r.Wait.Number(); ok {
		spec.Wait = strconv.FormatInt(seconds, 10) + "s"
	}
	if bytes, ok := r.MinFree.Number(); ok {
		spec.MinFree = strconv.FormatInt(bytes, 10) + "B"
	}
	if u, ok := r.RunAs.User(); ok && u.UID == 0 {
		spec.RunAs = "root"
	} else if ok {
		spec.RunAs = u.String()
	}
	return spec
}

func specBounds(b registry.Bounds) BoundsSpec {
	spec := BoundsSpec{
		Hours: b.Hours.Texts(), EndAfterHours: b.EndAfterHours, SessionTime: specSpan(b.SessionTime), Idle: specSpan(b.Idle),
	}
	for to, limit := range map[*string]policy.Limit{&spec.Connections: b.Connections, &spec.Sessions: b.Sessions} {
		if n, ok := limit.Number(); ok {
			*to = strconv.FormatInt(n, 10)
		}
	}
	for to, limit := range map[*string]policy.Limit{&spec.In: b.In, &spec.Out: b.Out} {
		if n, ok := limit.Number(); ok {
			*to = strconv.FormatInt(n, 10) + "B/s"
		}
	}
	return spec
}

func specSpan(d time.Duration) string {
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if d > 0 && d%unit.length == 0 {
			return strconv.FormatInt(int64(d/unit.length), 10) + unit.name
		}
	}
	return ""
}

// readAlone reads the file of one client, with nothing around it.
func readAlone(data []byte) (registry.Client, Problems) {
	r := new(report)
	s, ok := newSource("/x/laptop.yaml", data, r)
	if !ok {
		return registry.Client{}, r.problems
	}
	c := readClient(s, host{zone: time.UTC, borg2: true, users: testUsers(), protected: newProtected()})
	for i := range c.client.Rules {
		c.client.Rules[i].Where = ""
	}
	return *c.client, r.problems
}

// FuzzClientFile holds that no file makes the reader panic, that each problem
// has a message and a remedy that a terminal can show, that a client that was
// read and written as AddClient writes it reads the same, and that disabling and
// enabling it changes nothing else.
func FuzzClientFile(f *testing.F) {
	for _, pattern := range []string{"client.yaml", filepath.Join("testdata", "client", "*")} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%q: no seeds, error %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("keys: ['" + goodKey + " \"a\": b #c \\\\']\nfrom: [0.0.0.0/0]\nallow: [{rsync: '/a b', delete: false}, {borg: \"/x\\u00fc\"}]\n"))
	f.Add([]byte("{\"keys\": [\"no-touch-required " + securityKey + "\"], \"disabled\": true, expires: 2027-06-30T18:00:00.5+02:00}"))
	f.Add([]byte("keys: ['" + goodKey + "']\nlimits: {files: 1024, memory: 2GiB}\n" +
		"allow: [{rsync: /a, run_as: root}, {rsync: /b, run_as: 1000, min_free: 1.5TB, quota: 1B, max_files: 7}, {borg: /c, run_as: '7:8', one_writer: true, wait: 2h}, {borg: /d, wait: 0s}]\n"))
	f.Add([]byte("keys: ['" + goodKey + "']\nlimits: {connections: 3, sessions: 2, bandwidth: {out: 1 MB/s}, hours: [Mon-Fri 22:00-06:00, 'sat,sun 00:00-24:00'], after_hours: end, session_time: 90m, idle: 2h}\n"))
	f.Add([]byte("keys: ['" + goodKey + "']\nlimits: {bandwidth: 50MiB/s, hours: 22:00-06:00}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			t.Skip("long files are only slow")
		}
		client, problems := readAlone(data)
		for _, p := range problems {
			if p.Message == "" || p.Remedy == "" || strings.ContainsAny(p.String(), "\x00\x1b\x07\r") {
				t.Fatalf("problem %+v", p)
			}
		}
		if len(problems) == 0 {
			roundTrip(t, client)
		}
		checkDisabling(t, data, client, problems)
	})
}

func roundTrip(t *testing.T, client registry.Client) {
	text := specOf(client).render()
	again, problems := readAlone(text)
	if len(problems) > 0 {
		t.Fatalf("%s\nis refused: %v", text, problems)
	}
	if !client.Expires.Equal(again.Expires) {
		t.Fatalf("%s\nexpires %v, want %v", text, again.Expires, client.Expires)
	}
	client.Expires, again.Expires = time.Time{}, time.Time{}
	if !reflect.DeepEqual(again, client) {
		t.Fatalf("%s\nreads %+v, want %+v", text, again, client)
	}
}

func checkDisabling(t *testing.T, data []byte, client registry.Client, problems Problems) {
	disabled, ok := withDisabled("laptop.yaml", data, true, new(report))
	if !ok {
		return
	}
	got, left := readAlone(disabled)
	if len(problems) > 0 {
		return
	}
	client.Disabled = true
	if len(left) > 0 || !reflect.DeepEqual(got, client) {
		t.Fatalf("%q disabled is %q, which reads %+v, %v", data, disabled, got, left)
	}
}

// FuzzHours holds that what is accepted as hours covers on each of its days as many
// minutes as it says, and that nothing else does.
func FuzzHours(f *testing.F) {
	for _, text := range []string{
		"22:00-06:00", "00:00-24:00", "23:59-00:00", "mon 00:00-00:01", "Mon-Fri 22:00-06:00", "sat,sun 08:00-12:30", "fri-mon,wed 01:00-00:59",
		"24:00-00:00", "mon-fri", "6:00-7:00", "mon-mon,mon 01:00-02:00", " 01:00-02:00", "01:00-02:00\n", "x-y 01:00-02:00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		span, message, remedy := parseHours(text)
		if message != "" {
			if remedy == "" {
				t.Fatalf("%q %s, and there is no remedy", text, message)
			}
			return
		}
		days, covered := 0, 0
		for _, on := range span.Days {
			if on {
				days++
			}
		}
		for minute := range registry.WeekMinutes {
			if span.Covers(minute) {
				covered++
			}
		}
		length := (span.To-span.From+wholeDay-1)%wholeDay + 1
		if days == 0 || span.Text != text || covered != days*length {
			t.Fatalf("%q covers %d minutes on %d days: %+v", text, covered, days, span)
		}
	})
}
