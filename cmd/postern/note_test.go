package main

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// TestNoteRemedy holds that each error ends with something to do.
func TestNoteRemedy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}, "disk is full"},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "as root"},
		{errors.New("x is no folder; move it away"), ""},
	} {
		if got := noteRemedy(c.err); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}
