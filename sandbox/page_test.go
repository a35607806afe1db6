package sandbox_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"postern/sandbox"
)

// page tells operators what each level stops, between two marks.
const (
	page      = "../docs/threat-model.md"
	pageBegin = "<!-- levels: written by go test ./sandbox -run TestLevelsTable -update -->\n"
	pageEnd   = "<!-- levels: end -->\n"
)

var update = flag.Bool("update", false, "write the table of the levels into "+page)

// What operators read of the levels is what the attacks have shown.
func TestLevelsTable(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), pageBegin)
	told, after, ended := strings.Cut(rest, pageEnd)
	if !found || !ended {
		t.Fatalf("%s lacks the lines %q and %q, between which the table of the levels stands", page, pageBegin, pageEnd)
	}
	want := "\n" + tables() + "\n"
	if told == want {
		return
	}
	if !*update {
		t.Fatalf("%s tells another table than the attacks: go test ./sandbox -run TestLevelsTable -update writes it", page)
	}
	if err := os.WriteFile(page, []byte(before+pageBegin+want+pageEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tables are those of all chapters.
func tables() string {
	var text strings.Builder
	for _, c := range chapters {
		fmt.Fprintf(&text, "| %s | ", strings.ToLower(c.title[:1])+c.title[1:])
		for _, l := range levels {
			fmt.Fprintf(&text, "`%s` | ", l)
		}
		text.WriteString("\n|---|" + strings.Repeat("---|", len(levels)) + "\n")
		for _, a := range c.attacks {
			fmt.Fprintf(&text, "| %s | ", a.name)
			for _, l := range levels {
				fmt.Fprintf(&text, "%s | ", a.told(l))
			}
			text.WriteString("\n")
		}
		text.WriteString("\n")
	}
	fmt.Fprintf(&text, "A child that has its number on the host, as borg has, differs at every level. What works:\n%s. What is stopped:\n%s.\n",
		strings.Join(learnt, ", "), strings.Join(heldClosely, ",\n"))
	return strings.ReplaceAll(text.String(), " \n", "\n")
}

// told is how an attack fares at a level, in words.
func (a attack) told(l sandbox.Level) string {
	outcome := func(root bool) string {
		switch writes, reads := a.succeeds(l, true, root), a.succeeds(l, false, root); {
		case writes && reads:
			return "**works**"
		case writes:
			return "**works** in a writable rule"
		case reads:
			return "**works** in a read-only rule"
		}
		return "stopped"
	}
	user, root := outcome(false), outcome(true)
	if user == root {
		return user
	}
	return user + "; as root " + root
}
