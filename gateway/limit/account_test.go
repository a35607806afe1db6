package limit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"postern/policy"
	"postern/registry"
)

func client(name string, connections, sessions int64) registry.Client {
	return registry.Client{Name: name, Bounds: registry.Bounds{
		Connections: policy.LimitOf(connections), Sessions: policy.LimitOf(sessions),
	}}
}

func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Accounts
		laptop := client("laptop", 2, 1)
		first, err1 := all.Enter(t.Context(), laptop)
		second, err2 := all.Enter(t.Context(), laptop)
		if err1 != nil || err2 != nil || first != second {
			t.Fatalf("%v, %v", err1, err2)
		}
		_, err := all.Enter(t.Context(), laptop)
		var denial *registry.Denial
		const why = `client "laptop" has 2 connections already, which is its limit (limits.connections: 2); try again when one has ended`
		if !errors.As(err, &denial) || denial.Code != CodeConnections || err.Error() != why {
			t.Errorf("a third: %v", err)
		}
		if other, err := all.Enter(t.Context(), client("other", 2, 1)); err != nil || other == first {
			t.Errorf("another client: %v", err)
		} else {
			other.Leave()
		}
		// One that goes makes room for who waits for that already.
		go func() {
			time.Sleep(patience / 2)
			second.Leave()
		}()
		if _, err := all.Enter(t.Context(), laptop); err != nil {
			t.Errorf("after one left: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		begun := time.Now()
		if _, err := all.Enter(ctx, laptop); err == nil || time.Since(begun) != patience/2 {
			t.Errorf("one that ends meanwhile: %v after %s", err, time.Since(begun))
		}
		// A limit that was lowered ends nothing, and says what is.
		if _, err := all.Enter(t.Context(), client("laptop", 1, 1)); err == nil || err.Error() !=
			`client "laptop" has 2 connections already, which is above its limit (limits.connections: 1); try again when one has ended` {
			t.Errorf("lowered: %v", err)
		}
		first.Leave()
		first.Leave()
		if len(all.byName) > 0 {
			t.Errorf("%d are remembered", len(all.byName))
		}
	})
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Accounts
		laptop := client("laptop", 9, 1)
		first, _ := all.Enter(t.Context(), laptop)
		second, _ := all.Enter(t.Context(), laptop)
		end, refusal := first.Begin(laptop.Bounds)
		if refusal != nil {
			t.Fatal(refusal)
		}
		_, refusal = second.Begin(laptop.Bounds)
		const why = `client "laptop" runs 1 session already, which is its limit (limits.sessions: 1); try again when one has ended`
		if refusal == nil || refusal.Code != CodeSessions || refusal.Status != policy.ExitRefused || refusal.Error() != why {
			t.Errorf("a second: %v", refusal)
		}
		end()
		if _, refusal := second.Begin(laptop.Bounds); refusal != nil {
			t.Errorf("after the first ended: %v", refusal)
		}
		if _, refusal := second.Begin(registry.Bounds{}); refusal != nil {
			t.Errorf("without a limit: %v", refusal)
		}
	})
}

func TestOver(t *testing.T) {
	begun := time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC)
	night := registry.HoursOf(time.UTC, registry.Span{Days: [7]bool{true, true, true, true, true, true, true}, From: 22 * 60, To: 6 * 60, Text: "22:00-06:00"})
	for name, c := range map[string]struct {
		bounds registry.Bounds
		after  time.Duration
		code   string
	}{
		"no limit":            {registry.Bounds{}, 1000 * time.Hour, ""},
		"time left":           {registry.Bounds{SessionTime: time.Hour}, time.Hour - 1, ""},
		"no time left":        {registry.Bounds{SessionTime: time.Hour}, time.Hour, CodeSessionTime},
		"within hours":        {registry.Bounds{Hours: night, EndAfterHours: true}, 7*time.Hour - 1, ""},
		"after hours":         {registry.Bounds{Hours: night, EndAfterHours: true}, 7 * time.Hour, CodeHours},
		"may finish":          {registry.Bounds{Hours: night}, 7 * time.Hour, ""},
		"no time, may finish": {registry.Bounds{Hours: night, SessionTime: time.Hour}, 7 * time.Hour, CodeSessionTime},
	} {
		t.Run(name, func(t *testing.T) {
			over := Over(registry.Client{Name: "laptop", Bounds: c.bounds}, begun, begun.Add(c.after))
			if over == nil && c.code != "" || over != nil && over.Code != c.code {
				t.Errorf("%+v", over)
			}
		})
	}
	closed := Closed(registry.Client{Name: "laptop", Bounds: registry.Bounds{Hours: night}}, begun.Add(7*time.Hour))
	const why = `these are not the hours of client "laptop" (limits.hours: 22:00-06:00); try again from Sun 2026-11-22 22:00 UTC on`
	if closed == nil || closed.Error() != why {
		t.Errorf("%v", closed)
	}
}
