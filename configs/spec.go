package configs

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"

	"postern/policy"
)

// ClientSpec is a client as [AddClient] writes it. Everything is in the words of
// the file, which says what is wrong with them; empty means that the key is left
// out.
type ClientSpec struct {
	Name string
	// Keys are lines in the syntax of authorized_keys.
	Keys       []string
	Principals []string
	Login      string
	From       []string
	Expires    string
	// Expect is in whole hours; zero leaves the key out.
	Expect   time.Duration
	Disabled bool
	Limits   policy.Limits
	Bounds   BoundsSpec
	Rules    []RuleSpec
}

// BoundsSpec is what [registry.Bounds] says, in a [ClientSpec].
type BoundsSpec struct {
	Connections, Sessions string
	// In and Out are one line where they are the same.
	In, Out           string
	Hours             []string
	EndAfterHours     bool
	SessionTime, Idle string
}

// RuleSpec is one rule of a [ClientSpec].
type RuleSpec struct {
	Tool                                      policy.Tool
	Path, Access                              string
	NoDelete, NoOverwrite, Rooted, MungeLinks bool
	AppendOnly                                bool
	Quota                                     string
	// MaxFiles is a whole number, and Wait a time such as 30m.
	MaxFiles, Wait string
	OneWriter      bool
	RunAs, MinFree string
}

// render returns the file as a person would write it.
func (c ClientSpec) render() []byte {
	w := new(yamlWriter)
	w.line("# Client %s. After a change: postern check", c.Name)
	w.flag(c.Disabled, "disabled", true)
	w.list("keys", c.Keys)
	w.list("principals", c.Principals)
	w.text("login", c.Login)
	w.list("from", c.From)
	w.day("expires", c.Expires)
	c.expect(w)
	c.limits(w)
	if len(c.Rules) == 0 {
		w.line("allow: [] # nothing yet: it may connect, and no more")
		return []byte(w.String())
	}
	w.line("allow:")
	w.indent = "    "
	for _, r := range c.Rules {
		r.render(w)
	}
	return []byte(w.String())
}

func (c ClientSpec) expect(w *yamlWriter) {
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}, {"h", time.Hour}} {
		if c.Expect > 0 && c.Expect%unit.length == 0 {
			w.line("expect: %d%s", c.Expect/unit.length, unit.name)
			return
		}
	}
}

func (c ClientSpec) limits(w *yamlWriter) {
	below := &yamlWriter{indent: "  "}
	c.Bounds.render(below)
	if files, ok := c.Limits.Files.Number(); ok {
		below.line("files: %d", files)
	}
	if memory, ok := c.Limits.Memory.Number(); ok {
		below.line("memory: %dB", memory)
	}
	if below.Len() > 0 {
		w.line("limits:")
		w.WriteString(below.String())
	}
}

func (b BoundsSpec) render(w *yamlWriter) {
	w.number("connections", b.Connections)
	w.number("sessions", b.Sessions)
	if b.In == b.Out {
		w.text("bandwidth", b.In)
	} else {
		w.line("bandwidth:")
		w.text("  in", b.In)
		w.text("  out", b.Out)
	}
	if len(b.Hours) == 1 {
		w.text("hours", b.Hours[0])
	} else {
		w.list("hours", b.Hours)
	}
	if b.EndAfterHours {
		w.text("after_hours", "end")
	}
	w.text("session_time", b.SessionTime)
	w.text("idle", b.Idle)
}

func (r RuleSpec) render(w *yamlWriter) {
	w.indent = "  - "
	w.line("%s: %s", r.Tool, scalar(r.Path))
	w.indent = "    "
	w.text("access", r.Access)
	w.flag(r.NoDelete, "delete", false)
	w.flag(r.NoOverwrite, "overwrite", false)
	w.flag(r.Rooted, "rooted", true)
	w.flag(r.MungeLinks, "munge_links", true)
	w.flag(r.AppendOnly, "append_only", true)
	w.text("quota", r.Quota)
	w.number("max_files", r.MaxFiles)
	w.flag(r.OneWriter, "one_writer", true)
	w.text("wait", r.Wait)
	w.text("run_as", r.RunAs)
	w.text("min_free", r.MinFree)
}

// yamlWriter writes the lines of a file.
type yamlWriter struct {
	strings.Builder
	indent string
}

func (w *yamlWriter) line(format string, args ...any) {
	w.WriteString(w.indent)
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

func (w *yamlWriter) text(key, value string) {
	if value != "" {
		w.line("%s: %s", key, scalar(value))
	}
}

var digits = regexp.MustCompile(`^[0-9]+$`)

// number writes a number without quotes, and anything else for the reader to refuse.
func (w *yamlWriter) number(key, value string) {
	if digits.MatchString(value) {
		w.line("%s: %s", key, value)
		return
	}
	w.text(key, value)
}

// day writes a day without quotes, which some YAML readers would take for more
// than text, but not this one.
func (w *yamlWriter) day(key, value string) {
	if _, err := time.Parse(time.DateOnly, value); err == nil {
		w.line("%s: %s", key, value)
		return
	}
	w.text(key, value)
}

// flag writes the value where it is not the default.
func (w *yamlWriter) flag(write bool, key string, value bool) {
	if write {
		w.line("%s: %t", key, value)
	}
}

func (w *yamlWriter) list(key string, items []string) {
	if len(items) == 0 {
		return
	}
	w.line("%s:", key)
	for _, item := range items {
		w.line("  - %s", scalar(strings.TrimSpace(item)))
	}
}

// plainScalar is text that every YAML reader takes as it stands, unless it is a
// word that some take for something else.
var plainScalar = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/._@+=-]*( [A-Za-z0-9/._@+=-]+)*$`)

// scalar returns the text as a YAML value, quoted where that is needed.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !token.IsNeedQuoted(text) {
		return text
	}
	if !utf8.ValidString(text) {
		return `"` + text + `"` // as it is, for the reader to refuse
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case isControl(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
