package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"postern/sandbox"
)

// brokenHelpers end before they are the program, in every way there is. The order
// is descriptor 3, and what they report is 4.
var brokenHelpers = map[string]string{
	"killed at once":             `kill -KILL $$`,
	"killed over the order":      `read order <&3; kill -KILL $$`,
	"crashed":                    `read order <&3; kill -SEGV $$`,
	"ended well":                 `exit 0`,
	"reports nothing it knows":   `echo garbage >&4`,
	"reports without end":        `while echo garbage; do :; done >&4`,
	"fails with a child of its":  `sleep 600 4>&- & echo garbage >&4; exit 1`,
	"says it is ready and fails": `printf 'rfit failed' >&4`,
}

// Whatever becomes of the helper, Start says so: nothing of the program has run,
// and no process and no descriptor is left.
func TestHelperThatFails(t *testing.T) {
	for name, script := range brokenHelpers {
		t.Run(name, func(t *testing.T) {
			dir := publicDir(t)
			helper, mark, pid := filepath.Join(dir, "helper"), filepath.Join(dir, "ran"), filepath.Join(dir, "pid")
			if err := os.WriteFile(helper, []byte("#!/bin/sh\necho $$ > "+pid+"\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			before := descriptors(t)
			p, err := sandbox.Start(helper, shell(t, `echo > "$1"`, mark))
			if err == nil {
				t.Fatalf("started, and ended with %+v", p.Wait())
			}
			t.Log(err)
			if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
				t.Error("the program ran")
			}
			if after := descriptors(t); !slices.Equal(before, after) {
				t.Errorf("the descriptors were %q, and are %q", before, after)
			}
			text, err := os.ReadFile(pid)
			if err != nil {
				t.Fatal(err)
			}
			leader, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			waitGone(t, group(t, leader)...)
		})
	}
}

// A helper that dies between its last word and the program looks like a program
// that was killed at once, and is no success. (One that has not read its order
// fails to start.)
func TestHelperThatDiesWhenItIsReady(t *testing.T) {
	helper := filepath.Join(publicDir(t), "helper")
	if err := os.WriteFile(helper, []byte("#!/bin/sh\nread order <&3; printf r >&4; kill -KILL $$\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := sandbox.Start(helper, shell(t, `true`))
	if err != nil {
		t.Fatal(err)
	}
	if exit := p.Wait(); exit.Signal != syscall.SIGKILL {
		t.Errorf("ended with %+v", exit)
	}
}

// descriptors are what is open, by what it is: pipes have numbers.
func descriptors(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, entry := range list {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && !strings.HasSuffix(target, "/fd") {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return open
}

// group are the processes of a group.
func group(t *testing.T, leader int) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, file := range files {
		text, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && len(fields) > 2 && fields[2] == strconv.Itoa(leader) {
			list = append(list, pid)
		}
	}
	return list
}
