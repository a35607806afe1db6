package main

import (
	"path/filepath"
	"slices"
	"strings"
)

// rsyncTreatment is what becomes of an rsync option when the command line is
// run here to see what it sends.
type rsyncTreatment int

const (
	// kept goes to rsync as it is.
	kept rsyncTreatment = iota
	// left out: it concerns the client alone, and reads, writes or calls
	// something there. No option of this kind changes what is sent.
	leftOut
	// emptyFile: the value names a local file to read. What is in it travels
	// inside the protocol, so an empty one sends the same command.
	emptyFile
	// scratchFile: the value names a local file to write.
	scratchFile
	// local: with it, rsync calls no remote side.
	local
)

// rsyncValued lists the long options of rsync that take a value, from options.c
// of rsync 3.1.2 to 3.5.0. An option that is not listed is taken for one without.
func rsyncValued() map[string]rsyncTreatment {
	return map[string]rsyncTreatment{
		"address": kept, "backup-dir": kept, "block-size": kept, "bwlimit": kept, "cc": kept,
		"checksum-choice": kept, "checksum-seed": kept, "chmod": kept, "chown": kept, "compare-dest": kept,
		"compress-choice": kept, "compress-level": kept, "compress-threads": kept, "confine-root": kept,
		"contimeout": kept, "copy-as": kept, "copy-dest": kept, "debug": kept, "groupmap": kept, "iconv": kept,
		"info": kept, "link-dest": kept, "log-file-format": kept, "log-format": kept, "max-alloc": kept,
		"max-delete": kept, "max-size": kept, "min-size": kept, "modify-window": kept, "out-format": kept,
		"outbuf": kept, "partial-dir": kept, "port": kept, "protocol": kept, "remote-option": kept,
		"rsync-path": kept, "skip-compress": kept, "sockopts": kept, "stderr": kept, "stop-after": kept,
		"stop-at": kept, "suffix": kept, "temp-dir": kept, "time-limit": kept, "timeout": kept, "usermap": kept,
		"zc": kept, "zl": kept, "zt": kept,

		"early-input": leftOut, "exclude": leftOut, "exclude-from": leftOut, "filter": leftOut,
		"include": leftOut, "include-from": leftOut, "log-file": leftOut, "password-file": leftOut, "rsh": leftOut,

		"files-from": emptyFile,

		"only-write-batch": scratchFile, "write-batch": scratchFile,

		"config": local, "dparam": local, "read-batch": local,
	}
}

// rsyncLetters are the short options that take a value, by their long names.
func rsyncLetters() map[rune]string {
	return map[rune]string{'B': "block-size", 'M': "remote-option", 'T': "temp-dir", '@': "modify-window", 'e': "rsh", 'f': "filter"}
}

// rsyncLocal are the long options without a value with which rsync calls no
// remote side.
func rsyncLocal() []string { return []string{"daemon", "help", "server", "version"} }

// rsyncLine is an rsync command line taken apart.
type rsyncLine struct {
	options  []rsyncOption
	operands []string
}

type rsyncOption struct {
	name      string // the long name; empty for letters and what has no value
	text      string // the option as it is passed on, without the value
	value     string
	hasValue  bool
	treatment rsyncTreatment
}

// parseRsyncLine takes the words after "rsync" apart. Options may stand behind
// operands, up to "--".
func parseRsyncLine(words []string) (rsyncLine, error) {
	var line rsyncLine
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var err error
		switch {
		case word == "--":
			line.operands = append(line.operands, words...)
			words = nil
		case strings.HasPrefix(word, "--"):
			words, err = line.long(word, words)
		case strings.HasPrefix(word, "-") && word != "-":
			words, err = line.letters(word, words)
		default:
			line.operands = append(line.operands, word)
		}
		if err != nil {
			return line, err
		}
	}
	return line, line.checkOperands()
}

func (l *rsyncLine) long(word string, words []string) ([]string, error) {
	name, value, joined := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	if slices.Contains(rsyncLocal(), name) {
		return nil, usagef("with --%s rsync calls no gateway", name)
	}
	treatment, valued := rsyncValued()[name]
	if !valued {
		l.options = append(l.options, rsyncOption{text: word})
		return words, nil
	}
	if !joined {
		if len(words) == 0 {
			return nil, usagef("the rsync option --%s needs a value", name)
		}
		value, words = words[0], words[1:]
	}
	return words, l.add(rsyncOption{name: name, text: "--" + name, value: value, hasValue: true, treatment: treatment})
}

// letters reads a cluster such as -avze. The first letter that takes a value
// takes the rest of the word, or the next one.
func (l *rsyncLine) letters(word string, words []string) ([]string, error) {
	for i, letter := range word[1:] {
		name, valued := rsyncLetters()[letter]
		if !valued {
			continue
		}
		if i > 0 {
			l.options = append(l.options, rsyncOption{text: word[:1+i]})
		}
		value := word[1+i+1:]
		if value == "" {
			if len(words) == 0 {
				return nil, usagef("the rsync option -%c needs a value", letter)
			}
			value, words = words[0], words[1:]
		}
		return words, l.add(rsyncOption{name: name, text: "--" + name, value: value, hasValue: true, treatment: rsyncValued()[name]})
	}
	l.options = append(l.options, rsyncOption{text: word})
	return words, nil
}

func (l *rsyncLine) add(o rsyncOption) error {
	if o.treatment == local {
		return usagef("with --%s rsync calls no gateway", o.name)
	}
	l.options = append(l.options, o)
	return nil
}

// checkOperands refuses everything but one remote side that a remote shell
// leads to, so that no transfer between local folders is ever run.
func (l *rsyncLine) checkOperands() error {
	if len(l.operands) == 0 {
		return usagef("the rsync command names no remote side; write it as HOST:PATH")
	}
	var remote []bool
	for _, operand := range l.operands {
		is, err := isRemote(operand)
		if err != nil {
			return err
		}
		remote = append(remote, is)
	}
	last := len(remote) - 1
	sources := remote[:last]
	if last == 0 {
		sources = remote
	}
	pull := !slices.Contains(sources, false)
	push := last > 0 && remote[last] && !slices.Contains(sources, true)
	switch {
	case pull && (last == 0 || !remote[last]), push:
		return nil
	case !slices.Contains(remote, true):
		return usagef("the rsync command names no remote side; write it as HOST:PATH")
	}
	return usagef("the rsync command mixes local and remote sides; write one side as HOST:PATH")
}

// isRemote reports whether an operand is HOST:PATH, by rsync's own rule: a colon
// before any slash.
func isRemote(operand string) (bool, error) {
	host, path, found := strings.Cut(operand, ":")
	if strings.HasPrefix(operand, "[") {
		var rest string
		host, rest, found = strings.Cut(operand, "]")
		path = strings.TrimPrefix(rest, ":")
	}
	switch {
	case strings.HasPrefix(strings.ToLower(operand), "rsync://"), found && !strings.Contains(host, "/") && strings.HasPrefix(path, ":"):
		return false, usagef("%q is for the rsync daemon; the gateway is reached as HOST:PATH", operand)
	case !found || strings.Contains(host, "/"):
		return false, nil
	}
	return true, nil
}

// args renders the command line with the remote shell, which stands last of the
// options.
func (l rsyncLine) args(shell, scratch string) []string {
	var args []string
	for _, o := range l.options {
		switch {
		case o.treatment == leftOut:
			continue
		case o.treatment == emptyFile && !strings.Contains(o.value, ":"):
			o.value = "/dev/null"
		case o.treatment == scratchFile:
			o.value = filepath.Join(scratch, "batch")
		}
		if o.hasValue {
			args = append(args, o.text+"="+o.value)
		} else {
			args = append(args, o.text)
		}
	}
	args = append(args, "--rsh="+shell, "--")
	return append(args, l.operands...)
}
