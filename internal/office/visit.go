package office

import (
	"fmt"
	"time"

	"postern/audit"
)

// visitor is a client and the one session that it comes for.
type visitor struct {
	audit.Connection
	session string
	folder  string
	nth     int
}

// visit plans one session of a client, and its connection.
func (o *office) visit(at time.Time, nth int) {
	v := visitor{nth: nth}
	v.Connection = o.connection(at, fmt.Sprintf("10.0.%d.%d", v.nth/100, v.nth%100))
	v.session = v.ID + ".1"
	v.Login, v.Software = "backup", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10"
	v.Client, v.Key = fmt.Sprintf("client-%03d", v.nth), key(v.nth)
	v.folder = "/volume1/Backups/" + v.Client
	o.plan(at, func() error { return o.trail.ConnectionAccepted(v.Connection) })
	if o.random.IntN(3) == 0 {
		o.plan(at, func() error {
			return o.trail.RequestsRefused(v.Connection, v.session, map[string]int{"env": 1 + o.random.IntN(2)})
		})
	}
	at = at.Add(o.during(300 * time.Millisecond))
	lasts := time.Second + o.during(20*time.Second)
	if o.random.IntN(40) == 0 {
		lasts = o.during(10 * time.Hour)
	}
	switch o.random.IntN(60) {
	case 0:
		lasts = 0
		o.denied(at, v)
	default:
		o.session(at, v, lasts)
	}
	o.plan(at.Add(lasts+time.Second), func() error {
		return o.trail.ConnectionEnded(v.Connection, lasts+time.Second, 1, "the client left")
	})
}

// denied plans a session that policy refuses.
func (o *office) denied(at time.Time, v visitor) {
	o.plan(at, func() error {
		return o.trail.SessionDecided(v.Connection, audit.Decision{
			Session: v.session, Request: "rsync --server -logDtpre.iLsfxCIvu . /etc", Tool: "rsync", Direction: "push", Verdict: "deny",
			Rules: []string{v.rule()}, Code: "path-outside", Why: `"/etc" is outside the allowed paths`,
		})
	})
}

func (v visitor) rule() string { return fmt.Sprintf("/etc/postern/clients.d/%s.yaml:4", v.Client) }

// session plans one that is allowed: one of four is borg's.
func (o *office) session(at time.Time, v visitor, lasts time.Duration) {
	d := audit.Decision{Session: v.session, Verdict: "allow", Rules: []string{v.rule()}, Dir: v.folder, Confinement: "full", User: "1026:100", Stores: true}
	during, end := at.Add(lasts/2), audit.End{Session: v.session, Lasted: lasts, In: o.random.Int64N(1e10), Out: o.random.Int64N(1e5), Why: "the program ended"}
	if o.random.IntN(50) == 0 {
		end.Status = 23
	}
	if v.nth%4 == 0 {
		d.Tool, d.Direction, d.Program = "borg", "serve", "/usr/bin/borg"
		d.Request = "borg serve --umask=077 --info"
		d.Args = []string{"borg", "serve", "--umask=077", "--restrict-to-path=" + v.folder}
		o.plan(during, func() error { return o.trail.BorgServed(v.Connection, o.operations(v)) })
	} else {
		d.Tool, d.Direction, d.Program = "rsync", "push", "/usr/bin/rsync"
		d.Request = "rsync --server -logDtpre.iLsfxCIvu --delete-during . " + v.folder + "/home/"
		d.Args = []string{"rsync", "--server", "-logDtpre.iLsfxCIvu", "--delete-during", "--drop-D", "--confine-root=" + v.folder, "--", ".", v.folder + "/home/"}
		if files := o.files(); len(files) > 0 {
			end.Files = &audit.FileCounts{}
			for _, f := range files {
				end.Files.Count(f.Deed)
			}
			o.plan(during, func() error {
				return o.trail.FilesTouched(v.Connection, audit.Files{Session: v.session, Root: v.folder, Files: files})
			})
		}
	}
	o.plan(at, func() error { return o.trail.SessionDecided(v.Connection, d) })
	o.plan(at.Add(lasts), func() error { return o.trail.SessionEnded(v.Connection, end) })
}

func (o *office) operations(v visitor) audit.Operations {
	puts := o.random.Int64N(5000)
	return audit.Operations{Session: v.session, Repositories: []audit.Repository{{
		Path: v.folder + "/repo", Put: puts * 100_000,
		Methods: map[string]int64{"open": 1, "get": o.random.Int64N(300), "put": 2 + puts, "commit": 1},
	}}}
}

// files are what an rsync touches: mostly few, and now and then hundreds.
func (o *office) files() []audit.File {
	n := o.random.IntN(12)
	if o.random.IntN(30) == 0 {
		n = o.random.IntN(300)
	}
	deeds := []audit.Deed{audit.Created, audit.Changed, audit.Changed, audit.Deleted, audit.Attributes}
	files := make([]audit.File, n)
	for i := range files {
		files[i] = audit.File{
			Deed: deeds[o.random.IntN(len(deeds))], Kind: "file", Size: o.random.Int64N(1 << (10 + o.random.IntN(16))),
			Name: fmt.Sprintf("home/user%d/Documents/%s/%s-%d.odt", o.random.IntN(4), o.word(), o.word(), o.random.IntN(1000)),
		}
	}
	return files
}

func (o *office) word() string {
	return []string{"letters", "offers", "invoices", "drawings", "minutes", "photos", "plans", "drafts", "taxes", "projects"}[o.random.IntN(10)]
}
