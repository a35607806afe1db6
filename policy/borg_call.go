package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// borgTreatment is what becomes of an option of borg serve.
type borgTreatment int

const (
	forwarded borgTreatment = iota
	dropped
	refused
)

// borgOption is one option that a client can send to borg serve.
type borgOption struct {
	treatment borgTreatment
	// value is what the value must look like; nil for an option without one.
	value *regexp.Regexp
}

var debugTopic = regexp.MustCompile(`^[A-Za-z0-9_.]{1,128}$`)

// borgOptions are the options of borg serve, from the argument parsers of borg
// 1.1 to 1.4 and 2. A client sends the log level, debug topics and the quota of
// an init (borg_cmd in remote.py). What restricts a repository is the gateway's:
// the client's own is dropped, since it may ask for less only by mistake and for
// more never.
var borgOptions = map[string]borgOption{
	"--critical":    {},
	"--error":       {},
	"--warning":     {},
	"--info":        {},
	"--verbose":     {},
	"-v":            {},
	"--debug":       {},
	"--debug-topic": {value: debugTopic},

	"--append-only":            {treatment: dropped},
	"--bypass-lock":            {treatment: dropped},
	"--consider-part-files":    {treatment: dropped},
	"--iec":                    {treatment: dropped},
	"--lock-wait":              {treatment: dropped, value: anyPath},
	"--log-json":               {treatment: dropped},
	"--permissions":            {treatment: dropped, value: anyPath},
	"--progress":               {treatment: dropped},
	"-p":                       {treatment: dropped},
	"--restrict-to-path":       {treatment: dropped, value: anyPath},
	"--restrict-to-repository": {treatment: dropped, value: anyPath},
	"--show-rc":                {treatment: dropped},
	"--show-version":           {treatment: dropped},
	"--storage-quota":          {treatment: dropped, value: anyPath},
	"--umask":                  {treatment: dropped, value: anyPath},
	"--upload-buffer":          {treatment: dropped, value: anyPath},
	"--upload-ratelimit":       {treatment: dropped, value: anyPath},

	"--debug-profile": {treatment: refused},
	"--help":          {treatment: refused},
	"-h":              {treatment: refused},
	"--remote-path":   {treatment: refused},
	"--rsh":           {treatment: refused},
	"--socket":        {treatment: refused},
	"--version":       {treatment: refused},
	"-V":              {treatment: refused},
}

// borgCall is the argument list of borg serve taken apart.
type borgCall struct {
	// level are the options that say how much the server reports.
	level []string
	// rest says that borg 2's REST protocol was asked for, and backend where.
	rest    bool
	backend string
}

// parseBorg takes apart the words after the program's name.
func parseBorg(words []word) (borgCall, *Refusal) {
	var call borgCall
	if len(words) == 0 || words[0].text != "serve" {
		given := ""
		if len(words) > 0 {
			given = words[0].text
		}
		return call, malformed("borg-command", fmt.Sprintf("borg is asked for %q, not to serve", given),
			"run borg on the client with this host as the repository's")
	}
	for words = words[1:]; len(words) > 0; {
		rest, refusal := call.take(words)
		if refusal != nil {
			return call, refusal
		}
		words = rest
	}
	return call, nil
}

// take reads one option at the head of words and returns the rest.
func (call *borgCall) take(words []word) ([]word, *Refusal) {
	name, value, joined := strings.Cut(words[0].text, "=")
	switch name {
	case "--rest":
		call.rest = true
		return words[1:], nil
	case "--backend":
		value, rest, refusal := borgValue(name, value, joined, words[1:])
		call.backend = value
		return rest, refusal
	}
	known, ok := borgOptions[name]
	if !ok || known.treatment == refused {
		return nil, malformed("option-unknown", fmt.Sprintf("the borg option %q is not allowed here", name), "leave it out")
	}
	words = words[1:]
	if known.value != nil {
		var refusal *Refusal
		if value, words, refusal = borgValue(name, value, joined, words); refusal != nil {
			return nil, refusal
		}
		if !known.value.MatchString(value) {
			return nil, badValue(name, value, "borg clients do not send it")
		}
		name += "=" + value
	}
	if known.treatment == forwarded {
		call.level = append(call.level, name)
	}
	return words, nil
}

func borgValue(name, value string, joined bool, words []word) (string, []word, *Refusal) {
	if joined {
		return value, words, nil
	}
	if len(words) == 0 {
		return "", nil, badValue(name, "", "it needs one")
	}
	return words[0].text, words[1:], nil
}
