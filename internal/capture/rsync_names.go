package main

import "slices"

// names are what a user can write after "nas:". They are about what a name
// may hold, not about where it leads.
func names() []string {
	return []string{
		"", ".", "./", "..", "../", "../x", "../../x", "a/..", "a/../b", "a/../../b", "a/.", "a/./b", "a//b", "dir/", "dir", "a/b/c/",
		"/", "//", "//x//y", "/volume1/Backups/laptop", "/volume1/Backups/laptop/", "/volume1/Backups/laptop/../other", "/volume1/Backups/laptop-evil/", "/etc/passwd", "/proc/self/root/etc",
		"~", "~/", "~/x", "~/./x", "~user", "~user/x", "~user/./x", "a~", "a/~b", "./~x",
		"-x", "--", "--log-file=/x", "-e sh", "a/-x", "./-x",
		"sp ace", " lead", "trail ", "two  blanks", " ", "a b/c d/",
		"qu'ote", `dq"uote`, "'", `"`, "''", "'a b'", `"a b"`,
		"do$lar", "$HOME", "${HOME}", "$(id)", "`id`", "a;id", "a&b", "a&&b", "a|b", "a<b", "a>b", "(p)", "a(b", "#c", "a#b", "!bang", "%n", "^x", "a=b", "A=B", "a,b", "a+b", "a@b", "a:b", "./a:b", "a/b:c",
		"{a,b}", "{1..3}", "a{b", "a}b",
		`back\slash`, `end\`, `\`, `\\`, `\a`, `\ `, `a\ b`, `a\'b`, `a\$b`, `\-x`, `\~x`,
		"*", "*.txt", "**", "a*b", "dir/*", "?", "a?", "[a]", "[a-z]*", "[!a]", "[", "]", "[a", `\*`, `\?`, `\[a\]`, `a\*b c`, `*\*`, `\\*`, `*/..`, `*/../../x`, "../*", "/*", ".*", "a b*",
		"new\nline", "\n", "a\n", "carriage\rreturn", "tab\tab", "\t", "bell\a", "esc\x1b[31m", "soh\x01", "us\x1f", "del\x7f", "vt\v", "ff\f",
		"\xff\xfe", "caf\xe9", "caf\xe9 \xff*", "\xc0\xaf..", "café", "日本語", "e\u0301", "nbsp\u00a0", "rtl\u202etxt", "line\u2028sep", "😀",
		"@eaDir/x", "#recycle/x", ".popt", ".ssh/authorized_keys", "rsyncd.conf",
	}
}

// manners are the ways in which a client protects what it sends.
func manners() [][]string {
	return [][]string{
		{"-a"},
		{"-as"},
		{"-a", "--old-args"},
		{"-a", "--old-args", "--old-args"},
		{"-aR"},
		{"-a", "--trust-sender"},
	}
}

// nameCalls uses each name as a source, a destination and as the value of
// options, which are protected in other ways.
func nameCalls() []call {
	var calls []call
	for _, name := range names() {
		for _, options := range manners() {
			calls = append(calls,
				call{argv: slices.Concat([]string{"rsync"}, options, []string{"src/", "nas:" + name}), direction: "push"},
				call{argv: slices.Concat([]string{"rsync"}, options, []string{"nas:" + name, "dst/"}), direction: "pull"})
		}
		for _, option := range []string{"--backup-dir=", "--link-dest=", "-M--log-file="} {
			if hereOnly(option, name) {
				continue
			}
			calls = append(calls, call{argv: []string{"rsync", "-a", option + name, "src/", "nas:dst/"}, direction: "push"})
		}
		calls = append(calls, call{argv: []string{"rsync", "-a", "nas:a", ":" + name, "dst/"}, direction: "pull"})
	}
	return calls
}

// hereOnly reports whether the client refuses the value itself.
func hereOnly(option, name string) bool {
	return name == "" || option == "--backup-dir=" && (name == "." || name == "./")
}
