package main

import (
	"os"
	"path/filepath"
	"testing"

	"postern/configs"
)

func TestFolderCommand(t *testing.T) {
	own := t.TempDir()
	if os.Geteuid() == 0 {
		if err := os.Chown(own, 1026, 100); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(own, "a b")
	for name, test := range map[string]struct {
		rule configs.RuleSpec
		root bool
		want string
	}{
		"a folder that is missing":             {configs.RuleSpec{Path: missing}, false, "mkdir -p '" + missing + "'"},
		"root makes it for another":            {configs.RuleSpec{Path: missing}, true, "mkdir -p '" + missing + "' && chown USER:GROUP '" + missing + "'"},
		"root makes it for a user of the rule": {configs.RuleSpec{Path: missing, RunAs: "7:8"}, true, "mkdir -p '" + missing + "' && chown 7:8 '" + missing + "'"},
		"root makes it for root":               {configs.RuleSpec{Path: missing, RunAs: "root"}, true, "mkdir -p '" + missing + "'"},
		"a folder of root's":                   {configs.RuleSpec{Path: "/usr"}, true, "chown USER:GROUP /usr"},
		"a folder of root's and run_as":        {configs.RuleSpec{Path: "/usr", RunAs: "root"}, true, ""},
		"a folder of root's, seen by a user":   {configs.RuleSpec{Path: "/usr"}, false, ""},
		"a folder of somebody's":               {configs.RuleSpec{Path: own}, true, ""},
	} {
		if got := folderCommand(test.rule, test.root); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
