package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// borgSentOptions are the options of borg 1.x from which it makes what it sends
// (borg_cmd in remote.py), with whether they take a value.
func borgSentOptions() map[string]bool {
	return map[string]bool{
		"--critical": false, "--error": false, "--warning": false, "--info": false, "--verbose": false, "-v": false,
		"--debug": false, "--debug-topic": true, "--remote-path": true, "--umask": true, "--storage-quota": true,
	}
}

// borgValued are the other options of borg 1.x that take a value, from the
// argument parsers of borg 1.1 to 1.4.
func borgValued() []string {
	return []string{
		"--chunker-params", "--checkpoint-interval", "--comment", "--compression", "--debug-profile", "--encryption",
		"--exclude", "--exclude-from", "--exclude-if-present", "--files-cache", "--filter", "--first", "--format",
		"--glob-archives", "--keep-13weekly", "--keep-3monthly", "--keep-daily", "--keep-hourly", "--keep-last",
		"--keep-minutely", "--keep-monthly", "--keep-secondly", "--keep-weekly", "--keep-within", "--keep-yearly",
		"--last", "--lock-wait", "--max-duration", "--newer", "--newest", "--numeric-ids", "--offset", "--older", "--oldest",
		"--paths-delimiter", "--pattern", "--patterns-from", "--prefix", "--remote-buffer", "--remote-ratelimit",
		"--rsh", "--segment", "--sort-by", "--stdin-group", "--stdin-mode", "--stdin-name", "--stdin-user",
		"--strip-components", "--tar-filter", "--target", "--threshold", "--timestamp", "--upload-buffer",
		"--upload-ratelimit", "--restrict-to-path", "--restrict-to-repository",
		"-C", "-H", "-P", "-a", "-c", "-d", "-e", "-m", "-o", "-w", "-y",
	}
}

// borgLine is a borg 1.x command line taken apart, as far as it matters for what
// is sent.
type borgLine struct {
	// options are those that borg makes the command from.
	options []string
	// quota says that one of them is for init alone.
	quota bool
	// repository is the repository without an archive: ssh://HOST/PATH or HOST:PATH.
	repository string
	// path is the repository's path on the gateway, as borg asks for it.
	path string
}

// The locations of borg 1.x that lie on another host, up to their path, from
// class Location in parseformat.py.
var (
	urlLocation = regexp.MustCompile(`^ssh://(?:[^@:/]+@)?(?:\[[0-9a-fA-F:.]+\]|[^:/\[\]@]+)(?::\d+)?(/.*)$`)
	scpLocation = regexp.MustCompile(`^(?:[^@:/]+@)?(?:\[[0-9a-fA-F:.]+\]|[^:/\[\]@]+):([^:].*)$`)
)

// splitLocation returns the repository of a location on another host, without an
// archive, and its path alone.
func splitLocation(location string) (repository, path string, ok bool) {
	at := urlLocation.FindStringSubmatchIndex(location)
	if at == nil {
		at = scpLocation.FindStringSubmatchIndex(location)
		if at == nil || strings.HasPrefix(location[at[2]:], "//") {
			return "", "", false
		}
	}
	path, _, _ = strings.Cut(location[at[2]:], "::")
	return location[:at[2]] + path, path, path != ""
}

// parseBorgLine takes the words after "borg" apart. Options may stand anywhere
// up to "--".
func parseBorgLine(words []string) (borgLine, error) {
	var line borgLine
	var operands []string
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			operands = append(operands, words...)
			words = nil
		case strings.HasPrefix(word, "-") && word != "-":
			words = line.option(word, words)
		default:
			operands = append(operands, word)
		}
		if len(operands) == 2 && operands[0] == "with-lock" {
			break // what follows is another program's
		}
	}
	return line, line.locate(operands)
}

// option reads one option and returns the words behind it and its value.
func (l *borgLine) option(word string, words []string) []string {
	name, _, joined := strings.Cut(word, "=")
	valued, sent := borgSentOptions()[name]
	taken := []string{word}
	if !joined && (valued || slices.Contains(borgValued(), name)) && len(words) > 0 {
		taken = append(taken, words[0])
		words = words[1:]
	}
	if sent {
		l.options = append(l.options, taken...)
		l.quota = l.quota || name == "--storage-quota"
	}
	return words
}

// locate finds the repository: the first operand behind the subcommand, which
// for some is two words.
func (l *borgLine) locate(operands []string) error {
	if len(operands) == 0 {
		return usagef("the borg command names no subcommand")
	}
	at := 1
	switch operands[0] {
	case "serve":
		return usagef("borg serve is what the gateway runs; give the command as it is typed on the client")
	case "key", "debug", "benchmark":
		at = 2
	}
	if len(operands) <= at {
		return usagef("the borg command names no repository; write it out as ssh://HOST/PATH or HOST:PATH (for borg 2, give the exec string instead)")
	}
	var ok bool
	if l.repository, l.path, ok = splitLocation(operands[at]); !ok {
		return usagef("%q is no repository on another host; write it out as ssh://HOST/PATH or HOST:PATH", operands[at])
	}
	return nil
}

// args renders a command that sends the same and could do nothing if it were
// answered: a list, or for a quota, which list does not know, an init.
func (l borgLine) args(shell, _ string) []string {
	verb := []string{"list"}
	if l.quota {
		verb = []string{"init", "--encryption=none"}
	}
	return slices.Concat(verb, l.options, []string{"--rsh", shell, "--", l.repository})
}

// asks returns the path that borg asks for inside the protocol, absolute, for a
// client whose home is the folder home; ok is false where only the client knows
// it.
func (l borgLine) asks(home string) (asked string, ok bool) {
	p := l.path
	if strings.ContainsRune(p, '{') {
		return "", false
	}
	for _, prefix := range []string{"/./", "/~/", "~/"} {
		if below, found := strings.CutPrefix(p, prefix); found {
			return path.Join(home, below), true
		}
	}
	if strings.HasPrefix(p, "~") || strings.HasPrefix(p, "/~") {
		return "", false
	}
	if !path.IsAbs(p) {
		return path.Join(home, p), true
	}
	return path.Clean(p), true
}
