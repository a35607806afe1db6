package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rsyncUmask is the file mode creation mask of rsync: what sshd's sessions have
// by default, so that a transfer without -p gives the modes that it gives there.
const rsyncUmask = 0o022

// hardened is the first rsync that has --confine-root and --drop-D.
var hardened = version{3, 5, 0}

// rsyncRequest is one request for rsync while it is decided.
type rsyncRequest struct {
	call   rsyncCall
	places places
	host   Host
	tree   Tree
	rule   Rule
	// args are the places of the path arguments.
	args []place
}

// decideRsync decides a request whose program is rsync, on the client's rules
// for rsync.
func decideRsync(rules []Rule, host Host, words []word, tree Tree) Decision {
	d := Decision{Tool: Rsync}
	call, refusal := parseRsync(words)
	if refusal != nil {
		return d.deny(refusal)
	}
	d.Direction = call.direction
	r := rsyncRequest{call: call, host: host, tree: tree, places: newPlaces(rules, tree)}
	if refusal := r.locate(); refusal != nil {
		return d.deny(refusal)
	}
	d.Rules = []Rule{r.rule}
	if refusal := r.permitted(); refusal != nil {
		return d.deny(refusal)
	}
	options, refusal := r.options()
	if refusal != nil {
		return d.deny(refusal)
	}
	return r.allow(d, options)
}

// locate resolves the path arguments and finds the rule that they fall under.
func (r *rsyncRequest) locate() *Refusal {
	paths := r.call.paths
	if len(paths) == 0 {
		paths = []word{{text: "."}}
	}
	for _, w := range paths {
		found, refusal := r.places.argument(w)
		if refusal != nil {
			return refusal
		}
		r.args = append(r.args, found...)
	}
	if r.call.direction == Push && len(r.args) > 1 {
		return malformed("destinations", fmt.Sprintf("a push has %d destinations, %q and %q first", len(r.args), r.args[0].sent, r.args[1].sent),
			"escape blanks in the destination with a backslash, or use rsync's -s (--secluded-args)")
	}
	if len(r.args) > maxMatches {
		return tooLong("the request names more than %d paths", maxMatches)
	}
	var refusal *Refusal
	r.rule, refusal = r.places.ruleFor(r.args...)
	return refusal
}

// permitted holds the request against the rule: direction, options, symbolic
// links on the way.
func (r *rsyncRequest) permitted() *Refusal {
	if refusal := r.directed(); refusal != nil {
		return refusal
	}
	for _, letter := range r.call.letters {
		if refusal := r.classAllowed("-"+string(letter), shortOptions[letter]); refusal != nil {
			return refusal
		}
	}
	for _, g := range r.call.options {
		if refusal := r.classAllowed(g.spelled, g.option); refusal != nil {
			return refusal
		}
	}
	if refusal := r.writeOnlyBlind(); refusal != nil {
		return refusal
	}
	if !r.tree.IsDir(r.rule.Path) {
		return missingFolder(r.rule)
	}
	if r.host.Hold == Unheld {
		if refusal := r.unheld(); refusal != nil {
			return refusal
		}
	}
	for _, p := range r.args {
		if refusal := r.places.contained(r.rule, p, r.follows(p)); refusal != nil {
			return refusal
		}
	}
	return nil
}

// follows reports whether rsync follows a symbolic link in the last component:
// in a destination, and in a source that means what is in the folder.
func (r *rsyncRequest) follows(p place) bool {
	return r.call.direction == Push || p.tail != "" || p.real == r.rule.Path
}

func (r *rsyncRequest) directed() *Refusal {
	switch {
	case r.call.direction == Pull && !r.rule.Access.MayRead():
		return r.ruleRefuses("access-write-only", "reading", "access: read-write")
	case r.call.direction == Push && !r.rule.Access.MayWrite():
		return r.ruleRefuses("access-read-only", "writing", "access: read-write")
	}
	return nil
}

// classAllowed holds the class of one option against the rule.
func (r *rsyncRequest) classAllowed(spelled string, o option) *Refusal {
	c, needs := o.effective(r.call.direction)
	switch {
	case c.has(deletes) && !r.rule.Access.MayWrite():
		return r.ruleRefuses("delete", "deleting ("+spelled+")", "access: read-write")
	case c.has(deletes) && !r.rule.Delete:
		return r.ruleRefuses("delete", "deleting ("+spelled+")", "delete: true")
	case c.has(overwrites) && !r.rule.Overwrite:
		return r.ruleRefuses("overwrite", "changing what exists ("+spelled+")", "overwrite: true")
	case needs > r.host.Hold:
		return unconfined(spelled+" could lead out of the allowed paths, and the gateway's kernel does not hold that", "leave the option out",
			"it takes "+needs.String()+"; postern check says what raises the confinement")
	}
	return nil
}

// writeOnlyBlind refuses what tells a client of a write-only rule about files
// that it did not send: whether a file exists elsewhere, and what a deletion
// would remove.
func (r *rsyncRequest) writeOnlyBlind() *Refusal {
	if r.rule.Access != WriteOnly {
		return nil
	}
	for _, g := range r.call.options {
		if g.class.has(readsPath) && g.value.text != "-" {
			return r.ruleRefuses("write-only", "comparing with other files ("+g.spelled+")", "access: read-write")
		}
	}
	if r.call.has('n') && r.call.hasClass(deletes) {
		return r.ruleRefuses("write-only", "listing what a deletion would remove", "access: read-write")
	}
	return nil
}

// options renders the client's options as the child gets them.
func (r *rsyncRequest) options() ([]string, *Refusal) {
	var options []string
	if letters := r.letters(); letters != "-" {
		options = append(options, letters)
	}
	for _, g := range r.call.options {
		switch {
		case g.drop:
			continue
		case g.class.has(readsPath|writesPath) && g.value.text != "-":
			if c, _ := g.effective(r.call.direction); c == harmless {
				continue // a pull's own folder, of no use to the sender
			}
			path, refusal := r.auxiliary(g)
			if refusal != nil {
				return nil, refusal
			}
			g.value = word{text: path}
		}
		options = append(options, g.String())
	}
	return options, nil
}

// letters renders the short options: without s, since the child gets plain
// arguments; without p where existing folders must keep their modes; and with
// at most one v where the client may not read.
func (r *rsyncRequest) letters() string {
	var b strings.Builder
	b.WriteByte('-')
	verbose := false
	for _, letter := range r.call.letters {
		switch {
		case shortOptions[letter].drop,
			letter == 'p' && r.protects(),
			letter == 'v' && verbose && r.rule.Access == WriteOnly:
			continue
		}
		verbose = verbose || letter == 'v'
		b.WriteByte(letter)
	}
	if r.call.capabilities != "" {
		b.WriteString("e" + r.call.capabilities)
	}
	return b.String()
}

// protects reports whether existing files must stay as they are.
func (r *rsyncRequest) protects() bool {
	return r.call.direction == Push && !r.rule.Overwrite
}

// own are the gateway's options. They come last, since the last of two that
// contradict each other wins.
func (r *rsyncRequest) own() []string {
	var own []string
	if r.rule.MungeLinks || r.host.Hold == Unheld {
		own = append(own, "--munge-links")
	}
	if v, ok := parseVersion(r.host.Rsync.Version); ok && !v.before(hardened) {
		if r.call.direction == Push {
			own = append(own, "--drop-D")
		}
		own = append(own, "--confine-root="+r.rule.Path)
	}
	if r.protects() {
		own = append(own, "--ignore-existing", "--omit-dir-times", "--no-super")
	}
	return own
}

// allow builds the child.
func (r *rsyncRequest) allow(d Decision, options []string) Decision {
	if !r.host.Rsync.Installed() {
		return d.deny(notInstalled("rsync"))
	}
	if r.fills() {
		if refusal := r.rule.hasRoom(r.tree); refusal != nil {
			return d.deny(refusal)
		}
	}
	args := []string{"rsync", "--server"}
	if r.call.direction == Pull {
		args = append(args, "--sender")
	}
	args = slices.Concat(args, options, r.own(), []string{"--", "."})
	for _, p := range r.args {
		args = append(args, p.told(r.rule.Path))
	}
	d.Verdict = Allow
	d.Program = r.host.Rsync.Path
	d.Args = args
	d.Env = baseEnvironment(r.host)
	d.Dir = r.rule.Path
	d.Umask = rsyncUmask
	d.Stores, d.Dry = r.fills(), r.call.has('n')
	d.Writes = r.call.direction == Push || r.call.hasClass(deletes)
	return d.runAs(r.host, r.tree)
}

// Logged returns the argument list of an allowed rsync that writes a log in a format
// of ours. The client cannot: the options are none of those that it may give.
func (d Decision) Logged(file, format string) []string {
	after := slices.Index(d.Args, "--server") + 1
	if d.Direction == Pull {
		after++
	}
	return slices.Insert(slices.Clone(d.Args), after, "--log-file="+file, "--log-file-format="+format)
}

// Paths returns the path arguments of an allowed rsync, as it is told them: the
// sources of a pull, and the destination of a push.
func (d Decision) Paths() []string {
	return d.Args[slices.Index(d.Args, "--")+2:]
}

// fills reports whether the request can take up room: whether it is a push, no dry
// run, and none that neither makes nor changes files, by which a client deletes what
// its source no longer has.
func (r *rsyncRequest) fills() bool {
	makes := !r.call.hasOption("--existing") && !r.call.hasOption("--ignore-non-existing")
	changes := !r.call.hasOption("--ignore-existing") && !r.protects()
	return r.call.direction == Push && !r.call.has('n') && (makes || changes)
}

// ruleRefuses is the refusal of what the rule does not grant.
func (r *rsyncRequest) ruleRefuses(code, what, line string) *Refusal {
	return &Refusal{Code: code, Status: ExitRefused, Line: line,
		Message: fmt.Sprintf("%s is not allowed in %s (%s)", what, r.rule.Path, r.rule.describe()),
		Remedy:  "leave it out, or ask the gateway's operator for " + strconv.Quote(line)}
}

// describe says in a few words what an rsync rule grants.
func (rule Rule) describe() string {
	words := []string{rule.Access.String()}
	if rule.Access.MayWrite() && !rule.Delete {
		words = append(words, "no delete")
	}
	if rule.Access.MayWrite() && !rule.Overwrite {
		words = append(words, "no overwrite")
	}
	return strings.Join(words, ", ")
}
