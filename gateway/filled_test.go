package gateway

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"postern/gateway/usage"
	"postern/policy"
	"postern/sandbox"
)

// What is looked at while a session goes on: the floor at once, a count when there is
// one that is not from before.
func TestFilled(t *testing.T) {
	folder := realFolder(t)
	if err := os.WriteFile(folder+"/file", make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{meter: usage.NewMeter(sandbox.OpenPath)}
	defer s.meter.Close()
	rule := policy.Rule{Tool: policy.Rsync, Path: folder}
	floor := rule
	floor.MinFree = policy.LimitOf(1 << 62)
	if r := s.filled(floor, time.Time{}); r == nil || r.Code != "min-free" {
		t.Errorf("below the floor: %+v", r)
	}
	rule.Quota = policy.LimitOf(1)
	if r := s.filled(rule, time.Time{}); r != nil {
		t.Errorf("before it is counted: %+v", r)
	}
	if _, err := s.meter.Count(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if r := s.filled(rule, time.Now()); r != nil {
		t.Errorf("by a count from before: %+v", r)
	}
	if r := s.filled(rule, time.Time{}); r == nil || r.Code != "quota" {
		t.Errorf("filled: %+v", r)
	}
}

func TestWhatCannotBeCounted(t *testing.T) {
	rule := policy.Rule{Tool: policy.Rsync, Path: "/srv/a", Quota: policy.LimitOf(1)}
	for _, c := range []struct {
		err           error
		message, want string
	}{
		{errors.New("a folder was moved"), "cannot be counted, and there is a limit of that", "operator"},
		{&fs.PathError{Op: "open", Path: "a/\x1b[2J", Err: fs.ErrPermission}, `may not read "a/\x1b[2J" in it`, "--chmod=Du+rwx"},
	} {
		r := overfull(rule, usage.Figure{Err: c.err})
		if r.Code != "uncounted" || !strings.Contains(r.Message, c.message) || !strings.Contains(r.Remedy, c.want) || r.Detail == "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestCanWatch(t *testing.T) {
	there := realFolder(t)
	for _, c := range []struct {
		rule policy.Rule
		want bool
	}{
		{policy.Rule{Tool: policy.Rsync, Path: "/nonexistent", Access: policy.ReadWrite}, true},
		{policy.Rule{Tool: policy.Rsync, Path: "/nonexistent", Access: policy.ReadOnly, OneWriter: true}, true},
		{policy.Rule{Tool: policy.Rsync, Path: "/nonexistent", Access: policy.ReadWrite, OneWriter: true}, false},
		{policy.Rule{Tool: policy.Rsync, Path: "/nonexistent", Access: policy.ReadWrite, Quota: policy.LimitOf(1)}, false},
		{policy.Rule{Tool: policy.Rsync, Path: there, Access: policy.ReadWrite, Quota: policy.LimitOf(1), OneWriter: true}, true},
	} {
		if err := CanWatch(c.rule); (err == nil) != c.want {
			t.Errorf("%+v: %v", c.rule, err)
		}
	}
}
