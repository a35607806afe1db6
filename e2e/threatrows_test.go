package e2e

import "strings"

// Capabilities that a stock rsync 3.5.0 sends, and the start of its commands.
const (
	push = "rsync --server -logDtpre.iLsfxCIvu "
	pull = "rsync --server --sender -logDtpre.iLsfxCIvu "
)

// The folders in which a borg runs. One that starts looks for a place for temporary
// files by making one, and confined it finds only its own folder.
const (
	repository = "nas/k1/repo"
	appended   = "nas/append"
)

// commandThreats are about the command itself: how it is split, and what it
// names.
func commandThreats() []threat {
	return []threat{
		{row: "A4", class: "unbalanced quote", exec: "rsync --server . 'a"},
		{row: "A4", class: "unbalanced double quote", exec: pull + `. "x`},
		{row: "A4", class: "backslash at the end", exec: pull + `. x\`},
		{row: "A5", class: "second command after a semicolon", exec: push + ". x/; id"},
		{row: "A5", class: "second command after an ampersand", exec: push + ". x/ & id"},
		{row: "A5", class: "pipe", exec: push + ". x/ | sh"},
		{row: "A5", class: "redirection", exec: push + ". x/ > /tmp/x"},
		{row: "A6", class: "command substitution", exec: push + ". $(id)"},
		{row: "A6", class: "variable", exec: push + ". $HOME/x"},
		{row: "A6", class: "subshell", exec: push + ". (id)"},
		{row: "A6", class: "escaped substitution is a name", exec: pull + `. \$\(id\)`, want: harmless, with: []string{"$(id)"}},
		{row: "A7", class: "backticks", exec: push + ". `id`"},
		{row: "A9", class: "newline", exec: push + ". x\nsh"},
		{row: "A9", class: "carriage return", exec: push + ". x\rsh"},
		{row: "A9", class: "escape sequence", exec: push + ". \x1b[2J"},
		{row: "A12", class: "program in capitals", exec: "RSYNC --server -e.LsfxCIvu . x"},
		{row: "A12", class: "program of the client", exec: "/tmp/rsync --server -e.LsfxCIvu . x"},
		{row: "A12", class: "program in the folder", exec: "./rsync --server -e.LsfxCIvu . x"},
		{row: "A12", class: "program in the rule", exec: "{nas}/k1/rsync --server -e.LsfxCIvu . x"},
		{row: "A12", class: "program with a suffix", exec: "rsync.sh --server -e.LsfxCIvu . x"},
		{row: "A12", class: "climbing program", exec: "/usr/bin/../../tmp/rsync --server -e.LsfxCIvu . x"},
		{row: "A12", class: "usual path is only compared", exec: "/usr/local/bin/rsync --server --sender -e.LsfxCIvu . x", want: harmless},
		{row: "A13", class: "sudo", exec: "sudo " + push + ". x", says: "sudo"},
		{row: "A13", class: "doas", exec: "doas " + push + ". x"},
		{row: "A13", class: "env", exec: "env " + push + ". x"},
		{row: "A13", class: "sh", exec: "sh -c 'rsync --server . x'"},
		{row: "A13", class: "exec", exec: "exec " + push + ". x"},
		{row: "A14", class: "mkdir before rsync", exec: "mkdir -p /x && " + push + ". x", says: "--mkpath"},
		{row: "A16", class: "harmless assignment", exec: "LC_ALL=C " + pull + ". x", want: harmless, without: []string{"LC_ALL"}},
		{row: "A16", class: "assignment of an old borg", exec: "BORG_HOSTNAME_IS_UNIQUE=no borg serve", want: harmless, touches: repository},
		{row: "A16", class: "assignment that loads code", exec: "LD_PRELOAD={nas}/k1/x.so " + pull + ". x"},
		{row: "A16", class: "assignment of PATH", exec: "PATH={nas}/k1 " + pull + ". x"},
		{row: "A17", class: "command after borg serve", exec: "borg serve; id"},
		{row: "A17", class: "substitution in borg serve", exec: "borg serve --x $(id)"},
		{row: "A17", class: "word that begins as serve", exec: "borg server"},
		{row: "A19", class: "sudo before borg", exec: "sudo borg serve"},
		{row: "A19", class: "names of borg 1", exec: "borg1 serve", want: harmless, touches: repository},
		{row: "A19", class: "name with a version", exec: "borg-1.4 serve", want: harmless, touches: repository},
		{row: "A19", class: "borg elsewhere", exec: "/tmp/borg serve"},
		{row: "A20", class: "command of 80 KiB", exec: pull + ". " + strings.Repeat("x", 80<<10)},
		{row: "A20", class: "component of 5 KiB", exec: pull + ". " + strings.Repeat("x", 5<<10)},
		{row: "A20", class: "10 000 arguments", exec: pull + "." + strings.Repeat(" x", 10000)},
		{row: "A21", class: "scp to", exec: "scp -t {nas}/k1"},
		{row: "A21", class: "scp from", exec: "scp -f /etc/shadow"},
		{row: "A21", class: "sftp server", exec: "/usr/lib/openssh/sftp-server"},
		{row: "A22", class: "git", exec: "git-upload-pack x"},
		{row: "A22", class: "rclone", exec: "rclone serve restic --stdio --append-only x"},
		{row: "A22", class: "svn", exec: "svnserve -t"},
	}
}

// optionThreats are options of rsync that a stock client never sends, or that
// reach further than the transfer.
func optionThreats() []threat {
	deny := func(row, class, exec string) threat { return threat{row: row, class: class, exec: exec} }
	return []threat{
		deny("B1", "remote shell glued", "rsync --server --sender -e/bin/sh . x"),
		deny("B1", "remote shell by letters", "rsync --server --sender -esh . x"),
		deny("B1", "remote shell apart", "rsync --server --sender -e sh . x"),
		deny("B1", "remote shell long", "rsync --server --sender --rsh=/bin/sh . x"),
		deny("B1", "remote shell after the capabilities", "rsync --server --sender -logDtpre.LsfxCIvu -esh . x"),
		deny("B2", "server not first", "rsync -e sh --server . x"),
		deny("B2", "client mode", "rsync x host:y"),
		deny("B2", "local copy", "rsync /etc/passwd ."),
		deny("B3", "rsync path", "rsync --server --rsync-path=sh . x"),
		deny("B3", "remote option", "rsync --server --remote-option=--config=x . x"),
		deny("B3", "remote option short", "rsync --server -M--config=x . x"),
		deny("B4", "daemon with a configuration", "rsync --server --daemon --config={nas}/k1/evil.conf ."),
		deny("B4", "daemon parameters", "rsync --server --daemon --dparam=path=/ ."),
		deny("B5", "daemon", "rsync --server --daemon ."),
		{row: "B6", class: "secluded arguments that never come", exec: "rsync --server -slogDtpre.iLsfxCIvu", silent: true},
		{row: "B7", class: "secluded by its long name", exec: "rsync --server --secluded-args . x", silent: true},
		{row: "B7", class: "protected by its long name", exec: "rsync --server --protect-args . x", silent: true},
		deny("B8", "log file outside", push+`--log-file=../../outside/authorized_keys --log-file-format=ssh-ed25519\ AAAA . x`),
		deny("B8", "log file inside", push+"--log-file=log . x"),
		deny("B10", "list of names outside", pull+"--files-from=/etc/shadow . /"),
		{row: "B10", class: "list of names inside", exec: pull + "--files-from=x . .", want: harmless},
		deny("B11", "exclusions from a file", push+"--exclude-from=/etc/shadow . x"),
		deny("B11", "filter from a file", push+`--filter=merge\ /etc/shadow . x`),
		deny("B11", "filters of folders", "rsync --server -logDtprFe.iLsfxCIvu . x"),
		deny("B12", "password file", push+"--password-file=/etc/shadow . x"),
		deny("B12", "early input", push+"--early-input=/etc/shadow . x"),
		deny("B12", "socket options", push+"--sockopts=SO_RCVBUF=1 . x"),
		deny("B13", "batch written", push+"--write-batch=batch . x"),
		deny("B13", "batch read", push+"--read-batch=x . x"),
		deny("B13", "batch of another name", push+"--only-write-batch=/etc/x . x"),
		deny("B14", "devices read", pull+"--copy-devices . /dev/sda"),
		deny("B15", "devices written", push+"--write-devices . /dev/sda"),
		deny("B16", "another user", push+"--copy-as=root . x"),
		deny("B16", "owners mapped", push+"--usermap=*:0 . x"),
		deny("B16", "groups mapped", push+"--groupmap=*:0 . x"),
		deny("B18", "modes of the server's side", push+"--chmod=u+s . x"),
		deny("B20", "links followed", "rsync --server --sender -LogDtpre.iLsfxCIvu . a/secret"),
		{row: "B20", class: "folder links followed", exec: pull + "-k . .", want: harmless},
		{row: "B20", class: "unsafe links followed", exec: pull + "--copy-unsafe-links . .", want: harmless},
		{row: "B21", class: "folder links kept", exec: "rsync --server -logDtpKre.iLsfxCIvu . x", want: harmless},
		{row: "B22", class: "implied folders through a link", exec: "rsync --server -logDtpRre.iLsfxCIvu --no-implied-dirs . .", want: harmless},
		{row: "B22", class: "implied folders of a list", exec: push + "--files-from=- --from0 --no-implied-dirs . .", want: harmless},
		deny("B23", "links not inert", push+"--no-munge-links . x"),
		deny("B23", "insecure links", push+"--insecure-links . x"),
		deny("B23", "sender trusted", push+"--trust-sender . x"),
		deny("B23", "devices let in", push+"--no-drop-D . x"),
		deny("B23", "another root", push+"--confine-root=/ . x"),
		deny("B24", "trace of filters", pull+"--debug=FILTER2 . x"),
		deny("B24", "trace of everything", pull+"--debug=ALL3 . x"),
		deny("B24", "help instead of work", pull+"--info=help . x"),
		deny("B26", "conversion from a file", pull+"--iconv=../../evil,utf8 . x"),
		deny("B27", "temporary files outside", push+"--temp-dir=../k2 . x"),
		deny("B27", "temporary files short", push+"-T /tmp . x"),
		deny("B28", "backups outside", push+"-b --backup-dir=../k2 . x"),
		deny("B28", "backups outside, absolute", push+"-b --backup-dir={outside} . x"),
		{row: "B31", class: "yesterday inside the rule", exec: push + "--link-dest=../prev . d", want: harmless},
		deny("B31", "yesterday outside", push+"--link-dest=../../k2 . d"),
		deny("B31", "yesterday of somebody else", push+"--copy-dest={nas}/k2 . d"),
		{row: "B31", class: "yesterday through a link", exec: push + "--compare-dest=../a . d", want: harmless},
		deny("B32", "partial files outside", push+"--partial-dir={outside} . x"),
		deny("B32", "partial files above", push+"--partial-dir=../../k2 . x"),
		deny("B33", "suffix with a slash", push+"-b --suffix=/../../x . x"),
		deny("B34", "no limit of memory", push+"--max-alloc=0 . x"),
		{row: "B34", class: "a thousand threads", exec: push + "--compress-threads=999 . x", want: harmless, without: []string{"999"}},
		deny("B35", "option of clients only", push+"--stop-at=2030-01-01 . x"),
		deny("B35", "option that nobody knows", push+"--frobnicate . x"),
		deny("B35", "port", push+"--port=22 . x"),
		deny("B38", "option behind the paths", push+". . --log-file=/x"),
		deny("B38", "short option behind the paths", pull+". x -L"),
		deny("B38", "deletion behind the paths", push+". . --delete --daemon"),
		deny("B39", "dot too early", "rsync --server . --sender -re.iLsfxCIvu x"),
		deny("B39", "no dot", push+"x"),
		deny("B41", "listing of everything", "rsync --server --sender -vne.LsfxCIvu --list-only . /"),
		deny("B41", "listing above", "rsync --server --sender -vne.LsfxCIvu --list-only . .."),
		deny("B42", "version", "rsync --server --version"),
		deny("B42", "help", "rsync --server --help"),
		deny("B42", "version without server", "rsync --version"),
	}
}

// pathThreats are paths that lead out of the rule, or seem to.
func pathThreats() []threat {
	deny := func(row, class, exec string) threat { return threat{row: row, class: class, exec: exec} }
	return []threat{
		deny("C1", "neighbour", pull+". ../k2/secret"),
		deny("C1", "out through a folder", pull+". d/../../k2"),
		deny("C1", "parent", pull+". .."),
		deny("C1", "push to the parent", push+". d/../.."),
		{row: "C1", class: "up and down inside", exec: pull + ". d/../x", want: harmless},
		deny("C2", "absolute", pull+". /etc/passwd"),
		deny("C2", "absolute, pushed", push+". /etc/cron.d/x"),
		{row: "C2", class: "absolute of a rooted rule", host: "root", exec: pull + ". /x", want: harmless, with: []string{"x"}},
		{row: "C3", class: "real path of a rooted rule", host: "root", exec: pull + ". {nas}/root/x", want: harmless},
		deny("C4", "name that only begins the same", pull+". {nas}/k1-evil/x"),
		deny("C4", "name without a dash", pull+". {nas}/k1x"),
		deny("C5", "double slashes", pull+". //etc//passwd"),
		{row: "C5", class: "dot and slash", exec: pull + ". ./x", want: harmless},
		{row: "C5", class: "double slashes inside", exec: pull + ". {nas}//k1//x", want: harmless},
		deny("C5", "mark of -R that climbs", "rsync --server --sender -logDtpRre.iLsfxCIvu . ./../k2/./secret"),
		{row: "C6", class: "home", exec: pull + ". '~/x'", want: harmless},
		deny("C6", "home of root", pull+". ~root/.ssh"),
		deny("C6", "home of nobody known", pull+". ~k2/x"),
		{row: "C6", class: "escaped tilde is part of a name", exec: pull + `. \~root/.ssh`, want: harmless},
		deny("C8", "second path after a space", pull+". x /etc/passwd"),
		{row: "C8", class: "escaped space is part of a name", exec: pull + `. x\ /etc/passwd`, want: harmless},
		deny("C10", "through a planted link", pull+". a/secret"),
		deny("C10", "into a planted link", push+". a/"),
		deny("C10", "below a planted link", push+". a/new/deep"),
		deny("C10", "into /proc", pull+". magic/etc/passwd"),
		deny("C10", "wildcard through a planted link", pull+". a/s*"),
		deny("C11", "5000 folders deep", pull+". "+strings.Repeat("d/", 5000)+"x"),
		deny("C13", "the gateway's own files", pull+". {gw}/state"),
		deny("C13", "the configuration", push+". {gw}/clients.d"),
	}
}

// environmentThreats are about what the children inherit. See also
// [TestChild], which looks at one.
func environmentThreats() []threat {
	return []threat{
		{row: "F10", class: "env as a command", exec: "env --split-string=id"},
		{row: "F10", class: "env before rsync", exec: "env HOME={nas}/k1 " + pull + ". x"},
		{row: "F12", class: "alias of popt", exec: "rsync exec --server {nas}/k1/x.sh"},
		{row: "F12", class: "exec of popt after the server", exec: "rsync --server exec . x"},
		{row: "F15", class: "umask of borg", exec: "borg serve --umask=000", want: harmless, touches: repository, without: []string{"000"}},
	}
}

// borgThreats are what a client may try to tell borg's server, or another
// command of borg.
func borgThreats() []threat {
	rows := []threat{
		{row: "G1", class: "wider restriction", exec: "borg serve --restrict-to-path /", want: harmless, touches: repository, without: []string{"\x00/\x00"}},
		{row: "G1", class: "other repository", exec: "borg serve --restrict-to-repository={nas}/k2", want: harmless, touches: repository, without: []string{"k2"}},
		{row: "G2", class: "quota of the client", host: "append", exec: "borg serve --storage-quota=1T", want: harmless, touches: appended, without: []string{"1T"}, with: []string{"--append-only"}},
		{row: "G2", class: "append-only switched off", host: "append", exec: "borg serve --append-only=false", want: harmless, touches: appended, without: []string{"false"}, with: []string{"--append-only"}},
		{row: "G3", class: "profile into a file", exec: "borg serve --debug-profile {nas}/k1/profile"},
		{row: "G3", class: "socket", exec: "borg serve --socket"},
		{row: "G3", class: "socket at a path", exec: "borg serve --socket={nas}/k1/socket"},
		{row: "G3", class: "remote path", exec: "borg serve --remote-path x"},
		{row: "G3", class: "remote shell", exec: "borg serve --rsh sh"},
		{row: "G3", class: "no lock", exec: "borg serve --bypass-lock", want: harmless, touches: repository, without: []string{"bypass"}},
		{row: "G3", class: "unknown option", exec: "borg serve --frobnicate"},
		{row: "G3", class: "repository as an argument", exec: "borg serve {nas}/k1/repo"},
		{row: "G5", class: "other backend", exec: "borg serve --rest --backend sftp://x/y", status: 127},
		{row: "G5", class: "backend that climbs", exec: "borg serve --rest --backend FILE:../../etc", status: 127},
		{row: "G6", class: "permissions of the client", exec: "borg serve --permissions=all", want: harmless, touches: repository, without: []string{"permissions"}},
		{row: "G14", class: "unbalanced quote", exec: "borg serve '"},
		{row: "G15", class: "version probe", exec: "borg --version", want: answered, says: "borg 1.2.4"},
	}
	for _, command := range []string{
		"init -e none {nas}/k1/x", "create {nas}/k1/repo::a /etc", "extract --stdout {nas}/k1/repo::a", "delete {nas}/k1/repo",
		"key export {nas}/k1/repo /tmp/x", "config {nas}/k1/repo append_only 0", "with-lock {nas}/k1/repo sh", "compact {nas}/k1/repo",
		"create --content-from-command {nas}/k1/repo::a -- sh", "debug info", "mount {nas}/k1/repo /mnt", "check --repair {nas}/k1/repo",
	} {
		rows = append(rows, threat{row: "G4", class: strings.Fields(command)[0], exec: "borg " + command})
	}
	return rows
}

// modeThreats are accepted options that would defeat what a rule promises.
func modeThreats() []threat {
	deny := func(row, class, host, exec string) threat {
		return threat{row: row, class: class, host: host, exec: exec}
	}
	rows := []threat{
		deny("K1", "force", "nodel", push+"--force . d"),
		deny("K5", "log file", "nover", push+"--log-file=d/x . ."),
		deny("K5", "partial files", "nover", "rsync --server -logDtpre.iLsfxCIvu --partial-dir=d . ."),
		deny("K5", "updates delayed", "nover", push+"--delay-updates . ."),
		deny("K5", "backups", "nover", "rsync --server -blogDtpre.iLsfxCIvu . ."),
		deny("K5", "backups in a folder", "nover", push+"--backup-dir=d . ."),
		deny("K5", "in place", "nover", push+"--inplace . ."),
		deny("K5", "appended", "nover", push+"--append . ."),
		{row: "K7", class: "existing files left alone", host: "nover", exec: push + ". .", want: harmless, with: []string{"--ignore-existing"}},
		deny("K8", "sender", "wo", pull+". ."),
		deny("K8", "listing", "wo", "rsync --server --sender -ne.LsfxCIvu --list-only . d"),
		deny("K9", "comparison with others' files", "wo", push+"--copy-dest=../d . new"),
		deny("K9", "links to others' files", "wo", push+"--link-dest=d . new"),
		deny("K9", "names from a file", "wo", push+"--files-from=d/x . ."),
		deny("K10", "names by a dry deletion", "wo", "rsync --server -vnlogDtpre.iLsfxCIvu --delete . ."),
		deny("K11", "pull that removes", "ro", pull+"--remove-source-files . x"),
		deny("K12", "log of a pull", "ro", pull+"--log-file=x . x"),
		deny("K12", "batch of a pull", "ro", pull+"--write-batch=x . x"),
		deny("K12", "push", "ro", push+". ."),
		{row: "K14", class: "append-only is the gateway's", host: "append", exec: "borg serve", want: harmless, touches: appended, with: []string{"--append-only"}},
	}
	for _, option := range []string{
		"--delete", "--del", "--delete-before", "--delete-during", "--delete-delay", "--delete-after", "--delete-excluded",
		"--delete-missing-args", "--remove-sent-files", "--remove-source-files", "--ignore-errors --delete --max-delete=-1",
	} {
		rows = append(rows,
			deny("B37", option, "nodel", push+option+" . d"),
			deny("B37", option, "ro", pull+option+" . d"))
	}
	return rows
}
