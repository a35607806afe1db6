package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/policy"
	"postern/registry"
)

// refusalLine is what a client reads about something that is refused.
func refusalLine(why string) string { return "postern: refused: " + why + "\n" }

// Decide says what becomes of a request of a client on this host, by the file
// system as it is now. Where a limit needs it, it counts what the folder holds; the
// context ends that.
func Decide(ctx context.Context, c registry.Client, host policy.Host, r policy.Request) policy.Decision {
	return withRoom(ctx, decide(c, host, r, tree{}))
}

func decide(c registry.Client, host policy.Host, r policy.Request, t policy.Tree) policy.Decision {
	d := policy.Decide(c.Rules, host, r, t)
	d.Limits = c.Limits
	return d
}

// run serves an exec request: it decides, records, and only then does.
func (s *session) run(command string) {
	s.borg = strings.Contains(command, "borg")
	input := bufio.NewReaderSize(s.input, inputBuffer)
	g := &grant{session: s, tree: remember(tree{})}
	arguments, d := g.decide(command, input)
	leave, child := func() {}, &child{}
	if d.Verdict == policy.Allow {
		leave, d = g.pass(d, gates())
	}
	defer leave()
	if d.Verdict == policy.Allow {
		child, d = s.server.prepare(d)
	}
	defer child.close()
	if err := s.server.config.Trail.SessionDecided(s.about, s.record(command, arguments, d)); err != nil {
		s.deny(input, errNoRecords.Error(), policy.ExitRefused)
		return
	}
	switch d.Verdict {
	case policy.Allow:
		defer g.enrol()()
		s.execute(child, input, leave)
	case policy.Answer:
		s.say(s.channel, d.Answer)
		s.finish(0)
	default:
		s.deny(input, d.Refusal.Error(), d.Refusal.Status)
	}
}

// decide decides about a command, and returns the secluded arguments that it read
// for that. The client is looked up again: it may have been changed or removed
// since the connection began.
func (g *grant) decide(command string, input *bufio.Reader) ([]string, policy.Decision) {
	server := g.session.server
	if server.retirement.begun.isReached() {
		return nil, refused(retired())
	}
	who, err := server.identify(g.session.who.Peer)
	if err != nil {
		return nil, refused(denied(err))
	}
	request, refusal := policy.Parse(command)
	if refusal != nil {
		return nil, refused(refusal)
	}
	var arguments []string
	if request.Secluded() {
		if arguments, refusal = readSecluded(input); refusal == nil {
			request, refusal = request.WithArguments(arguments)
		}
		if refusal != nil {
			return arguments, refused(refusal)
		}
	}
	g.request, g.client = request, who.Client
	g.decision = decide(who.Client, server.config.Host, request, g.tree)
	g.home = homeOf(who.Client, g.decision.Tool)
	if g.decision.Tool == policy.Rsync && g.decision.Verdict == policy.Allow {
		g.rule.Store(&g.decision.Rules[0])
	}
	return arguments, g.decision
}

func refused(r *policy.Refusal) policy.Decision {
	return policy.Decision{Verdict: policy.Deny, Refusal: r}
}

// denied makes a refusal of why a client is no longer let in.
func denied(err error) *policy.Refusal {
	r := &policy.Refusal{Code: "denied", Message: err.Error(), Status: policy.ExitRefused}
	var denial *registry.Denial
	if errors.As(err, &denial) {
		r.Code, r.Message, r.Remedy = denial.Code, denial.Message, denial.Remedy
	}
	return r
}

// record is what the trail keeps of a decision.
func (s *session) record(command string, arguments []string, d policy.Decision) audit.Decision {
	record := audit.Decision{
		Session: s.id, Request: command, Arguments: arguments,
		Tool: string(d.Tool), Direction: string(d.Direction), Verdict: d.Verdict.String(),
		Confinement: s.server.config.Confinement.String(), Program: d.Program, Args: d.Args, Dir: d.Dir, Stores: d.Stores,
	}
	if d.Verdict == policy.Allow {
		record.User = d.User.String()
	}
	for _, rule := range d.Rules {
		record.Rules = append(record.Rules, rule.Where)
	}
	if r := d.Refusal; r != nil {
		record.Code, record.Why, record.Detail = r.Code, r.Message, r.Detail
	}
	return record
}

// deny ends the session with the line that says why. A client that will not
// learn from it runs out of budget.
func (s *session) deny(input io.Reader, why string, status int) {
	s.say(s.channel.Stderr(), refusalLine(why))
	s.hearken(input)
	s.settle(settleLimit)
	if s.borg {
		s.linger()
	}
	s.finish(status)
	if !s.channels.take() {
		s.end(endBudget)
	}
}

// say writes to the client. One that does not read is gone sooner or later, and
// what it did not read does not matter then.
func (s *session) say(to io.Writer, text string) { _, _ = io.WriteString(to, text) }

// finish tells the client the status and closes the channel. Nothing else may
// write to it any more; what the client still sends must not pile up.
func (s *session) finish(status int) {
	// Each of these fails only when the client has left.
	_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	_ = s.channel.CloseWrite()
	_ = s.channel.Close()
	s.spawn(func() { discard(s.input) })
}

// The bounds of secluded arguments, which are read before anything is known
// about them.
const (
	maxSecludedBytes = 1 << 20
	maxSecludedWords = 10_000
)

// readSecluded reads the arguments that rsync -s sends as its first input: each
// ends with a NUL, and an empty one ends them all. What follows is the child's.
func readSecluded(input *bufio.Reader) ([]string, *policy.Refusal) {
	var words []string
	for left := maxSecludedBytes; ; {
		word, err := readWord(input, left)
		switch {
		case errors.Is(err, errLong) || err == nil && len(words) == maxSecludedWords:
			return words, secludedRefusal("too-long", "the arguments on standard input are too many or too long", "name fewer files at once, or use --files-from")
		case err != nil:
			return words, secludedRefusal("secluded-arguments", "the arguments on standard input end too early", "use a stock rsync")
		case word == "":
			return words, nil
		}
		words = append(words, word)
		left -= len(word) + 1
	}
}

func secludedRefusal(code, message, remedy string) *policy.Refusal {
	return &policy.Refusal{Code: code, Message: message, Remedy: remedy, Status: policy.ExitRefused}
}

var errLong = errors.New("too long")

// readWord reads up to the next NUL, at most limit bytes.
func readWord(input *bufio.Reader, limit int) (string, error) {
	var word strings.Builder
	for {
		piece, err := input.ReadSlice(0)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if word.Len()+len(piece) > limit {
			return "", errLong
		}
		word.Write(piece)
		if err == nil {
			return strings.TrimSuffix(word.String(), "\x00"), nil
		}
	}
}
