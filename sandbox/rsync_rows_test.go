package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// rsyncAttacks is the table of what a client can try with rsync's own options,
// and of what each level stops of it.
var rsyncAttacks = []rsyncAttack{
	// Paths on the command line.
	{name: "C1 pull a folder outside", args: []string{"-a"}, pull: true, path: "OUTSIDE/", old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},
	{name: "C1 pull a file outside", args: []string{"-a"}, pull: true, path: "OUTSIDE/secret", old: outcome{reads | looks, 0}, today: outcome{reads | looks, 0}},
	{name: "C1 push to a folder outside", args: []string{"-a"}, path: "OUTSIDE/", old: outcome{writes, changes}, today: outcome{writes, changes}},
	{name: "B41 list a folder outside", args: []string{"--list-only"}, pull: true, path: "OUTSIDE/", old: outcome{lists | looks, looks}, today: outcome{lists | looks, looks}},
	{name: "B41 list a file outside", args: []string{"--list-only"}, pull: true, path: "OUTSIDE/secret", old: outcome{looks, looks}, today: outcome{looks, looks}},
	{name: "C10 pull a folder through a planted link", args: []string{"-a"}, pull: true, path: "planted/", old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},
	{name: "C10 pull a file through a planted link", args: []string{"-a"}, pull: true, path: "planted/secret", old: outcome{reads | looks, 0}, today: outcome{reads | looks, 0}},
	{name: "C10 push through a planted link", args: []string{"-a"}, path: "planted/", old: outcome{writes, changes}, today: outcome{writes, changes}},
	{name: "C10 pull, and delete what was pulled", args: []string{"-a", "--remove-source-files"}, pull: true, path: "planted/secret", old: outcome{reads | looks | writes, 0}, today: outcome{reads | looks | writes, 0}},
	{name: "E5 pull through /proc", args: []string{"-a"}, pull: true, path: "/proc/self/root/OUTSIDE/secret", old: outcome{reads | looks, 0}, today: outcome{reads | looks, 0}},
	{name: "E5 pull through a planted link to /proc", args: []string{"-a"}, pull: true, path: "proc/secret", prepare: func(a *arena) error {
		return os.Symlink("/proc/self/root"+a.outside, a.server+"/proc")
	}, old: outcome{reads | looks, 0}, today: outcome{reads | looks, 0}},
	{name: "E5 pull a loop and a link to nothing", args: []string{"-aL"}, pull: true, prepare: func(a *arena) error {
		return errors.Join(os.Remove(a.server+"/planted"), os.Remove(a.server+"/leads"), os.Symlink("loop", a.server+"/loop"), os.Symlink("../none", a.server+"/none"))
	}, closed: "there is nothing behind them; the client must not wait"},
	{name: "E4 pull a named pipe", args: []string{"-a", "--copy-devices"}, pull: true, path: "pipe", prepare: func(a *arena) error {
		return unix.Mkfifo(a.server+"/pipe", 0o600)
	}, closed: "nobody writes to it; the client must not wait"},

	// Links that the server follows.
	{name: "B20 copy what links lead to", args: []string{"-aL"}, pull: true, old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},
	{name: "B20 list what links lead to", args: []string{"-rL", "--list-only"}, pull: true, old: outcome{lists | looks, looks}, today: outcome{lists | looks, looks}},
	{name: "B20 follow links to folders", args: []string{"-ak"}, pull: true, old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},
	{name: "B20 copy what links outside lead to", args: []string{"-a", "--copy-unsafe-links"}, pull: true, old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},
	{name: "B21 keep links to folders", args: []string{"-aK"}, old: outcome{writes, 0}},
	{name: "B21 keep links to folders, and delete", args: []string{"-aK", "--delete"}, old: outcome{writes, 0}, today: outcome{lists, 0}},
	{name: "B21 keep links to folders, and cut short", args: []string{"-aK", "--inplace"}, old: outcome{writes, 0}},
	{name: "B21 keep links to folders, and append", args: []string{"-aK", "--append"}, old: outcome{writes, 0}},
	{name: "B21 keep links to folders, and make backups", args: []string{"-aKb"}, old: outcome{writes, 0}},
	{name: "B22 no implied folders", args: []string{"-aR", "--no-implied-dirs", "CLIENT/source/./planted/pushed"}, old: outcome{writes, 0}},
	{name: "B22 no implied folders, names from a list", args: []string{"-a", "--no-implied-dirs", "--files-from=CLIENT/names"}, prepare: named("planted/pushed"), old: outcome{writes, 0}},
	{name: "B22 no implied folders, names with a dot", args: []string{"-aR", "--no-implied-dirs", "--inplace", "CLIENT/source/./planted/secret"}, old: outcome{writes, 0}},
	{name: "D12 a link that was pushed, then followed", args: []string{"-aL"}, pull: true, prepare: func(a *arena) error {
		return os.Symlink("/etc/shells", a.server+"/shells")
	}, oracle: func(a *arena, _ string) harm {
		if _, err := os.ReadFile(a.back + "/shells"); err == nil {
			return reads
		}
		return 0
	}, old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},

	// Modes, owners, times and attributes of what links lead to: the pushed
	// file is taken for the same, so that nothing but these is set.
	{name: "C1 set the mode of a file outside", args: []string{"-p", "--size-only", "CLIENT/source/secret"}, path: "OUTSIDE/", prepare: mode("secret"), old: outcome{changes, changes}, today: outcome{changes, changes}},
	{name: "C1 set the time of a file outside", args: []string{"-t", "--size-only", "CLIENT/source/secret"}, path: "OUTSIDE/", old: outcome{changes, changes}, today: outcome{changes, changes}},
	{name: "C1 set an attribute of a file outside", args: []string{"-tX", "CLIENT/source/secret"}, path: "OUTSIDE/", alike: []string{"secret"}, prepare: func(a *arena) error {
		return unix.Setxattr(a.source+"/secret", "user.pushed", []byte("x"), 0)
	}, old: outcome{changes, changes}, today: outcome{changes, changes}},
	{name: "C1 set an access list of a file outside", args: []string{"-tA", "CLIENT/source/secret"}, path: "OUTSIDE/", alike: []string{"secret"}, prepare: func(a *arena) error {
		return unix.Setxattr(a.source+"/secret", "system.posix_acl_access", accessList(), 0)
	}, old: outcome{changes, changes}, today: outcome{changes, changes}},
	{name: "B21 set the mode of a file behind a link", args: []string{"-aK", "--size-only"}, prepare: mode("planted/secret"), old: outcome{writes, changes}},
	{name: "B17 set an owner in an attribute outside", args: []string{"-aK", "--size-only", "-M--fake-super"}, prepare: mode("planted/secret"), old: outcome{writes, changes}},

	// Files that options name.
	{name: "B8 write a log outside", args: []string{"-a", "-M--log-file=OUTSIDE/new"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B8 append to a file through a planted link", args: []string{"-a", "-M--log-file=SERVER/leads"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B13 write a batch outside", args: []string{"-a", "-M--write-batch=OUTSIDE/new"}, closed: "a server ignores the option"},
	{name: "B13 write a batch alone outside", args: []string{"-a", "-M--only-write-batch=OUTSIDE/new"}, closed: "a server ignores the option"},
	{name: "B10 names from a file outside", args: []string{"-a", "--files-from=:OUTSIDE/secret"}, pull: true, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B10 names from a file through a planted link", args: []string{"-a", "--files-from=:SERVER/leads"}, pull: true, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B11 rules from a file outside", args: []string{"-a", "-M--exclude-from=OUTSIDE/rules"}, pull: true, oracle: hiddenIsAway, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B11 merge rule on the command line", args: []string{"-a", "-M--filter=.-_OUTSIDE/rules"}, pull: true, oracle: hiddenIsAway, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B27 temporary files outside", args: []string{"-a", "-M--temp-dir=OUTSIDE"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B27 temporary files through a planted link", args: []string{"-a", "--temp-dir=aux"}, prepare: plants("aux", "../outside"), old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B28 backups outside", args: []string{"-ab", "-M--backup-dir=OUTSIDE"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B28 backups through a planted link", args: []string{"-ab", "--backup-dir=planted"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B29 backups through a link of the same push", args: []string{"-ab", "--backup-dir=a"}, prepare: pushes("a", "../outside"), old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B30 copies from a folder outside", args: []string{"-a", "-M--copy-dest=OUTSIDE"}, alike: []string{"secret"}, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B30 copies from a link of the same push", args: []string{"-a", "--copy-dest=a"}, alike: []string{"secret"}, prepare: pushes("a", "../outside"), old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B30 comparison with a link of the same push", args: []string{"-a", "--compare-dest=a"}, alike: []string{"secret"}, prepare: pushes("a", "../outside"), oracle: secretIsTheSame, old: outcome{looks, looks}, today: outcome{looks, looks}},
	{name: "K9 comparison of contents with a folder outside", args: []string{"-rc", "-M--compare-dest=OUTSIDE"}, prepare: guesses, oracle: guessIsRight, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B31 links to a folder outside", args: []string{"-a", "-M--link-dest=OUTSIDE"}, alike: []string{"secret"}, old: outcome{reads | writes, 0}, today: outcome{reads | writes, 0}},
	{name: "B31 links to a link of the same push", args: []string{"-a", "--link-dest=a"}, alike: []string{"secret"}, prepare: pushes("a", "../outside"), old: outcome{reads | writes, 0}, today: outcome{reads | writes, 0}},
	{name: "D13 links to what is beside the rule's path", args: []string{"-aH", "--link-dest=../outside"}, alike: []string{"secret"}, old: outcome{reads | writes, 0}, today: outcome{reads | writes, 0}},
	{name: "B32 partial files outside", args: []string{"-a", "--delay-updates", "-M--partial-dir=OUTSIDE"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B32 partial files through a planted link", args: []string{"-a", "--delay-updates", "--partial-dir=aux"}, prepare: plants("aux", "../outside"), closed: "rsync puts a folder in the place of the link"},
	{name: "D5 delayed updates through a planted link", args: []string{"-a", "--delay-updates"}, prepare: func(a *arena) error {
		return os.Symlink("../outside", a.server+"/.~tmp~")
	}, closed: "rsync puts a folder in the place of the link"},

	// What travels in the protocol.
	{name: "D1 rules from the folder above", args: []string{"-a", "-f:-s ../rules"}, pull: true, prepare: above("rules", "hidden\n"), oracle: hiddenIsAway, today: outcome{reads, 0}},
	{name: "D1 rules from all folders above", args: []string{"-a", "-f:- /rules"}, pull: true, prepare: above("rules", "hidden\n"), oracle: hiddenIsAway, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "D1 rules behind a planted link", args: []string{"-a", "-f:-s linked"}, pull: true, prepare: plants("linked", "../outside/rules"), oracle: hiddenIsAway, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "D1 rules of a forged merge", args: []string{"-a", "-f:-s ../outside/rules"}, forge: [2]string{":-s ..", ".-s .."}, pull: true, oracle: hiddenIsAway, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "D1 rules of a forged merge, not inherited", args: []string{"-a", "-f:-n ../outside/rules"}, forge: [2]string{":-n ..", ".-n .."}, pull: true, oracle: hiddenIsAway, closed: "rsync takes the lines of such a file for rules with a sign of their own"},
	{name: "D2 a secret in a folder above, taken for a rule", args: []string{"-a", "-f:s /secret"}, pull: true, prepare: above("secret", secretText), old: outcome{reads, 0}},
	{name: "D2 a secret behind a planted link, taken for a rule", args: []string{"-a", "-f:s leads"}, pull: true, old: outcome{reads, 0}},
	{name: "D2 a secret taken for a rule by a forged merge", args: []string{"-a", "-f:s ../outside/secret"}, forge: [2]string{":s ..", ".s .."}, pull: true, old: outcome{reads, 0}},
	{name: "D2 a secret taken for a rule by a forged merge, not inherited", args: []string{"-a", "-f:n ../outside/secret"}, forge: [2]string{":n ..", ".n .."}, pull: true, old: outcome{reads, 0}},
	{name: "D1 rules that protect from deletion", args: []string{"-a", "--delete", "-f:-r linked"}, prepare: plants("linked", "../outside/rules"), oracle: hiddenIsKept, old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "D3 names that lead through a planted link", args: []string{"-a", "--files-from=CLIENT/names"}, pull: true, prepare: named("planted/secret"), old: outcome{reads | looks, looks}, today: outcome{reads | looks, looks}},
	{name: "D3 names that lead up", args: []string{"-a", "--files-from=CLIENT/names"}, pull: true, prepare: named("../outside/secret"), closed: "rsync takes what leads up out of names"},
	{name: "D3 names of folders behind a planted link", args: []string{"-r", "--files-from=CLIENT/names"}, pull: true, prepare: named("planted/folder/"), old: outcome{reads, 0}, today: outcome{reads, 0}},
	{name: "B6 secluded arguments that write a log outside", args: []string{"-as", "-M--log-file=OUTSIDE/new"}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B6 secluded arguments that follow links", args: []string{"-asL"}, pull: true, old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},

	// A file list that no client sends.
	{name: "D5 pushed names that lead up", args: []string{"-R", "CLIENT/source/./zz/outside/new"}, forge: [2]string{"zz", ".."}, prepare: pushedFile("zz/outside/new"), closed: "since 3.2.5 rsync aborts at such a name"},
	{name: "D5 a pushed name that leads up", args: []string{"-R", "--no-implied-dirs", "CLIENT/source/./zz/outside/new"}, forge: [2]string{"zz", ".."}, prepare: pushedFile("zz/outside/new"), closed: "since 3.2.5 rsync aborts at such a name"},
	{name: "D5 a pushed name that is absolute", args: []string{"-R", "--no-implied-dirs", "CLIENT/source/./zOUTSIDE/new"}, forge: [2]string{"z/", "//"}, prepare: func(a *arena) error {
		return pushedFile("z" + a.outside + "/new")(a)
	}, closed: "rsync takes the first slashes off names"},
	{name: "D5 a file in a link of the same push", args: []string{"-aR", "--no-implied-dirs", "--no-inc-recursive", "CLIENT/source/./aa1", "CLIENT/source/./aa2/new"}, forge: [2]string{"aa2", "aa1"}, prepare: both(pushes("aa1", "../outside"), pushedFile("aa2/new")), closed: "rsync aborts at a file whose folder was not sent"},
	{name: "D5 a folder that is a link of the same push", args: []string{"-a"}, forge: [2]string{"aa2", "aa1"}, prepare: both(pushes("aa1", "../outside"), pushedFile("aa2/new")), closed: "of two entries with a name rsync keeps one"},
	{name: "D5 a folder that is a link of the same push, in one list", args: []string{"-a", "--no-inc-recursive"}, forge: [2]string{"aa2", "aa1"}, prepare: both(pushes("aa1", "../outside"), pushedFile("aa2/new")), closed: "of two entries with a name rsync keeps one"},

	{name: "D5 a forged name that leads up", args: []string{"-rlpt"}, speak: func(h *hostile) {
		h.file("../outside/new")
		h.listed()
		h.send(0)
	}, closed: "since 3.2.5 rsync aborts at such a name"},
	{name: "D5 a forged name that leads up, in relative names", args: []string{"-rlptR"}, speak: func(h *hostile) {
		h.file("../outside/new")
		h.listed()
		h.send(0)
	}, closed: "since 3.2.5 rsync aborts at such a name"},
	{name: "D5 a forged name that is absolute", args: []string{"-rlpt"}, speak: func(h *hostile) {
		h.file(h.outside + "/new")
		h.listed()
		h.send(0)
	}, closed: "since 3.2.5 rsync aborts at such a name"},
	{name: "D5 a forged file behind a planted link", args: []string{"-rlpt"}, speak: func(h *hostile) { h.behind("planted") }, old: outcome{writes, 0}},
	{name: "D5 a forged file behind a link of the same list, no implied folders", args: []string{"-rlptR", "--no-implied-dirs"}, speak: func(h *hostile) {
		h.link("aa", "../outside")
		h.behind("aa")
	}, old: outcome{writes, 0}},
	{name: "D5 a forged folder that is also a link", args: []string{"-rlpt"}, speak: func(h *hostile) {
		h.folder(".")
		h.link("aa", "../outside")
		h.folder("aa")
		h.file("aa/new")
		h.listed()
		h.send(3)
	}, closed: "of two entries with a name rsync keeps one"},
	{name: "D8 contents of a file outside, as a basis", args: []string{"-rlpty", "--inplace"}, speak: func(h *hostile) {
		h.file("stolen")
		h.listed()
		h.copyOf(0, "../outside/secret", uint32(len(secretText)))
	}, closed: "rsync 3.4.0, and older ones that were mended since, opens no basis elsewhere"},
	{name: "D8 contents of a file behind a link, as a basis", args: []string{"-rlpty", "--inplace"}, speak: func(h *hostile) {
		h.file("stolen")
		h.listed()
		h.copyOf(0, "leads", uint32(len(secretText)))
	}, closed: "rsync 3.4.0, and older ones that were mended since, opens no basis elsewhere"},

	// Programs, and a daemon whose configuration the client wrote.
	{name: "F12 a program that the home folder names", args: []string{"-a"}, prepare: func(a *arena) error {
		return errors.Join(plantProgram(a), os.WriteFile(a.server+"/.popt", []byte("rsync exec --server "+a.server+"/run\n"), 0o600))
	}, old: outcome{writes, 0}, today: outcome{writes, 0}},
	{name: "B4 a daemon that shares what is outside", args: []string{"-a", daemon}, pull: true, path: "x::out/", prepare: daemonConfig, old: outcome{reads | lists | looks, looks}, today: outcome{reads | lists | looks, looks}},
	{name: "B4 a daemon that stores outside", args: []string{"-a", daemon}, path: "x::out/", prepare: daemonConfig, old: outcome{writes, changes}, today: outcome{writes, changes}},
	{name: "B4 a daemon that runs a program", args: []string{"-a", daemon}, path: "x::run/", prepare: daemonConfig, old: outcome{writes, 0}, today: outcome{writes, 0}},
}

const daemon = "--rsync-path=rsync --server --daemon --config=SERVER/rsyncd.conf ."

func daemonConfig(a *arena) error {
	const config = "use chroot = no\nread only = no\nreverse lookup = no\n[out]\npath = OUTSIDE\n[run]\npath = SERVER\npre-xfer exec = SERVER/run\n"
	text := strings.NewReplacer("OUTSIDE", a.outside, "SERVER", a.server, "", "").Replace(config)
	return errors.Join(plantProgram(a), os.WriteFile(a.server+"/rsyncd.conf", []byte(text), 0o600))
}

// plantProgram puts a program into the rule's path that leaves its mark outside.
func plantProgram(a *arena) error {
	return os.WriteFile(a.server+"/run", []byte("#!/bin/sh\necho > "+a.outside+"/ran\n"), 0o700)
}

// named lists a name for the client.
func named(name string) func(a *arena) error {
	return func(a *arena) error {
		return os.WriteFile(filepath.Dir(a.source)+"/names", []byte(name+"\n"), 0o600)
	}
}

// pushes adds a link to what is pushed.
func pushes(name, target string) func(a *arena) error {
	return func(a *arena) error { return os.Symlink(target, filepath.Join(a.source, name)) }
}

// plants adds a link to the rule's path, as if it had been pushed before.
func plants(name, target string) func(a *arena) error {
	return func(a *arena) error { return os.Symlink(target, filepath.Join(a.server, name)) }
}

// above adds a file beside the rule's path.
func above(name, text string) func(a *arena) error {
	return func(a *arena) error { return os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644) }
}

func pushedFile(name string) func(a *arena) error {
	return func(a *arena) error {
		path := filepath.Join(a.source, name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("pushed\n"), 0o600))
	}
}

func both(one, two func(a *arena) error) func(a *arena) error {
	return func(a *arena) error { return errors.Join(one(a), two(a)) }
}

// mode gives a pushed file the mode that a stranger would want.
func mode(name string) func(a *arena) error {
	return func(a *arena) error { return os.Chmod(filepath.Join(a.source, name), 0o666) }
}

// guesses pushes a file with the name and the contents of the rules.
func guesses(a *arena) error {
	return os.WriteFile(a.source+"/rules", []byte("hidden\n"), 0o600)
}

// guessIsRight reports that the server did not want the file: it has seen one
// with these contents.
func guessIsRight(a *arena, _ string) harm {
	return absent(a.server+"/rules", reads)
}

func secretIsTheSame(a *arena, _ string) harm {
	return absent(a.server+"/secret", looks)
}

// hiddenIsAway reports that the rules outside were obeyed.
func hiddenIsAway(a *arena, _ string) harm {
	if _, err := os.Lstat(a.back + "/kept"); err != nil {
		return 0
	}
	return absent(a.back+"/hidden", reads)
}

func hiddenIsKept(a *arena, _ string) harm {
	if _, err := os.Lstat(a.server + "/kept"); err == nil {
		return 0
	}
	if _, err := os.Lstat(a.server + "/hidden"); err == nil {
		return reads
	}
	return 0
}

func absent(path string, means harm) harm {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return means
	}
	return 0
}
