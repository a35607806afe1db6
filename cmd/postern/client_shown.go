package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"postern/gateway/limit"
	"postern/policy"
	"postern/registry"
)

// shownClient is a client as commands print it.
type shownClient struct {
	Name       string      `json:"name"`
	File       string      `json:"file"`
	State      string      `json:"state"`
	Login      string      `json:"login,omitempty"`
	Keys       []shownKey  `json:"keys"`
	Principals []string    `json:"principals,omitempty"`
	From       []string    `json:"from,omitempty"`
	Expires    *time.Time  `json:"expires,omitempty"`
	Limits     shownLimits `json:"limits,omitzero"`
	Allow      []shownRule `json:"allow"`
}

// shownLimits are the limits of a client, nil where there is none.
type shownLimits struct {
	Files       *int64 `json:"files,omitempty"`
	Memory      *int64 `json:"memory,omitempty"`
	Connections *int64 `json:"connections,omitempty"`
	Sessions    *int64 `json:"sessions,omitempty"`
	// Bandwidth is in bytes a second, by what the client sends and what it gets.
	Bandwidth shownBandwidth `json:"bandwidth,omitzero"`
	Hours     []string       `json:"hours,omitempty"`
	// AfterHours is finish or end; empty where there are no hours.
	AfterHours string `json:"after_hours,omitempty"`
	// SessionTime and Idle are in seconds.
	SessionTime float64 `json:"session_time,omitempty"`
	Idle        float64 `json:"idle,omitempty"`
	// terms are those in words that are not about single processes.
	terms []string
}

type shownBandwidth struct {
	In  *int64 `json:"in,omitempty"`
	Out *int64 `json:"out,omitempty"`
}

func showLimits(c registry.Client) shownLimits {
	b := c.Bounds
	s := shownLimits{
		Files: numberOf(c.Limits.Files), Memory: numberOf(c.Limits.Memory),
		Connections: numberOf(b.Connections), Sessions: numberOf(b.Sessions),
		Bandwidth: shownBandwidth{numberOf(b.In), numberOf(b.Out)},
		Hours:     b.Hours.Texts(), SessionTime: b.SessionTime.Seconds(), Idle: b.Idle.Seconds(),
		terms: limit.Terms(b),
	}
	switch {
	case b.Hours.Always():
	case b.EndAfterHours:
		s.AfterHours = "end"
	default:
		s.AfterHours = "finish"
	}
	return s
}

// rows are the limits in lines of a table.
func (l shownLimits) rows() [][]string {
	var rows [][]string
	if l.Files != nil {
		rows = append(rows, []string{"files", fmt.Sprintf("%d open at most", *l.Files)})
	}
	if l.Memory != nil {
		rows = append(rows, []string{"memory", bytesInWords(*l.Memory) + " at most"})
	}
	for _, term := range l.terms {
		rows = append(rows, []string{"limit", term})
	}
	return rows
}

type shownKey struct {
	Type            string `json:"type"`
	Fingerprint     string `json:"fingerprint"`
	Comment         string `json:"comment,omitempty"`
	NoTouchRequired bool   `json:"no_touch_required,omitempty"`
}

type shownRule struct {
	Where      string `json:"where"`
	Tool       string `json:"tool"`
	Path       string `json:"path"`
	Access     string `json:"access"`
	Delete     *bool  `json:"delete,omitempty"`
	Overwrite  *bool  `json:"overwrite,omitempty"`
	Rooted     bool   `json:"rooted,omitempty"`
	MungeLinks bool   `json:"munge_links,omitempty"`
	AppendOnly bool   `json:"append_only,omitempty"`
	Quota      *int64 `json:"quota,omitempty"`
	MaxFiles   *int64 `json:"max_files,omitempty"`
	OneWriter  bool   `json:"one_writer,omitempty"`
	Wait       *int64 `json:"wait_seconds,omitempty"`
	// RunAs is root or UID:GID; empty stands for the owner of the folder.
	RunAs   string `json:"run_as,omitempty"`
	MinFree *int64 `json:"min_free,omitempty"`
}

func showClient(c registry.Client, now time.Time) shownClient {
	s := shownClient{
		Name: c.Name, File: c.Where, State: stateOf(c, now), Login: c.Login, Principals: c.Principals,
		Keys: []shownKey{}, Allow: []shownRule{},
	}
	for _, k := range c.Keys {
		s.Keys = append(s.Keys, shownKey{k.Public.Type(), k.Fingerprint(), k.Comment, k.NoTouchRequired})
	}
	for _, network := range c.From {
		s.From = append(s.From, network.String())
	}
	if !c.Expires.IsZero() {
		s.Expires = &c.Expires
	}
	s.Limits = showLimits(c)
	for _, r := range c.Rules {
		s.Allow = append(s.Allow, showRule(r))
	}
	return s
}

func stateOf(c registry.Client, now time.Time) string {
	switch {
	case c.Disabled:
		return "disabled"
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		return "expired"
	}
	return "enabled"
}

func showRule(r policy.Rule) shownRule {
	s := shownRule{
		Where: r.Where, Tool: string(r.Tool), Path: r.Path, Access: r.Access.String(),
		Rooted: r.Rooted, MungeLinks: r.MungeLinks, AppendOnly: r.AppendOnly,
		Quota: numberOf(r.Quota), MinFree: numberOf(r.MinFree), MaxFiles: numberOf(r.MaxFiles),
		OneWriter: r.OneWriter, Wait: numberOf(r.Wait),
	}
	if r.Tool == policy.Rsync {
		s.Delete, s.Overwrite = &r.Delete, &r.Overwrite
	}
	if u, named := r.RunAs.User(); named {
		s.RunAs = userInWords(u)
	}
	return s
}

// numberOf returns the number of a limit, nil where there is none.
func numberOf(l policy.Limit) *int64 {
	if n, ok := l.Number(); ok {
		return &n
	}
	return nil
}

// userInWords returns a user as the file of a client takes it.
func userInWords(u policy.User) string {
	if u.UID == 0 {
		return "root"
	}
	return u.String()
}

// describe says in a few words what a rule grants.
func (r shownRule) describe() string {
	words := []string{r.Tool, r.Path, r.Access}
	if r.Delete != nil && !*r.Delete {
		words = append(words, "no-delete")
	}
	if r.Overwrite != nil && !*r.Overwrite {
		words = append(words, "no-overwrite")
	}
	for _, f := range []struct {
		set  bool
		word string
	}{{r.Rooted, "rooted"}, {r.MungeLinks, "munge-links"}, {r.AppendOnly, "append-only"}, {r.OneWriter, "one-writer"}} {
		if f.set {
			words = append(words, f.word)
		}
	}
	if r.Quota != nil {
		words = append(words, "quota "+bytesInWords(*r.Quota))
	}
	if r.MaxFiles != nil {
		words = append(words, fmt.Sprintf("%d files at most", *r.MaxFiles))
	}
	if r.Wait != nil {
		words = append(words, "waits "+limit.Span(time.Duration(*r.Wait)*time.Second))
	}
	if r.RunAs != "" {
		words = append(words, "as "+r.RunAs)
	}
	if r.MinFree != nil {
		words = append(words, "with "+bytesInWords(*r.MinFree)+" free")
	}
	return strings.Join(words, " ")
}

func (c shownClient) expiry() string {
	if c.Expires == nil {
		return "-"
	}
	return c.Expires.Format("2006-01-02 15:04")
}

func (c shownClient) print(w io.Writer) {
	rows := [][]string{{"name", c.Name}, {"file", c.File}, {"state", c.State}}
	for _, k := range c.Keys {
		text := k.Type + " " + k.Fingerprint
		if k.NoTouchRequired {
			text += " no-touch-required"
		}
		rows = append(rows, []string{"key", strings.TrimSpace(text + " " + k.Comment)})
	}
	for _, p := range c.Principals {
		rows = append(rows, []string{"principal", p})
	}
	login := c.Login
	if login == "" {
		login = "any"
	}
	from := strings.Join(c.From, ", ")
	if from == "" {
		from = "everywhere"
	}
	expires := c.expiry()
	if c.Expires == nil {
		expires = "never"
	}
	rows = append(rows, []string{"login", login}, []string{"from", from}, []string{"expires", expires})
	rows = append(rows, c.Limits.rows()...)
	for _, r := range c.Allow {
		rows = append(rows, []string{"may", r.describe()})
	}
	if len(c.Allow) == 0 {
		rows = append(rows, []string{"may", "nothing"})
	}
	table(w, rows)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
