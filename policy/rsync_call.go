package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rsyncCall is the argument list of rsync --server taken apart. Nothing of it
// is decided yet but that it is understood.
type rsyncCall struct {
	direction Direction
	// letters are the short options, in the order in which they came.
	letters []byte
	// capabilities is the blob after the letter e, such as ".LsfxCIvu": what
	// the client can do, which rsync reads from its own option -e.
	capabilities string
	options      []givenOption
	paths        []word
}

// givenOption is one long option, or -B or -@, as a client gave it.
type givenOption struct {
	option
	// spelled is the option as the child is told it, without its value:
	// "--suffix", "-B".
	spelled string
	value   word
}

// String renders the option as one argument.
func (g givenOption) String() string {
	switch {
	case g.option.value == nil:
		return g.spelled
	case strings.HasPrefix(g.spelled, "--"):
		return g.spelled + "=" + g.value.text
	}
	return g.spelled + g.value.text
}

// effective returns the class that the option has in a direction, and what it
// needs there.
func (o option) effective(d Direction) (class, Hold) {
	if o.only != "" && o.only != d {
		return harmless, Unheld
	}
	return o.class, o.needs
}

var (
	// cluster is the one argument of short options, with the capabilities
	// last: -logDtpre.iLsfxCIvu. rsync without a compatibility string, of
	// protocol 29 and older, sends no e.
	cluster = regexp.MustCompile(`^-([A-Za-df-z8]*)(e\d*\.[A-Za-z0-9]*)?$`)
	// shortNumber is a short option with its number: -B4096, -@-1.
	shortNumber = regexp.MustCompile(`^-(B\d{1,18}|@-?\d{1,18})$`)
)

// parseRsync takes apart the words after the program's name. The order is the
// one that rsync keeps: --server, --sender, options, a single dot, paths.
func parseRsync(words []word) (rsyncCall, *Refusal) {
	var call rsyncCall
	if len(words) == 0 || words[0].text != "--server" {
		return call, notServing(words)
	}
	call.direction, words = Push, words[1:]
	if len(words) > 0 && words[0].text == "--sender" {
		call.direction, words = Pull, words[1:]
	}
	for len(words) > 0 {
		if words[0].text == "." {
			return call, call.takePaths(words[1:])
		}
		rest, refusal := call.takeOption(words)
		if refusal != nil {
			return call, refusal
		}
		words = rest
	}
	return call, malformed("no-separator", "the dot between options and paths is missing", "use a stock rsync")
}

// takePaths keeps what follows the dot. What looks like an option there would be
// one to rsync, which reads options anywhere.
func (call *rsyncCall) takePaths(words []word) *Refusal {
	for _, w := range words {
		if strings.HasPrefix(w.text, "-") {
			return malformed("option-after-paths", fmt.Sprintf("%q stands where paths are expected", w.text),
				"write ./ before a name that begins with a dash")
		}
	}
	call.paths = words
	return nil
}

// takeOption reads one option at the head of words and returns the rest.
func (call *rsyncCall) takeOption(words []word) ([]word, *Refusal) {
	text := words[0].text
	switch {
	case strings.HasPrefix(text, "--"):
		return call.takeLong(words)
	case shortNumber.MatchString(text):
		call.options = append(call.options, givenOption{option: option{value: signed}, spelled: text[:2], value: word{text: text[2:]}})
		return words[1:], nil
	case strings.HasPrefix(text, "-"):
		return words[1:], call.takeCluster(text)
	}
	return nil, malformed("argument", fmt.Sprintf("%q stands where options are expected", text), "use a stock rsync")
}

// takeCluster reads the short options.
func (call *rsyncCall) takeCluster(text string) *Refusal {
	m := cluster.FindStringSubmatch(text)
	if m == nil || text == "-" {
		return unknownOption(text)
	}
	for i := range len(m[1]) {
		if _, ok := shortOptions[m[1][i]]; !ok {
			return unknownOption("-" + m[1][i:i+1])
		}
	}
	if m[2] != "" && call.capabilities != "" {
		return unknownOption(text)
	}
	call.letters = append(call.letters, m[1]...)
	call.capabilities += strings.TrimPrefix(m[2], "e")
	return nil
}

// takeLong reads a long option with its value, which stands behind a = or in
// the next word.
func (call *rsyncCall) takeLong(words []word) ([]word, *Refusal) {
	name, value, joined := strings.Cut(words[0].text[2:], "=")
	known, ok := longOptions[name]
	switch {
	case !ok:
		return nil, unknownOption("--" + name)
	case known.class.has(dangerous):
		return nil, dangerousOption("--"+name, known.why)
	case known.value == nil && joined:
		return nil, badValue("--"+name, value, "it takes none")
	}
	given := givenOption{option: known, spelled: "--" + name}
	words = words[1:]
	if known.value != nil {
		given.value = word{text: value}
		if !joined {
			if len(words) == 0 {
				return nil, badValue("--"+name, "", "it needs one")
			}
			given.value, words = words[0], words[1:]
		}
		if refusal := given.check(); refusal != nil {
			return nil, refusal
		}
	}
	call.options = append(call.options, given)
	return words, nil
}

// check refuses a value that does not look as it must, and clamps one that is
// too large.
func (g *givenOption) check() *Refusal {
	if !g.option.value.MatchString(g.value.text) || g.spelled == "--info" && strings.Contains(strings.ToLower(g.value.text), "help") {
		return badValue(g.spelled, g.value.text, "rsync clients do not send it")
	}
	if g.clamp == 0 {
		return nil
	}
	n, ok := sizeOf(g.value.text)
	if !ok || n == 0 {
		return badValue(g.spelled, g.value.text, fmt.Sprintf("it must lie between 1 and %d", g.clamp))
	}
	if n > g.clamp {
		g.value = word{text: strconv.FormatInt(g.clamp, 10)}
	}
	return nil
}

// sizeOf reads a size as rsync writes it: 10, 1.5G, 200MB, 1K+1. It reports
// false where the number does not fit.
func sizeOf(text string) (int64, bool) {
	digits := strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(text, "+1"), "-1"), "KMGTPBkmgtpbi")
	unit := strings.ToUpper(strings.TrimPrefix(text, digits))
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, false
	}
	if unit != "" {
		n *= float64(int64(1) << (10 * (strings.IndexByte("BKMGTP", unit[0]))))
	}
	if n > 1<<62 {
		return 1 << 62, true
	}
	return int64(n), true
}

// has reports whether the letter was given.
func (call rsyncCall) has(letter byte) bool {
	return strings.IndexByte(string(call.letters), letter) >= 0
}

// hasOption reports whether a long option was given.
func (call rsyncCall) hasOption(spelled string) bool {
	return slices.ContainsFunc(call.options, func(g givenOption) bool { return g.spelled == spelled })
}

// hasClass reports whether an option of the class was given.
func (call rsyncCall) hasClass(bit class) bool {
	for _, g := range call.options {
		if c, _ := g.effective(call.direction); c.has(bit) {
			return true
		}
	}
	return false
}

// notServing is the refusal of a call in which --server does not stand first.
func notServing(words []word) *Refusal {
	remedy := "only rsync --server is run here, which a stock rsync client asks for"
	if slices.ContainsFunc(words, func(w word) bool { return w.text == "--server" }) {
		remedy = "leave options out of --rsync-path: give those of this side with -M, such as -M--fake-super"
	}
	return malformed("not-a-server", "rsync is not asked to serve", remedy)
}

func unknownOption(text string) *Refusal {
	return malformed("option-unknown", fmt.Sprintf("the rsync option %q is not known here", text), "leave it out")
}

func dangerousOption(text, why string) *Refusal {
	return malformed("option-dangerous", fmt.Sprintf("the rsync option %q is never allowed: %s", text, why), "leave it out")
}

func badValue(option, value, why string) *Refusal {
	return malformed("option-value", fmt.Sprintf("the value %q of %s is refused: %s", value, option, why), "leave the option out or change its value")
}
