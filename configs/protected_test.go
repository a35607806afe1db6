package configs

import (
	"os"
	"strings"
	"testing"
)

// TestRulesKeepAway gives a client paths near everything that is the gateway's.
func TestRulesKeepAway(t *testing.T) {
	w := newWorld(t)
	outside := t.TempDir()
	for _, folder := range []string{"backups", "keys", "lists", "tools/bin", "realstate/deep", "real"} {
		if err := os.MkdirAll(outside+"/"+folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range [][2]string{
		{outside + "/real", outside + "/link"},
		{"real", outside + "/relative"},
		{outside + "/nowhere", outside + "/dangling"},
		{"loop", outside + "/loop"},
		{outside + "/realstate", outside + "/statelink"},
		{w.path("state"), outside + "/stolen"},
	} {
		if err := os.Symlink(link[0], link[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside+"/lists/revoked", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.write("postern.yaml", strings.ReplaceAll(`
state: OUT/statelink/deep
clients: `+w.path("clients.d")+`
host_keys: [OUT/keys/rsa]
programs: {rsync: OUT/tools/bin/rsync}
certificates: {revoked: OUT/lists/revoked}
`, "OUT", outside))

	for _, test := range []struct{ name, path, want string }{
		{"a folder of its own", "OUT/backups", ""},
		{"one that does not exist", "OUT/backups/new/deep", ""},
		{"C4 prefix twin of the state", "OUT/statelink-evil", ""},
		{"C4 prefix twin inside a prefix twin", "OUT/realstate2/deep", ""},
		{"C4 prefix twin of the configuration", "DIR-backup", ""},
		{"C4 prefix twin of the programs' folder", "OUT/tools/binary", ""},
		{"C4 prefix twin of a system folder", "/etcetera", ""},
		{"C13 the state as it is spelled", "OUT/statelink/deep", `"OUT/statelink/deep" is the gateway's state, "OUT/statelink/deep"`},
		{"C13 the state as it is", "OUT/realstate/deep", `"OUT/realstate/deep" is the gateway's state, "OUT/statelink/deep"`},
		{"C13 in the state", "OUT/realstate/deep/x", `"OUT/realstate/deep/x" lies in the gateway's state, "OUT/statelink/deep"`},
		{"C13 around the state", "OUT/realstate", `"OUT/realstate" contains the gateway's state, "OUT/statelink/deep"`},
		{"C13 around everything", "OUT", `"OUT" contains the gateway's state, "OUT/statelink/deep"`},
		{"C13 the clients", "DIR/clients.d", `"DIR/clients.d" is the folder of the clients' files, "DIR/clients.d"`},
		{"C13 in the clients", "DIR/clients.d/x", `"DIR/clients.d/x" lies in the folder of the clients' files, "DIR/clients.d"`},
		{"C13 the configuration", "DIR", `"DIR" contains the folder of the clients' files, "DIR/clients.d"`},
		{"C13 in the configuration", "DIR/backups", `"DIR/backups" lies in the folder of the gateway's configuration, "DIR"`},
		{"C13 a program", "OUT/tools/bin", `"OUT/tools/bin" is the folder of a program, "OUT/tools/bin"`},
		{"C13 around a program", "OUT/tools", `"OUT/tools" contains the folder of a program, "OUT/tools/bin"`},
		{"C13 a host key", "OUT/keys", `"OUT/keys" is the folder of a host key, "OUT/keys"`},
		{"C13 the revocation list", "OUT/lists/x", `"OUT/lists/x" lies in the folder of the revocation list, "OUT/lists"`},
		{"E3 a symbolic link", "OUT/link", `"OUT/link" is a symbolic link; write OUT/real`},
		{"E3 a relative one", "OUT/relative", `"OUT/relative" is a symbolic link; write OUT/real`},
		{"E3 a symbolic link on the way", "OUT/link/backups/new", `"OUT/link" is a symbolic link; write OUT/real/backups/new`},
		{"E3 a dangling one", "OUT/dangling", `"OUT/dangling" is a symbolic link; write OUT/nowhere`},
		{"E5 one that leads to itself", "OUT/loop/x", `"OUT/loop" is a symbolic link; write OUT/loop/x`},
		{"E3 one that leads to the state", "OUT/stolen/x", `"OUT/stolen" is a symbolic link; write DIR/state/x`},
		{"a file", "OUT/file", `"OUT/file" is not a folder; name a folder`},
		{"below a file", "OUT/file/x", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := strings.NewReplacer("OUT", outside, "DIR", w.folder).Replace(test.path)
			w.client("laptop", "keys: ['"+goodKey+"']\nallow: [{rsync: '"+path+"'}]\n")
			_, err := w.load()
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			problems, _ := err.(Problems)
			if len(problems) != 1 || problems[0].Line != 2 || problems[0].Column != 17 {
				t.Fatalf("problems %v, want one at 2:17", err)
			}
			got := strings.NewReplacer(outside, "OUT", w.folder, "DIR").Replace(problems[0].Message + "; " + problems[0].Remedy)
			if want := "rsync: " + test.want; got != want && got != want+"; keep backups in a folder of their own" {
				t.Errorf("problem %q, want %q", got, want)
			}
		})
	}
}

// TestFoldersAreComparedByInode stands for a volume that ignores case, or one
// that is mounted twice: two spellings, one folder.
func TestFoldersAreComparedByInode(t *testing.T) {
	state := t.TempDir()
	p := newProtected()
	p.protect(state, "the gateway's state")
	above := strings.TrimSuffix(state, "/001")
	p.seen["/volume/Postern"] = p.look(state)
	p.seen["/volume/Above"] = p.look(above)
	p.seen["/volume/Mine"] = entry{exists: true, isDir: true, inode: inode{1, 1 << 60}}
	p.seen["/volume/mine"] = p.seen["/volume/Mine"]
	for path, want := range map[string]string{
		"/volume/Postern":     "is",
		"/volume/Postern/x/y": "lies in",
		"/volume/Above":       "contains",
		"/volume/Mine":        "",
	} {
		f, bad := p.badFolder(path)
		if bad != (want != "") || !strings.Contains(f.message, want) {
			t.Errorf("E7 %s: %q, want %q", path, f.message, want)
		}
	}
	if p.same("/volume/Mine") != p.same("/volume/mine") || p.same("/volume/Mine") == p.same("/volume/None") {
		t.Error("E7 two spellings of one folder are not the same")
	}
}

func TestOneFolderTwiceInAClient(t *testing.T) {
	folder := t.TempDir()
	r := new(report)
	s, _ := newSource("/x/laptop.yaml", []byte("keys: ['"+goodKey+"']\nallow:\n  - rsync: "+folder+"\n  - rsync: /volume/twin\n"), r)
	p := newProtected()
	p.seen["/volume/twin"] = p.look(folder)
	readClient(s, host{protected: p})
	if len(r.problems) != 1 || r.problems[0].Message != "rsync: line 3 has a rule about the same folder" || r.problems[0].Line != 4 {
		t.Errorf("E7 problems %v", r.problems)
	}
}

func TestWalk(t *testing.T) {
	folder := realPath(t.TempDir())
	if err := os.MkdirAll(folder+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{
		{"a/b", "down"}, {"../a", "a/up"}, {"/", "root"}, {"..", "a/b/parent"}, {"loop", "loop"}, {folder, "self"}, {"gone/x", "dangling"},
	} {
		if err := os.Symlink(link[0], folder+"/"+link[1]); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"":                           "",
		"/a/b":                       "/a/b",
		"/down":                      "/a/b",
		"/down/x/y":                  "/a/b/x/y",
		"/down/parent/b":             "/a/b",
		"/a/up/up/b":                 "/a/b",
		"/self/self/down":            "/a/b",
		"/dangling/y":                "/gone/x/y",
		"/loop/x":                    "/loop/x",
		"/root" + folder + "/self/a": "/a",
		"/missing/../a":              "/a",
	} {
		if got := realPath(folder + path); got != folder+want {
			t.Errorf("%q is really %q, want %q", path, got, want)
		}
	}
}
