package main

import (
	"context"
	"errors"
	"os"
	"time"

	"postern/audit"
	"postern/configs"
	"postern/registry"
)

// notePause is how often the gateway looks for what commands have changed.
const notePause = time.Second

// startNoting has the trail take in what commands change, until stop is called.
// What fails is tried again.
func startNoting(ctx context.Context, trail *audit.Trail) (stop func()) {
	return every(ctx, notePause, func() { _ = trail.TakeNotes() })
}

func countRules(clients []registry.Client) int {
	n := 0
	for _, c := range clients {
		n += len(c.Rules)
	}
	return n
}

// refused puts on record that the files are no policy to start with, where they
// tell which trail that is for.
func (a *app) refused(err error) {
	state := configs.StateFolder(a.config, os.Geteuid())
	var problems configs.Problems
	if state == "" || !errors.As(err, &problems) || checkStateFolder(state) != nil {
		return
	}
	if err := recordRefusal(state, problems); err != nil {
		a.hint("postern: the trail does not say that these files were refused: %v", err)
	}
}

func recordRefusal(state string, problems configs.Problems) error {
	trail, err := audit.Open(audit.Options{Dir: auditFolder(state), Now: time.Now})
	if err != nil {
		return err
	}
	return errors.Join(trail.PolicyRefused(problemWords(problems)), trail.Close())
}
