package policy_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"postern/policy"
)

// table is a [policy.Tree] of fixed answers: folders, files, and links that
// lead out of every rule.
type table struct {
	folders, files, exits []string
	// owner is that of every folder but those in owners.
	owner  policy.User
	owners map[string]policy.User
	// free is the room of every file system, in bytes.
	free int64
}

func (t table) StrayLink(root string) string {
	for _, link := range t.exits {
		if strings.HasPrefix(link, root+"/") {
			return link
		}
	}
	return ""
}

func (t table) Owner(folder string) (policy.User, bool) {
	if u, ok := t.owners[folder]; ok {
		return u, true
	}
	return t.owner, true
}

func (t table) Free(string) (int64, bool) { return t.free, t.free >= 0 }

func (t table) IsDir(p string) bool { return slices.Contains(t.folders, p) }

func (t table) Exists(p string) bool {
	return t.IsDir(p) || slices.Contains(t.files, p) || slices.Contains(t.exits, p)
}

func (t table) Names(folder string) []string {
	var names []string
	for _, p := range slices.Concat(t.folders, t.files, t.exits) {
		if path.Dir(p) == folder {
			names = append(names, path.Base(p))
		}
	}
	return names
}

func (t table) Escapes(_, p string, follow bool) bool {
	return slices.ContainsFunc(t.exits, func(link string) bool {
		return strings.HasPrefix(p, link+"/") || follow && p == link
	})
}

const (
	k1 = "/volume1/Backups/k1"
	k2 = "/volume1/Backups/k2"
)

func nas() table {
	return table{
		folders: []string{k1, k1 + "/sub", k1 + "/cur", k1 + "/.hidden", k2, "/volume1/Backups"},
		files:   []string{k1 + "/f", k1 + "/sub/a.txt", k1 + "/sub/b.txt", k1 + "/sub/.c.txt", k2 + "/secret"},
		exits:   []string{k1 + "/out"},
		owner:   policy.User{UID: 1026, GID: 100},
		free:    1 << 30,
	}
}

func host() policy.Host {
	return policy.Host{
		Rsync: policy.Program{Path: "/usr/bin/rsync", Version: "3.2.7"},
		Borg:  policy.Program{Path: "/usr/bin/borg", Version: "1.2.4"},
		Home:  "/nonexistent",
		Hold:  policy.Everything,
		User:  policy.User{UID: 1000, GID: 1000},
	}
}

// held is a host whose kernel does no more than h.
func held(h policy.Hold) policy.Host {
	host := host()
	host.Hold = h
	return host
}

// bare is a host without confinement, whose rsync is the only one that may run
// there unasked.
func bare() policy.Host {
	host := held(policy.Unheld)
	host.Rsync.Version = "3.4.3"
	return host
}

func rsyncRule(change ...func(*policy.Rule)) []policy.Rule {
	r := policy.Rule{Tool: policy.Rsync, Path: k1, Access: policy.ReadWrite, Delete: true, Overwrite: true}
	for _, c := range change {
		c(&r)
	}
	return []policy.Rule{r}
}

func readOnly(r *policy.Rule)    { r.Access = policy.ReadOnly }
func writeOnly(r *policy.Rule)   { r.Access = policy.WriteOnly }
func noDelete(r *policy.Rule)    { r.Delete = false }
func noOverwrite(r *policy.Rule) { r.Overwrite = false }
func rooted(r *policy.Rule)      { r.Rooted = true }
func munge(r *policy.Rule)       { r.MungeLinks = true }
func inSub(r *policy.Rule)       { r.Path = k1 + "/sub" }

func decide(t *testing.T, rules []policy.Rule, h policy.Host, exec string, secluded ...string) policy.Decision {
	t.Helper()
	request, refusal := policy.Parse(exec)
	if refusal == nil && secluded != nil {
		if !request.Secluded() {
			t.Fatalf("%q does not ask for secluded arguments", exec)
		}
		request, refusal = request.WithArguments(secluded)
	}
	if refusal != nil {
		return policy.Decision{Refusal: refusal}
	}
	return policy.Decide(rules, h, request, nas())
}

// outcome is the argument list of what was allowed, or the code of the refusal.
func outcome(d policy.Decision) string {
	switch d.Verdict {
	case policy.Allow:
		return strings.Join(d.Args, " ")
	case policy.Answer:
		return "answer: " + d.Answer
	}
	return "refused: " + d.Refusal.Code
}

const (
	push = "rsync --server -logDtpre.iLsfxCIvu "
	pull = "rsync --server --sender -logDtpre.iLsfxCIvu "
)

func TestRsyncDecisions(t *testing.T) {
	unmended, accepted := bare(), bare()
	unmended.Rsync.Version, accepted.Rsync.Version, accepted.AcceptUnconfined = "3.4.2", "3.4.2", true
	silent := bare()
	silent.Rsync.Version = ""
	sub := rsyncRule(inSub)
	modern := host()
	modern.Rsync.Version = "3.5.0"
	for _, test := range []struct {
		name  string
		rules []policy.Rule
		host  policy.Host
		exec  string
		want  string
	}{
		{"push to an absolute path", rsyncRule(), host(), push + ". " + k1 + "/new/",
			push + "-- . " + k1 + "/new/"},
		{"push to the home", rsyncRule(), host(), push + ". .", push + "-- . ."},
		{"push without a path", rsyncRule(), host(), push + ".", push + "-- . ."},
		{"push below a tilde", rsyncRule(), host(), push + ". ~/x", push + "-- . " + k1 + "/x"},
		{"pull of a relative path", rsyncRule(), host(), pull + ". sub/", pull + "-- . sub/"},
		{"pull with a marker", rsyncRule(), host(), pull + ". sub/./a.txt", pull + "-- . sub/./a.txt"},
		{"pull with a marker at the end", rsyncRule(), host(), pull + ". " + k1 + "/sub/./", pull + "-- . " + k1 + "/sub/./"},
		{"pull of several", rsyncRule(), host(), pull + ". f sub", pull + "-- . f sub"},
		{"dots resolved inside", rsyncRule(), host(), pull + ". sub/../f", pull + "-- . f"},
		{"an escaped blank", rsyncRule(), host(), push + `. a\ b`, push + "-- . a b"},
		{"an escaped tilde", rsyncRule(), host(), push + `. \~x`, push + "-- . ~x"},
		{"C6 another user's home", rsyncRule(), host(), push + ". ~root/x", "refused: path-user"},
		{"C1 climbing out", rsyncRule(), host(), pull + ". ../k2/secret", "refused: path-outside"},
		{"C1 climbing out from inside", rsyncRule(), host(), pull + ". sub/../../k2", "refused: path-outside"},
		{"C2 absolute elsewhere", rsyncRule(), host(), pull + ". /etc/passwd", "refused: path-outside"},
		{"C4 prefix twin", rsyncRule(), host(), pull + ". " + k1 + "-evil/x", "refused: path-outside"},
		{"C5 slashes", rsyncRule(), host(), pull + ". //volume1//Backups/k1//sub/.", pull + "-- . " + k1 + "/sub/."},
		{"C10 planted link in a source", rsyncRule(), host(), pull + ". out/x", "refused: path-symlink"},
		{"a link itself may be pulled", rsyncRule(), host(), pull + ". out", pull + "-- . out"},
		{"C10 what a planted link means", rsyncRule(), host(), pull + ". out/", "refused: path-symlink"},
		{"C10 planted link as destination", rsyncRule(), host(), push + ". out", "refused: path-symlink"},
		{"the folder above", rsyncRule(), host(), pull + ". /volume1/Backups", "refused: path-outside"},

		{"C2 rooted means the rule", rsyncRule(rooted), host(), pull + ". /sub/", pull + "-- . sub/"},
		{"C3 rooted takes the real path", rsyncRule(rooted), host(), pull + ". " + k1 + "/sub", pull + "-- . " + k1 + "/sub"},
		{"C1 rooted does not clamp", rsyncRule(rooted), host(), pull + ". /../k2", "refused: path-outside"},
		{"rooted slash", rsyncRule(rooted), host(), pull + ". /", pull + "-- . ./"},

		{"A5 an unescaped semicolon", rsyncRule(), host(), push + ". x/; id", "refused: shell-syntax"},
		{"A6 a substitution", rsyncRule(), host(), push + ". $(id)", "refused: shell-syntax"},
		{"A6 an escaped one is a name", rsyncRule(), host(), push + `. \$\(id\)`, push + "-- . $(id)"},
		{"A7 backticks", rsyncRule(), host(), push + ". `id`", "refused: shell-syntax"},
		{"A4 an open quote", rsyncRule(), host(), push + ". 'a", "refused: tokenise-error"},
		{"A9 a newline", rsyncRule(), host(), push + ". x\nsh", "refused: control-character"},
		{"A9 a carriage return", rsyncRule(), host(), push + ". x\rsh", "refused: control-character"},
		{"A9 an escaped newline is a name", rsyncRule(), host(), push + ". x\\\ny", push + "-- . x\ny"},
		{"A9 an escaped return is a name", rsyncRule(), host(), push + ". x\\\ry", push + "-- . x\ry"},
		{"A9 an escaped escape is none", rsyncRule(), host(), push + ". x\\\x1by", "refused: control-character"},
		{"A10 a NUL", rsyncRule(), host(), "rsync\x00--server", "refused: nul-byte"},
		{"A12 upper case", rsyncRule(), host(), "RSYNC --server . x", "refused: program-unknown"},
		{"A12 another folder", rsyncRule(), host(), "/tmp/rsync --server . x", "refused: program-unknown"},
		{"A12 the working directory", rsyncRule(), host(), "./rsync --server . x", "refused: program-unknown"},
		{"A12 another ending", rsyncRule(), host(), "rsync.sh --server . x", "refused: program-unknown"},
		{"A12 Synology's path", rsyncRule(), host(), "/usr/syno/bin/rsync --server -re.iLsfxCIvu . x", "rsync --server -re.iLsfxCIvu -- . x"},
		{"A13 sudo", rsyncRule(), host(), "sudo rsync --server -re.iLsfxCIvu . x", "refused: program-unknown"},
		{"A14 mkdir before", rsyncRule(), host(), "mkdir -p x && rsync --server -re.iLsfxCIvu . x", "refused: shell-syntax"},
		{"A16 a locale before", rsyncRule(), host(), "LC_ALL=C rsync --server -re.iLsfxCIvu . x", "rsync --server -re.iLsfxCIvu -- . x"},
		{"A16 a loader variable", rsyncRule(), host(), "LD_PRELOAD=x rsync --server -re.iLsfxCIvu . x", "refused: assignment"},
		{"A20 a long string", rsyncRule(), host(), push + ". " + strings.Repeat("x", 65536), "refused: too-long"},
		{"A20 many words", rsyncRule(), host(), push + "." + strings.Repeat(" x", 5000), "refused: too-long"},
		{"A20 a long path", rsyncRule(), host(), push + ". " + strings.Repeat("x", 5000), "refused: too-long"},
		{"A21 scp", rsyncRule(), host(), "scp -t /x", "refused: program-unknown"},
		{"A22 git", rsyncRule(), host(), "git-upload-pack x", "refused: program-unknown"},
		{"empty", rsyncRule(), host(), "", "refused: empty-command"},
		{"blank", rsyncRule(), host(), "   ", "refused: empty-command"},

		{"B1 a remote shell in the cluster", rsyncRule(), host(), "rsync --server --sender -e/bin/sh . x", "refused: option-unknown"},
		{"B1 a remote shell glued", rsyncRule(), host(), "rsync --server --sender -esh . x", "refused: option-unknown"},
		{"B1 a remote shell apart", rsyncRule(), host(), "rsync --server --sender -e sh . x", "refused: option-unknown"},
		{"B1 a remote shell by name", rsyncRule(), host(), "rsync --server --rsh=/bin/sh . x", "refused: option-dangerous"},
		{"B2 a client", rsyncRule(), host(), "rsync a b", "refused: not-a-server"},
		{"B2 a shell before --server", rsyncRule(), host(), "rsync -e sh --server . x", "refused: not-a-server"},
		{"B4 a daemon", rsyncRule(), host(), "rsync --server --daemon --config=" + k1 + "/evil.conf .", "refused: option-dangerous"},
		{"B7 secluded by its long name", rsyncRule(), host(), "rsync --server --secluded-args . x", "rsync --server -- . x"},
		{"B8 a log file", rsyncRule(), host(), push + "--log-file=x . x", "refused: option-dangerous"},
		{"B10 a list on the server", rsyncRule(), host(), pull + "--files-from=/etc/shadow . .", "refused: path-outside"},
		{"B10 a list in the rule", rsyncRule(), host(), pull + "--files-from=sub/a.txt . .", pull + "--files-from=sub/a.txt -- . ."},
		{"B10 a list from the client", rsyncRule(), host(), pull + "--files-from=- --from0 . .", pull + "--files-from=- --from0 -- . ."},
		{"B11 a filter file", rsyncRule(), host(), pull + "--exclude-from=/etc/shadow . .", "refused: option-dangerous"},
		{"B11 a short filter", rsyncRule(), host(), "rsync --server --sender -F . .", "refused: option-unknown"},
		{"B13 a batch", rsyncRule(), host(), push + "--only-write-batch=/x . .", "refused: option-value"},
		{"B13 the marker", rsyncRule(), host(), push + "--only-write-batch=X . .", push + "--only-write-batch=X -- . ."},
		{"B14 devices", rsyncRule(), host(), pull + "--copy-devices . .", "refused: option-dangerous"},
		{"B16 owners", rsyncRule(), host(), push + "--usermap=*:0 . .", "refused: option-dangerous"},
		{"B16 super is dropped", rsyncRule(), host(), push + "--super . .", push + "-- . ."},
		{"B17 fake-super", rsyncRule(), host(), push + "--fake-super . .", push + "--fake-super -- . ."},
		{"B18 chmod", rsyncRule(), host(), push + "--chmod=u+s . .", "refused: option-unknown"},
		{"B20 copy links", rsyncRule(), host(), "rsync --server --sender -Lre.iLsfxCIvu . .", "rsync --server --sender -Lre.iLsfxCIvu -- . ."},
		{"B20 copy links under Landlock", rsyncRule(), held(policy.Contents), "rsync --server --sender -Lre.iLsfxCIvu . .", "rsync --server --sender -Lre.iLsfxCIvu -- . ."},
		{"B20 copy links unheld", sub, bare(), "rsync --server --sender -Lre.iLsfxCIvu . .", "refused: unconfined"},
		{"B20 copy links to folders unheld", sub, bare(), "rsync --server --sender -kre.iLsfxCIvu . .", "refused: unconfined"},
		{"B20 copy unsafe links", rsyncRule(), host(), pull + "--copy-unsafe-links . .", pull + "--copy-unsafe-links -- . ."},
		{"B20 copy unsafe links unheld", sub, bare(), pull + "--copy-unsafe-links . .", "refused: unconfined"},
		{"B20 on a push it is the client's", rsyncRule(), host(), push + "--copy-unsafe-links . .", push + "--copy-unsafe-links -- . ."},
		{"B21 keep dirlinks", rsyncRule(), host(), "rsync --server -Kre.iLsfxCIvu . .", "rsync --server -Kre.iLsfxCIvu -- . ."},
		{"B21 keep dirlinks under Landlock", rsyncRule(), held(policy.Contents), "rsync --server -Kre.iLsfxCIvu . .", "refused: unconfined"},
		{"B21 keep dirlinks unheld", sub, bare(), "rsync --server -Kre.iLsfxCIvu . .", "refused: unconfined"},
		{"B22 no implied dirs", rsyncRule(), host(), push + "--no-implied-dirs . .", push + "--no-implied-dirs -- . ."},
		{"B22 no implied dirs under Landlock", rsyncRule(), held(policy.Contents), push + "--no-implied-dirs . .", "refused: unconfined"},
		{"B22 no implied dirs unheld", sub, bare(), push + "--no-implied-dirs . .", "refused: unconfined"},
		{"B22 no implied dirs on a pull", rsyncRule(), host(), pull + "--no-implied-dirs . .", pull + "--no-implied-dirs -- . ."},
		{"B23 hardening off", rsyncRule(), host(), push + "--insecure-links . .", "refused: option-dangerous"},
		{"B24 debug", rsyncRule(), host(), push + "--debug=FILTER2 . .", "refused: option-dangerous"},
		{"B24 info help", rsyncRule(), host(), push + "--info=HELP . .", "refused: option-value"},
		{"B24 info", rsyncRule(), host(), push + "--info=DEL,STATS2 . .", push + "--info=DEL,STATS2 -- . ."},
		{"B26 iconv with a path", rsyncRule(), host(), push + "--iconv=../../evil,utf8 . .", "refused: option-value"},
		{"B27 a temporary folder elsewhere", rsyncRule(), host(), push + "--temp-dir ../../k2 . cur", "refused: path-outside"},
		{"B27 -T is never sent", rsyncRule(), host(), push + "-T /tmp . .", "refused: option-unknown"},
		{"B28 a backup folder elsewhere", rsyncRule(), host(), push + "--backup-dir ../k2 . .", "refused: path-outside"},
		{"a backup folder below the destination", rsyncRule(), host(), push + "--backup-dir rsync_bak_1 . cur", push + "--backup-dir=rsync_bak_1 -- . cur"},
		{"a backup folder on a pull is the client's", rsyncRule(), host(), pull + "--backup-dir /local . f", pull + "-- . f"},
		{"B31 a sibling of the destination", rsyncRule(), host(), push + "--link-dest ../prev . cur/", push + "--link-dest=" + k1 + "/prev -- . cur/"},
		{"B31 climbing too far", rsyncRule(), host(), push + "--link-dest ../../k2 . cur/", "refused: path-outside"},
		{"a basis beside a file counts from its folder", rsyncRule(), host(), push + "--copy-dest ../k2 . f", "refused: path-outside"},
		{"a basis of a new name cannot climb by one more", rsyncRule(), host(), push + "--copy-dest ../k2 . new", push + "--copy-dest=" + k1 + "/k2 -- . new"},
		{"B32 a partial folder elsewhere", rsyncRule(), host(), push + "--partial-dir=/abs/outside . .", "refused: path-outside"},
		{"B32 a partial folder that climbs", rsyncRule(), host(), push + "--partial-dir ../p . cur", "refused: path-outside"},
		{"a partial folder", rsyncRule(), host(), push + "--partial-dir .rsync-partial . cur", push + "--partial-dir=.rsync-partial -- . cur"},
		{"B30 a basis through a link", rsyncRule(), host(), push + "--link-dest=" + k1 + "/out . cur", push + "--link-dest=" + k1 + "/out -- . cur"},
		{"B30 a basis through a link under Landlock", rsyncRule(), held(policy.Contents), push + "--link-dest=" + k1 + "/out . cur", push + "--link-dest=" + k1 + "/out -- . cur"},
		{"B29 backups through a link", rsyncRule(), host(), push + "--backup-dir=" + k1 + "/out . cur", push + "--backup-dir=" + k1 + "/out -- . cur"},
		{"B29 backups through a link under Landlock", rsyncRule(), held(policy.Contents), push + "--backup-dir=" + k1 + "/out . cur", "refused: path-symlink"},

		{"P links are munged", sub, bare(), push + ". .", push + "--munge-links -- . ."},
		{"P a list from the client", sub, bare(), pull + "--files-from=- --from0 . .", "refused: unconfined"},
		{"P patterns of CVS", sub, bare(), "rsync --server --sender -Cre.iLsfxCIvu . .", "refused: unconfined"},
		{"P a temporary folder that is not there", sub, bare(), push + "--temp-dir=tmp . .", "refused: unconfined"},
		{"P a backup folder that is not there", sub, bare(), push + "--backup-dir=old . .", "refused: unconfined"},
		{"P a partial folder that is not there", sub, bare(), push + "--partial-dir=.p . .", "refused: unconfined"},
		{"P a basis that is not there", sub, bare(), push + "--link-dest=prev . .", "refused: unconfined"},
		{"P a basis that is there", sub, bare(), push + "--link-dest=../sub . .", push + "--link-dest=" + k1 + "/sub --munge-links -- . ."},
		{"P a link that leads out", rsyncRule(), bare(), pull + ". sub", "refused: path-symlink"},
		{"P an rsync with holes", sub, unmended, push + ". .", "refused: unconfined"},
		{"P an rsync that says no version", sub, silent, push + ". .", "refused: unconfined"},
		{"P an rsync with holes that is accepted", sub, accepted, push + ". .", push + "--munge-links -- . ."},
		{"B33 a suffix with a slash", rsyncRule(), host(), push + "--suffix=/../../x . .", "refused: option-value"},
		{"B34 no limit of memory", rsyncRule(), host(), push + "--max-alloc=0 . .", "refused: option-value"},
		{"B34 much memory", rsyncRule(), host(), push + "--max-alloc=8G . .", push + "--max-alloc=1073741824 -- . ."},
		{"B34 many threads", rsyncRule(), host(), push + "--compress-threads=999 . .", push + "--compress-threads=2 -- . ."},
		{"B35 unknown", rsyncRule(), host(), push + "--stop-at=12:00 . .", "refused: option-unknown"},
		{"B38 an option after the paths", rsyncRule(), host(), push + ". . --log-file=/x", "refused: option-after-paths"},
		{"B39 a dot too early", rsyncRule(), host(), "rsync --server . --sender -re.iLsfxCIvu . x", "refused: option-after-paths"},
		{"B39 no dot", rsyncRule(), host(), "rsync --server -re.iLsfxCIvu x", "refused: argument"},
		{"B41 a listing elsewhere", rsyncRule(), host(), "rsync --server --sender -dn --list-only . /", "refused: path-outside"},
		{"B42 the version", rsyncRule(), host(), "rsync --server --version", "refused: option-dangerous"},
		{"block size and window", rsyncRule(), host(), push + "-B4096 -@-1 . .", push + "-B4096 -@-1 -- . ."},
		{"several destinations", rsyncRule(), host(), push + ". a b", "refused: destinations"},

		{"K1 force", rsyncRule(noDelete), host(), push + "--force . .", "refused: delete"},
		{"K11 sources removed", rsyncRule(noDelete), host(), pull + "--remove-source-files . .", "refused: delete"},
		{"K11 sources removed, read-only", rsyncRule(readOnly), host(), pull + "--remove-source-files . .", "refused: delete"},
		{"delete allowed", rsyncRule(), host(), push + "--delete-during . .", push + "--delete-during -- . ."},
		{"read-only takes no push", rsyncRule(readOnly), host(), push + ". .", "refused: access-read-only"},
		{"K8 write-only gives nothing", rsyncRule(writeOnly), host(), pull + ". .", "refused: access-write-only"},
		{"K9 write-only compares nothing", rsyncRule(writeOnly), host(), push + "--link-dest=" + k1 + "/p . .", "refused: write-only"},
		{"K9 write-only is not verbose", rsyncRule(writeOnly), host(), "rsync --server -vvvre.iLsfxCIvu . .", "rsync --server -vre.iLsfxCIvu -- . ."},
		{"K10 write-only lists no deletion", rsyncRule(writeOnly), host(), "rsync --server -vnre.iLsfxCIvu --delete . .", "refused: write-only"},
		{"K5 no overwrite, a partial folder", rsyncRule(noOverwrite), host(), push + "--partial-dir x . .", "refused: overwrite"},
		{"K5 no overwrite, backups", rsyncRule(noOverwrite), host(), "rsync --server -bre.iLsfxCIvu . .", "refused: overwrite"},
		{"K5 no overwrite, in place", rsyncRule(noOverwrite), host(), push + "--inplace . .", "refused: overwrite"},
		{"K6 K7 no overwrite", rsyncRule(noOverwrite), host(), push + ". .",
			"rsync --server -logDtre.iLsfxCIvu --ignore-existing --omit-dir-times --no-super -- . ."},
		{"no overwrite changes no pull", rsyncRule(noOverwrite), host(), "rsync --server --sender -blogDtpre.iLsfxCIvu --backup-dir /l . .",
			"rsync --server --sender -blogDtpre.iLsfxCIvu -- . ."},
		{"munged links", rsyncRule(munge), host(), push + ". .", push + "--munge-links -- . ."},
		{"B19 D1 a hardened rsync", rsyncRule(), modern, push + ". .", push + "--drop-D --confine-root=" + k1 + " -- . ."},
		{"B19 D1 a hardened rsync sends", rsyncRule(), modern, pull + ". .", pull + "--confine-root=" + k1 + " -- . ."},

		{"wildcards", rsyncRule(), host(), pull + ". sub/*.txt", pull + "-- . sub/a.txt sub/b.txt"},
		{"wildcards in the real path", rsyncRule(), host(), pull + ". " + k1 + "/s*/?.txt", pull + "-- . " + k1 + "/sub/a.txt " + k1 + "/sub/b.txt"},
		{"an escaped wildcard", rsyncRule(), host(), pull + `. sub/\*.txt`, pull + "-- . sub/*.txt"},
		{"a wildcard without a match", rsyncRule(), host(), pull + ". sub/*.doc", pull + "-- . sub/*.doc"},
		{"a wildcard of hidden names", rsyncRule(), host(), pull + ". sub/.*", pull + "-- . sub/.c.txt"},
		{"a wildcard of folders", rsyncRule(), host(), pull + ". s*/", pull + "-- . sub/"},
		{"a wildcard above the rule", rsyncRule(), host(), pull + ". /volume1/*/k1/f", "refused: path-outside"},
		{"a wildcard beside the rule", rsyncRule(), host(), pull + ". ../*", "refused: path-outside"},
		{"a wildcard through a link", rsyncRule(), host(), pull + ". out/*", "refused: path-symlink"},
		{"a climb after a wildcard", rsyncRule(), host(), pull + ". s*/../../k2/secret", "refused: path-outside"},
		{"braces", rsyncRule(), host(), pull + ". {f,sub}", "refused: brace-expansion"},
		{"escaped braces", rsyncRule(), host(), pull + `. \{f,sub\}`, pull + "-- . {f,sub}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(decide(t, test.rules, test.host, test.exec)); got != test.want {
				t.Errorf("%q\n got: %s\nwant: %s", test.exec, got, test.want)
			}
		})
	}
}

func TestRsyncSecluded(t *testing.T) {
	const exec = "rsync --server -slogDtpre.iLsfxCIvu"
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"plain", []string{"rsync", ".", "a b;$(id)"}, push + "-- . a b;$(id)"},
		{"options", []string{"rsync", "--numeric-ids", ".", k1 + "/x"}, push + "--numeric-ids -- . " + k1 + "/x"},
		{"B6 a log file", []string{"rsync", "--log-file=/outside/planted.log", ".", "x"}, "refused: option-dangerous"},
		{"another program", []string{"sh", ".", "x"}, "refused: secluded-arguments"},
		{"nothing", []string{}, "refused: secluded-arguments"},
		{"outside", []string{"rsync", ".", "/etc"}, "refused: path-outside"},
		{"a tilde is a name", []string{"rsync", ".", "~root"}, push + "-- . ~root"},
		{"a backslash is a name", []string{"rsync", ".", `a\b`}, push + `-- . a\b`},
		{"control characters", []string{"rsync", ".", "a\x1b\r\nb"}, push + "-- . a\x1b\r\nb"},
		{"a second --server", []string{"rsync", "--server", ".", "x"}, "refused: option-unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(decide(t, rsyncRule(), host(), exec, test.args...)); got != test.want {
				t.Errorf("got: %q\nwant: %q", got, test.want)
			}
		})
	}
	t.Run("wildcards match hidden names, as rsync's own do", func(t *testing.T) {
		got := outcome(decide(t, rsyncRule(), host(), "rsync --server --sender -slogDtpre.iLsfxCIvu", "rsync", ".", "sub/*"))
		if want := pull + "-- . sub/.c.txt sub/a.txt sub/b.txt"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("names in another character set", func(t *testing.T) {
		got := outcome(decide(t, rsyncRule(), host(), exec+" --iconv=latin1", "rsync", ".", "é"))
		if want := "refused: iconv-secluded"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestRsyncSeveralRules(t *testing.T) {
	rules := append(rsyncRule(), policy.Rule{Tool: policy.Rsync, Path: k2, Access: policy.ReadOnly})
	for _, test := range []struct{ name, exec, want string }{
		{"the second rule", pull + ". " + k2 + "/secret", pull + "-- . " + k2 + "/secret"},
		{"the second rule from the first's home", pull + ". ../k2/secret", pull + "-- . secret"},
		{"the second rule's mode", push + ". " + k2, "refused: access-read-only"},
		{"both at once", pull + ". f " + k2 + "/secret", "refused: path-rules"},
		{"an auxiliary path in the other", push + "--link-dest=" + k2 + " . cur", "refused: path-outside"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(decide(t, rules, host(), test.exec)); got != test.want {
				t.Errorf("got: %s\nwant: %s", got, test.want)
			}
		})
	}
}

func TestChildIsBuiltFromNothing(t *testing.T) {
	d := decide(t, rsyncRule(), host(), "LC_ALL=evil "+push+". sub")
	if d.Program != "/usr/bin/rsync" || d.Dir != k1 || d.Umask != 0o022 {
		t.Errorf("program %q, folder %q, umask %o", d.Program, d.Dir, d.Umask)
	}
	if want := []string{"HOME=/nonexistent", "LANG=C.UTF-8", "PATH=/usr/bin:/bin"}; !slices.Equal(d.Env, want) {
		t.Errorf("environment %q, want %q", d.Env, want)
	}
}

func TestNoRuleNamesWhatIsAllowed(t *testing.T) {
	d := decide(t, rsyncRule(), host(), "borg serve")
	if outcome(d) != "refused: no-rule" || !strings.Contains(d.Refusal.Error(), k1) {
		t.Errorf("%s: %v", outcome(d), d.Refusal)
	}
	if d := decide(t, nil, host(), push+". ."); outcome(d) != "refused: no-rule" {
		t.Error(outcome(d))
	}
	missing := host()
	missing.Rsync = policy.Program{}
	if d := decide(t, rsyncRule(), missing, push+". ."); d.Refusal == nil || d.Refusal.Status != policy.ExitNotInstalled {
		t.Error(outcome(d))
	}
}
