package policy_test

import (
	"path"
	"slices"
	"strings"

	"postern/policy"
)

// need is what a rule must grant for an option, as a set of bits.
type need uint16

const (
	// free needs nothing but the direction.
	free need = 0
	// never is granted by no rule.
	never need = 1 << iota
	// del needs access to write, and delete: true.
	del
	// over needs overwrite: true.
	over
	// confined needs a child that the kernel confines, hidden one for which it
	// hides what is outside.
	confined
	hidden
	// sighted needs access to read: the answer tells about other files.
	sighted
	// pathInDestination and pathAtHome need a value that leads into the rule,
	// from the destination or from the client's home. The former needs a folder
	// that is there where the kernel does not confine the child.
	pathInDestination
	pathAtHome
)

// truth is what an option needs in each direction, and which values it takes:
// nil for an option without one.
type truth struct {
	push, pull need
	value      func(string) bool
}

func anyValue(string) bool         { return true }
func oneOf(values ...string) value { return func(v string) bool { return slices.Contains(values, v) } }
func without(bytes string) value {
	return func(v string) bool { return v != "" && !strings.ContainsAny(v, bytes) }
}

// staysBelow refuses a path that climbs: rsync reads a relative --partial-dir
// in each folder of the transfer, and in the parent of a destination that is to
// become a file.
func staysBelow(v string) bool { return !strings.HasPrefix(path.Clean(v), "..") }

type value = func(string) bool

// letterTruth are the letters of the short options. What is in no string needs
// never: -e without its dot, -F, -M, -T and the like are no letters of a stock
// client's command line.
var letterTruth = []struct {
	letters    string
	push, pull need
}{
	{"DEHIJNORSUWcdglmnopqrstuvxyz", free, free},
	// -C reads patterns from files on the way.
	{"C", confined, confined},
	// -b moves files away, -A and -X change folders that exist.
	{"AXb", over, free},
	// Through a planted link -L and -k read, -K writes; -L also makes a
	// receiver follow links (link_stat in rsync's flist.c).
	{"Lk", confined, confined},
	{"K", hidden, free},
}

// longTruth is the truth table of rsync's options that begin with two dashes,
// and of the two that carry their number. What is not in it is refused.
var longTruth = map[string]truth{
	// They describe the transfer.
	"-B":                    {value: anyValue},
	"-@":                    {value: anyValue},
	"--bwlimit":             {value: anyValue},
	"--checksum-choice":     {value: anyValue},
	"--checksum-seed":       {value: anyValue},
	"--compress-choice":     {value: anyValue},
	"--compress-level":      {value: anyValue},
	"--compress-threads":    {value: anyValue},
	"--existing":            {},
	"--from0":               {},
	"--fsync":               {},
	"--fuzzy":               {},
	"--iconv":               {value: without("/")},
	"--ignore-errors":       {},
	"--ignore-existing":     {},
	"--ignore-missing-args": {},
	"--info":                {value: func(v string) bool { return !strings.EqualFold(v, "help") }},
	"--list-only":           {},
	"--log-format":          {value: oneOf("%i", "%i%I", "%o", "X")},
	"--max-alloc":           {value: func(v string) bool { return v != "0" }},
	"--max-delete":          {value: anyValue},
	"--max-size":            {value: anyValue},
	"--min-size":            {value: anyValue},
	"--mkpath":              {},
	"--modify-window":       {value: anyValue},
	"--msgs2stderr":         {},
	"--munge-links":         {},
	"--new-compress":        {},
	"--no-W":                {},
	"--no-msgs2stderr":      {},
	"--no-r":                {},
	"--no-relative":         {},
	"--no-specials":         {},
	"--no-super":            {},
	"--numeric-ids":         {},
	"--old-compress":        {},
	"--only-write-batch":    {value: oneOf("X")},
	"--open-noatime":        {},
	"--partial":             {},
	"--preallocate":         {},
	"--progress":            {},
	"--relative":            {},
	"--safe-links":          {},
	"--size-only":           {},
	"--skip-compress":       {value: anyValue},
	"--specials":            {},
	"--stats":               {},
	"--suffix":              {value: without("/")},
	"--super":               {},
	"--timeout":             {value: anyValue},
	"--use-qsort":           {},

	// They delete (B37, K1, K11).
	"--delete":              {push: del, pull: del},
	"--delete-after":        {push: del, pull: del},
	"--delete-before":       {push: del, pull: del},
	"--delete-delay":        {push: del, pull: del},
	"--delete-during":       {push: del, pull: del},
	"--delete-excluded":     {push: del, pull: del},
	"--delete-missing-args": {push: del, pull: del},
	"--force":               {push: del, pull: del},
	"--remove-sent-files":   {push: del, pull: del},
	"--remove-source-files": {push: del, pull: del},

	// They reach files that --ignore-existing does not protect (B32, K5). On
	// a pull their paths are the client's own, and nothing is written here.
	"--append":        {push: over},
	"--backup":        {push: over},
	"--backup-dir":    {push: over | pathInDestination, value: anyValue},
	"--delay-updates": {push: over},
	"--fake-super":    {push: over},
	"--inplace":       {push: over},
	"--partial-dir":   {push: over | pathInDestination, value: staysBelow},
	"--temp-dir":      {push: pathInDestination, value: anyValue},

	// They read other files; write-only must not tell of these (B10, K9).
	"--compare-dest": {push: sighted | pathInDestination, value: anyValue},
	"--copy-dest":    {push: sighted | pathInDestination, value: anyValue},
	"--link-dest":    {push: sighted | pathInDestination, value: anyValue},

	// They follow links that a client can plant (B20 to B22, D3).
	"--copy-unsafe-links": {pull: confined},
	"--no-implied-dirs":   {push: hidden},
	"--files-from":        {push: confined | sighted | pathAtHome, pull: confined | sighted | pathAtHome, value: anyValue},

	// No rule grants them (B1 to B5, B8, B11 to B16, B18, B23, B24).
	"--bogus":           {push: never, pull: never},
	"--chmod":           {push: never, pull: never, value: anyValue},
	"--config":          {push: never, pull: never, value: anyValue},
	"--confine-root":    {push: never, pull: never, value: anyValue},
	"--copy-as":         {push: never, pull: never, value: anyValue},
	"--copy-devices":    {push: never, pull: never},
	"--copy-links":      {push: never, pull: never},
	"--daemon":          {push: never, pull: never},
	"--debug":           {push: never, pull: never, value: anyValue},
	"--early-input":     {push: never, pull: never, value: anyValue},
	"--exclude-from":    {push: never, pull: never, value: anyValue},
	"--filter":          {push: never, pull: never, value: anyValue},
	"--groupmap":        {push: never, pull: never, value: anyValue},
	"--help":            {push: never, pull: never},
	"--include-from":    {push: never, pull: never, value: anyValue},
	"--insecure-links":  {push: never, pull: never},
	"--log-file":        {push: never, pull: never, value: anyValue},
	"--log-file-format": {push: never, pull: never, value: anyValue},
	"--no-drop-D":       {push: never, pull: never},
	"--no-munge-links":  {push: never, pull: never},
	"--outbuf":          {push: never, pull: never, value: anyValue},
	"--password-file":   {push: never, pull: never, value: anyValue},
	"--protocol":        {push: never, pull: never, value: anyValue},
	"--read-batch":      {push: never, pull: never, value: anyValue},
	"--rsh":             {push: never, pull: never, value: anyValue},
	"--rsync-path":      {push: never, pull: never, value: anyValue},
	"--secluded-args":   {push: never, pull: never},
	"--sender":          {push: never, pull: never},
	"--sockopts":        {push: never, pull: never, value: anyValue},
	"--stop-at":         {push: never, pull: never, value: anyValue},
	"--trust-sender":    {push: never, pull: never},
	"--usermap":         {push: never, pull: never, value: anyValue},
	"--version":         {push: never, pull: never},
	"--write-batch":     {push: never, pull: never, value: anyValue},
	"--write-devices":   {push: never, pull: never},
}

// borgTruth are the options of borg serve that clients send; the value of the
// ones that the gateway sets itself does not matter.
var borgTruth = []string{"--critical", "--error", "--info", "--debug", "--debug-topic", "--storage-quota", "--umask"}

// The names that clients call the programs by. Everything else is refused.
var (
	rsyncNames = []string{"rsync", "/usr/bin/rsync", "/usr/local/bin/rsync", "/usr/syno/bin/rsync"}
	borgNames  = []string{"borg", "borg1", "borg14", "borg-1.4", "/usr/bin/borg", "/usr/local/bin/borg"}
	borg2Names = []string{"borg2", "/opt/borg2/bin/borg"}
	// noEffect are the variables that may stand before a program's name.
	noEffect = []string{"LC_ALL", "BORG_HOSTNAME_IS_UNIQUE"}
)

// ambiguous are wildcards that match several names of [corpusTree] where they
// are looked up in the rule's path.
var ambiguous = []string{"*", "**", "[a-z]*"}

// expectation is what must become of a line in a mode, and why.
type expectation struct {
	verdict policy.Verdict
	why     string
	// targets are the places that rsync may work on, where no wildcard
	// stands in a path.
	targets []string
}

func denied(why string) expectation { return expectation{verdict: policy.Deny, why: why} }

// expect returns what must become of a line. It reads the exec string by
// itself; nothing here calls the package under test.
func expect(l corpusLine, m corpusMode) expectation {
	words, why := shellWords(l.Exec)
	if why != "" {
		return denied(why)
	}
	for len(words) > 0 && slices.Contains(noEffect, before(words[0].text, "=")) {
		words = words[1:]
	}
	name := words[0].text
	if slices.Contains(rsyncNames, name) {
		return expectRsync(words[1:], l.Secluded, m)
	}
	if slices.Contains(borgNames, name) || slices.Contains(borg2Names, name) {
		return expectBorg(name, words[1:], m)
	}
	return denied(name + " is no program")
}

func before(text, separator string) string {
	head, _, _ := strings.Cut(text, separator)
	return head
}

func expectBorg(name string, words []shellWord, m corpusMode) expectation {
	if len(words) == 0 || words[0].text != "serve" {
		return denied("not borg serve")
	}
	backend, rest := "", false
	for i := 1; i < len(words); i++ {
		switch option := before(words[i].text, "="); {
		case option == "--rest":
			rest = true
		case option == "--backend" && i+1 < len(words):
			i++
			backend = words[i].text
		case !slices.Contains(borgTruth, option):
			return denied(option + " is no option of borg serve")
		}
	}
	if !rest {
		if m.borg.Access != policy.ReadWrite {
			return denied("borg 1 and the old protocol of borg 2 are read-write")
		}
		return expectation{verdict: policy.Allow, why: name + " serve"}
	}
	file, ok := strings.CutPrefix(backend, "FILE:")
	if !path.IsAbs(file) {
		file = path.Join(laptopBorg, file)
	}
	if !ok || !within(laptopBorg, path.Clean(file)) {
		return denied("the repository is outside the rule")
	}
	return expectation{verdict: policy.Allow, why: "a repository inside the rule"}
}

// rsyncLine is an rsync command line taken apart.
type rsyncLine struct {
	direction policy.Direction
	// needs are what the options need together.
	needs need
	// reasons name the options that need something.
	reasons []string
	// values are those that must lead into the rule, by need.
	values []pathValue
	listed bool // -n
	paths  []shellWord
}

type pathValue struct {
	need need
	word shellWord
}

func expectRsync(words []shellWord, secluded []string, m corpusMode) expectation {
	line, why := readRsync(words, secluded)
	if why != "" {
		return denied(why)
	}
	if why := line.refusedBy(m); why != "" {
		return denied(why)
	}
	targets, why := line.targets(m)
	if why != "" {
		return denied(why)
	}
	for _, v := range line.values {
		base := laptop
		if v.need == pathInDestination {
			base = targets[0]
		}
		at, why := lead(v.word, base, m)
		if why != "" {
			return denied(why)
		}
		if v.need == pathInDestination && m.host.Hold == policy.Unheld && !m.tree.IsDir(at) {
			return denied(at + " is no folder yet")
		}
	}
	if slices.ContainsFunc(line.paths, func(w shellWord) bool { return w.wild }) {
		targets = nil
	}
	return expectation{policy.Allow, "everything is granted: " + strings.Join(line.reasons, ", "), targets}
}

// refusedBy holds the needs against the rule.
func (line rsyncLine) refusedBy(m corpusMode) string {
	r := m.rsync
	switch {
	case line.needs&never != 0:
		return "never granted"
	case line.direction == policy.Push && r.Access == policy.ReadOnly:
		return "a push to a read-only rule"
	case line.direction == policy.Pull && r.Access == policy.WriteOnly:
		return "a pull from a write-only rule"
	case line.needs&del != 0 && (r.Access == policy.ReadOnly || !r.Delete):
		return "deletes"
	case line.needs&over != 0 && !r.Overwrite:
		return "overwrites"
	case line.needs&confined != 0 && m.host.Hold < policy.Contents, line.needs&hidden != 0 && m.host.Hold < policy.Everything:
		return "needs confinement"
	case line.needs&sighted != 0 && r.Access == policy.WriteOnly:
		return "tells a write-only client of other files"
	case line.needs&del != 0 && line.listed && r.Access == policy.WriteOnly:
		return "lists what a deletion would remove"
	}
	return ""
}

// targets resolves the paths.
func (line rsyncLine) targets(m corpusMode) ([]string, string) {
	if len(line.paths) == 0 {
		return []string{laptop}, ""
	}
	if line.direction == policy.Push && len(line.paths) > 1 {
		return nil, "two destinations"
	}
	var targets []string
	for _, w := range line.paths {
		if strings.HasPrefix(w.text, "-") {
			return nil, "rsync takes it for an option, though it stands behind the dot (B38)"
		}
		target, why := lead(w, laptop, m)
		if why != "" {
			return nil, why
		}
		pattern := w.raw
		if m.rsync.Rooted {
			pattern = strings.TrimPrefix(pattern, "/")
		}
		if line.direction == policy.Push && slices.Contains(ambiguous, pattern) {
			return nil, "the wildcard stands for several destinations"
		}
		targets = append(targets, target)
	}
	return targets, ""
}

// lead returns the place that a path leads to from base, or why it may not.
func lead(w shellWord, base string, m corpusMode) (string, string) {
	text := w.text
	switch {
	case w.tilde && text == "~":
		text, base = "", laptop
	case w.tilde && strings.HasPrefix(text, "~/"):
		text, base = text[2:], laptop
	case w.tilde:
		return "", "the home of another user"
	case path.IsAbs(text) && m.rsync.Rooted && !within(laptop, path.Clean(text)):
		base = laptop
	case path.IsAbs(text):
		base = ""
	}
	// A path that climbs above the rule is outside, also where "/" is virtual.
	target := base + "/" + text
	if target = path.Clean(target); !within(laptop, target) {
		return "", text + " leads outside the rule"
	}
	return target, ""
}

// readRsync takes the words after the program's name apart.
func readRsync(words []shellWord, secluded []string) (rsyncLine, string) {
	line := rsyncLine{direction: policy.Push}
	if len(words) == 0 || words[0].text != "--server" {
		return line, "--server does not stand first"
	}
	words = words[1:]
	if len(words) > 0 && words[0].text == "--sender" {
		line.direction, words = policy.Pull, words[1:]
	}
	asks := slices.ContainsFunc(words, func(w shellWord) bool { return isSecludedCluster(w.text) })
	if asks != (len(secluded) > 0) {
		return line, "arguments on standard input without -s, or -s without them"
	}
	for _, item := range secluded[min(1, len(secluded)):] {
		words = append(words, shellWord{raw: item, text: item, wild: strings.ContainsAny(item, "*?["), tilde: item == "~" || strings.HasPrefix(item, "~/")})
	}
	for len(words) > 0 && words[0].text != "." {
		var why string
		if words, why = line.option(words); why != "" {
			return line, why
		}
	}
	if len(words) == 0 {
		return line, "no dot before the paths"
	}
	line.paths = words[1:]
	return line, ""
}

// option reads one option and returns the words after it.
func (line *rsyncLine) option(words []shellWord) ([]shellWord, string) {
	text := words[0].text
	if !strings.HasPrefix(text, "--") && len(text) > 2 && strings.Contains("B@", text[1:2]) {
		text = text[:2] + "=" + text[2:]
	} else if !strings.HasPrefix(text, "--") {
		return words[1:], line.cluster(text)
	}
	spelling, given, joined := strings.Cut(text, "=")
	known, ok := longTruth[spelling]
	if !ok || joined && known.value == nil {
		return nil, spelling + " is in no table"
	}
	word := shellWord{text: given}
	words = words[1:]
	if known.value != nil && !joined {
		if len(words) == 0 {
			return nil, spelling + " lacks its value"
		}
		word, words = words[0], words[1:]
	}
	if known.value != nil && !known.value(word.text) {
		return nil, spelling + " with such a value"
	}
	needs := known.push
	if line.direction == policy.Pull {
		needs = known.pull
	}
	// The list that follows on standard input is the client's own, but what it
	// names is on this side.
	if spelling == "--files-from" && word.text == "-" {
		needs = confined
	}
	line.require(spelling, needs, word)
	return words, ""
}

func (line *rsyncLine) cluster(text string) string {
	if !strings.HasPrefix(text, "-") || text == "-" {
		return text + " stands among the options"
	}
	letters, capabilities, blob := strings.Cut(text[1:], "e")
	if blob && (!strings.Contains(capabilities, ".") || strings.Trim(capabilities, "0123456789.CILfisuvx") != "") {
		return "-e is a remote shell"
	}
	for _, letter := range letters {
		found := false
		for _, group := range letterTruth {
			if !strings.ContainsRune(group.letters, letter) {
				continue
			}
			found = true
			needs := group.push
			if line.direction == policy.Pull {
				needs = group.pull
			}
			line.require("-"+string(letter), needs, shellWord{})
		}
		if !found {
			return "-" + string(letter) + " is in no table"
		}
		line.listed = line.listed || letter == 'n'
	}
	return ""
}

func (line *rsyncLine) require(spelling string, needs need, value shellWord) {
	line.needs |= needs
	if needs != free {
		line.reasons = append(line.reasons, spelling)
	}
	if where := needs & (pathInDestination | pathAtHome); where != 0 {
		line.values = append(line.values, pathValue{where, value})
	}
}

// shellWord is a word of an exec string without its quoting.
type shellWord struct {
	// raw is the word as it was sent, text what it means.
	raw, text string
	// wild and tilde say that a wildcard, or the ~ in front, is not quoted.
	wild, tilde bool
}

// shellWords splits an exec string as a shell would that expands nothing, or
// says why no shell may see it: what it would run or expand, what does not end,
// control characters (A4 to A10). An escaped line feed or tab is part of a name:
// that is how rsync sends them.
func shellWords(exec string) ([]shellWord, string) {
	var words []shellWord
	var word *shellWord
	begin := func() *shellWord {
		if word == nil {
			words = append(words, shellWord{})
			word = &words[len(words)-1]
		}
		return word
	}
	for i := 0; i < len(exec); i++ {
		start := i
		switch c := exec[i]; {
		case c == ' ':
			word = nil
			continue
		case c == '\\' && i+1 == len(exec):
			return nil, "the backslash at the end"
		case c == '\\':
			i++
			if isStray(exec[i]) && !strings.ContainsRune("\n\r\t", rune(exec[i])) {
				return nil, "a control character that no client escapes (A9)"
			}
			begin().text += exec[i : i+1]
		case c == '\'' || c == '"':
			end := strings.IndexByte(exec[i+1:], c)
			if end < 0 {
				return nil, "a quote that does not end"
			}
			quoted := exec[i+1 : i+1+end]
			if c == '"' && strings.ContainsAny(quoted, "$`\\") {
				return nil, "an expansion in double quotes"
			}
			begin().text += quoted
			i += end + 1
		case isStray(c):
			return nil, "a control character"
		case strings.IndexByte("$`()<>&;|", c) >= 0:
			return nil, "the shell's " + string(c)
		case c == '#' && word == nil:
			return nil, "a comment of the shell"
		case c == '{' && expands(exec[i:]):
			return nil, "the shell's braces"
		default:
			w := begin()
			w.tilde = w.tilde || c == '~' && w.text == ""
			w.wild = w.wild || strings.IndexByte("*?[", c) >= 0
			w.text += string([]byte{c})
		}
		word.raw += exec[start : i+1]
	}
	return words, ""
}

func isStray(c byte) bool { return c < ' ' || c == 0x7f }

// expands reports whether a shell would expand the braces at the head of text.
func expands(text string) bool {
	inside := before(before(text, "}"), " ")
	return strings.Contains(text, "}") && (strings.Contains(inside, ",") || strings.Contains(inside, ".."))
}
