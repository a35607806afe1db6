package configs

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestFiles puts something else in place of the files, one after the other, or
// opens them to others.
func TestFiles(t *testing.T) {
	chmod := func(name string, mode os.FileMode) func(*world) error {
		return func(w *world) error { return os.Chmod(w.path(name), mode) }
	}
	link := func(name, target string) func(*world) error {
		return func(w *world) error {
			if err := os.Rename(w.path(name), w.path(target)); err != nil {
				return err
			}
			return os.Symlink(w.path(target), w.path(name))
		}
	}
	instead := func(name string, what func(path string) error) func(*world) error {
		return func(w *world) error {
			if err := os.RemoveAll(w.path(name)); err != nil {
				return err
			}
			return what(w.path(name))
		}
	}
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o600) }
	socket := func(path string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err == nil {
			l.SetUnlinkOnClose(false)
			err = l.Close()
		}
		return err
	}
	folder := func(path string) error { return os.Mkdir(path, 0o700) }
	file := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	dangling := func(path string) error { return os.Symlink("/nowhere", path) }

	for _, test := range []struct {
		name    string
		change  func(*world) error
		file    string
		message string
		remedy  string
	}{
		{"gateway file missing", func(w *world) error { return os.Remove(w.path("postern.yaml")) },
			"postern.yaml", "cannot be found: no such file or directory", "create it (postern init does), or correct its name"},
		{"gateway file is a symbolic link", link("postern.yaml", "real.yaml"),
			"postern.yaml", "the file is a symbolic link", "put the file itself there"},
		{"gateway file is a folder", instead("postern.yaml", folder),
			"postern.yaml", "this is not a file", "put a file there, or remove it"},
		{"E4 gateway file is a FIFO", instead("postern.yaml", fifo),
			"postern.yaml", "this is not a file", "put a file there, or remove it"},
		{"gateway file is a socket", instead("postern.yaml", socket),
			"postern.yaml", "this is not a file", "put a file there, or remove it"},
		{"gateway file for the group to write", chmod("postern.yaml", 0o620),
			"postern.yaml", "the file can be written by its group (mode 0620)", "chmod go-w DIR/postern.yaml"},
		{"gateway file for everyone to write", chmod("postern.yaml", 0o602),
			"postern.yaml", "the file can be written by everyone (mode 0602)", "chmod go-w DIR/postern.yaml"},
		{"client file is a symbolic link", link("clients.d/laptop.yaml", "laptop.yaml"),
			"clients.d/laptop.yaml", "the file is a symbolic link", "put the file itself there"},
		{"client file is a dangling link", instead("clients.d/laptop.yaml", dangling),
			"clients.d/laptop.yaml", "the file is a symbolic link", "put the file itself there"},
		{"E4 client file is a FIFO", instead("clients.d/laptop.yaml", fifo),
			"clients.d/laptop.yaml", "this is not a file", "put a file there, or remove it"},
		{"client file is a folder", instead("clients.d/laptop.yaml", folder),
			"clients.d/laptop.yaml", "this is not a file", "put a file there, or remove it"},
		{"client file for everyone to write", chmod("clients.d/laptop.yaml", 0o666),
			"clients.d/laptop.yaml", "the file can be written by everyone (mode 0666)", "chmod go-w DIR/clients.d/laptop.yaml"},
		{"clients folder missing", func(w *world) error { return os.RemoveAll(w.path("clients.d")) },
			"clients.d", "cannot be found: no such file or directory", "create it (postern init does), or correct its name"},
		{"clients folder is a symbolic link", link("clients.d", "real.d"),
			"clients.d", "the folder is a symbolic link", "name the folder itself: DIR/real.d"},
		{"clients folder is a file", instead("clients.d", file),
			"clients.d", "this is not a folder", "put a folder there"},
		{"clients folder for the group to write", chmod("clients.d", 0o770),
			"clients.d", "the folder can be written by its group (mode 0770)", "chmod go-w DIR/clients.d"},
		{"clients folder is sticky and for everyone to write", chmod("clients.d", 0o777|os.ModeSticky),
			"clients.d", "the folder can be written by everyone (mode 0777)", "chmod go-w DIR/clients.d"},
		{"state folder is a symbolic link", link("state", "real"),
			"state", "the folder is a symbolic link", "name the folder itself: DIR/real"},
		{"state folder is a file", instead("state", file),
			"state", "this is not a folder", "put a folder there"},
		{"state folder for everyone to write", chmod("state", 0o777),
			"state", "the folder can be written by everyone (mode 0777)", "chmod go-w DIR/state"},
		{"configuration folder for everyone to write", chmod(".", 0o777),
			"", "the folder can be written by everyone (mode 0777)", "chmod go-w DIR"},
		{"configuration folder for the group to write", chmod(".", 0o775),
			"", "the folder can be written by its group (mode 0775)", "chmod go-w DIR"},
		{"revocation list is a symbolic link", link("revoked_keys", "real_keys"),
			"revoked_keys", "the file is a symbolic link", "put the file itself there"},
		{"revocation list for the group to write", chmod("revoked_keys", 0o660),
			"revoked_keys", "the file can be written by its group (mode 0660)", "chmod go-w DIR/revoked_keys"},
		{"state folder missing", func(w *world) error { return os.Remove(w.path("state")) }, "", "", ""},
		{"everyone may read", chmod("postern.yaml", 0o644), "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "certificates: {revoked: revoked_keys}")
			w.write("revoked_keys", "")
			w.client("laptop", "keys: ['"+goodKey+"']\n")
			if err := test.change(w); err != nil {
				t.Fatal(err)
			}
			_, err := w.load()
			if test.message == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := "# want: " + test.message + "\n# remedy: " + test.remedy + "\n"
			if got := w.problems(err); got != want {
				t.Errorf("problems\n%swant\n%s", got, want)
			}
			if got, want := err.(Problems)[0].File, strings.TrimSuffix(w.path(test.file), "/"); got != want {
				t.Errorf("file %q, want %q", got, want)
			}
		})
	}
}

// TestWayToFiles puts a folder that anyone can change on the way to the files.
func TestWayToFiles(t *testing.T) {
	outer := t.TempDir()
	w := newWorld(t)
	inner := outer + "/a/b"
	if err := os.MkdirAll(outer+"/a", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.folder, inner); err != nil {
		t.Fatal(err)
	}
	w.folder = inner
	elsewhere := outer + "/link"
	if err := os.Symlink("a/b", elsewhere); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, folder, path string
		mode               os.FileMode
		want               bool
	}{
		{"as it should be", outer + "/a", inner, 0o755, false},
		{"through a link", outer + "/a", elsewhere, 0o755, false},
		{"group-writable on the way", outer + "/a", inner, 0o775, false},
		{"for everyone to write", outer + "/a", inner, 0o777, true},
		{"for everyone to write, through a link", outer + "/a", elsewhere, 0o777, true},
		{"sticky", outer + "/a", inner, 0o777 | os.ModeSticky, false},
		{"the link itself can be replaced", outer, elsewhere, 0o777, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.Chmod(test.folder, test.mode); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(test.folder, 0o755)
			_, err := load(test.path+"/postern.yaml", w.options())
			problems, _ := err.(Problems)
			if test.want != (len(problems) == 1 && problems[0].File == test.folder && problems[0].Remedy == "chmod o-w "+test.folder) {
				t.Errorf("problems %v", err)
			}
			if !test.want && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOwners runs as any user: the files are the user's own, and it is the
// gateway's uid that differs.
func TestOwners(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", "keys: ['"+goodKey+"']\n")
	own := os.Geteuid()
	o := w.options()
	if _, err := load(w.path("postern.yaml"), o); err != nil {
		t.Error(err)
	}
	o.uid = own + 1
	_, err := load(w.path("postern.yaml"), o)
	if own == 0 {
		// Root's files are good for every gateway.
		if err != nil {
			t.Error(err)
		}
		return
	}
	problems, _ := err.(Problems)
	if len(problems) != 5 {
		t.Errorf("%d problems: %v", len(problems), err)
	}
}

// TestOwnersAsRoot gives each file away.
func TestOwnersAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can give files away")
	}
	const gateway, stranger = 4711, 4712
	w := newWorld(t)
	w.client("laptop", "keys: ['"+goodKey+"']\n")
	for _, name := range []string{"postern.yaml", "clients.d", "clients.d/laptop.yaml", "state", ""} {
		t.Run(name, func(t *testing.T) {
			path := strings.TrimSuffix(w.path(name), "/")
			defer os.Chown(path, 0, 0)
			if err := os.Chown(path, gateway, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadAs(w.path("postern.yaml"), gateway); err != nil {
				t.Error(err)
			}
			if _, err := LoadAs(w.path("postern.yaml"), 0); err == nil {
				t.Error("a gateway that is root trusts another user")
			}
			if err := os.Chown(path, stranger, 0); err != nil {
				t.Fatal(err)
			}
			_, err := LoadAs(w.path("postern.yaml"), gateway)
			problems, _ := err.(Problems)
			if len(problems) != 1 || problems[0].File != path || problems[0].Remedy != "chown 4711 "+path {
				t.Errorf("problems %v", err)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs a user who is not root: root reads everything")
	}
	w := newWorld(t)
	w.client("laptop", "keys: ['"+goodKey+"']\n")
	for _, name := range []string{"postern.yaml", "clients.d/laptop.yaml", "clients.d"} {
		t.Run(name, func(t *testing.T) {
			if err := os.Chmod(w.path(name), 0); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(w.path(name), 0o700)
			_, err := w.load()
			problems, _ := err.(Problems)
			if len(problems) != 1 || problems[0].Remedy != "let the gateway read it" {
				t.Errorf("problems %v", err)
			}
		})
	}
}
