package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"postern/audit"
	"postern/configs"
	"postern/gateway"
	"postern/internal/watch"
)

const (
	// pollPause is how often a gateway looks whether files have changed, for what
	// the kernel does not tell: changes on a network share.
	pollPause = 5 * time.Second
	// secondLook is how long after a change that would take something away, or
	// that is no good, the files are looked at once more: some editors remove a
	// file before they write it anew.
	secondLook = 200 * time.Millisecond
)

// reloader has a gateway go by its files as they change.
type reloader struct {
	loader *configs.Loader
	server *gateway.Server
	trail  *audit.Trail
	// started is what the gateway started with, and current what it goes by.
	started, current *configs.Config
	// refused is what is wrong with the files that it does not go by; "" where
	// it goes by the newest.
	refused string
	// owed is a record that could not be written yet; nil where there is none.
	owed func() error
	// asked gets a value when somebody wants all files to be read again.
	asked <-chan os.Signal
	// questions are those of commands that want that too, and the outcome.
	questions chan chan<- reloaded
	// latest is what became of the newest files.
	latest atomic.Pointer[reloaded]
	// hushed says that another gateway puts on record what becomes of files.
	hushed  atomic.Bool
	watcher *watch.Watcher
	poll    time.Duration
	// load looks at the files: at all of them, or at those that are known to have
	// changed.
	load func() (*configs.Config, error)
}

// newReloader returns a reloader of what was loaded at the start, for which a server
// is still to be named. From now on SIGHUP does not end the process. The watcher is the
// caller's to close.
func newReloader(loader *configs.Loader, c *configs.Config, trail *audit.Trail) *reloader {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	r := &reloader{
		loader: loader, trail: trail, started: c.WithoutClients(), current: c, asked: asked, questions: make(chan chan<- reloaded),
		watcher: watch.New(), poll: pollPause, load: loader.Load,
	}
	r.became(nil)
	return r
}

// run looks for changes until the context is done.
func (r *reloader) run(ctx context.Context) {
	ticker := time.NewTicker(r.poll)
	defer ticker.Stop()
	// What changed since the gateway started comes to light with the first look.
	done := func() {}
	for again := false; ; {
		r.watcher.Watch(r.current.Folders()...)
		r.reload(ctx, again)
		done()
		again, done, r.load = false, func() {}, r.loader.Load
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
			r.loader.Forget()
			again, done = true, tellReload()
		case question := <-r.questions:
			r.loader.Forget()
			again, done = true, r.answering(ctx, question)
		case <-r.watcher.Changed():
			if paths, all := r.watcher.Changes(); all {
				r.load = func() (*configs.Config, error) { return r.loader.LoadChanged(paths) }
			}
		case <-ticker.C:
		}
	}
}

// answering tells a command what becomes of the files, when done is called.
func (r *reloader) answering(ctx context.Context, question chan<- reloaded) (done func()) {
	told := tellReload()
	return func() {
		told()
		if ctx.Err() == nil {
			question <- *r.latest.Load() // which has room for it
		}
	}
}

// ask has all files read again, and returns what became of them.
func (r *reloader) ask(ctx context.Context) (reloaded, error) {
	outcome := make(chan reloaded, 1)
	select {
	case r.questions <- outcome:
	case <-ctx.Done():
		return reloaded{}, errNotReloaded
	}
	select {
	case latest := <-outcome:
		return latest, nil
	case <-ctx.Done():
		return reloaded{}, errNotReloaded
	}
}

var errNotReloaded = errors.New("the gateway has not read its files; it ends, or they take too long to read")

// reload goes by the files as they are now, whole or not at all. What has not changed
// is recorded again only if somebody asked.
func (r *reloader) reload(ctx context.Context, again bool) {
	if r.owed != nil && r.owed() == nil {
		r.owed = nil
	}
	c, err := r.look(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if text := err.Error(); again || text != r.refused {
			r.refused = text
			r.record(func() error { return r.trail.PolicyRefused(problemWords(err)) })
			r.became(problemsOf(err))
		}
	case again || r.refused != "" || c.Hash != r.current.Hash:
		r.refused = ""
		waiting := r.started.NextStart(c)
		r.record(func() error { return r.trail.PolicyLoaded(c.Hash, len(c.Clients), countRules(c.Clients), waiting) })
		r.current = c
		r.server.Replace(c.Set(), trustOf(c))
		r.became(nil)
	}
}

// became notes what became of the newest files, which were refused for problems if
// there are any.
func (r *reloader) became(problems configs.Problems) {
	latest := &reloaded{
		PID: os.Getpid(), Outcome: outcomeLoaded, Policy: r.current.Hash, Clients: len(r.current.Clients), Rules: countRules(r.current.Clients),
		NextStart: r.started.NextStart(r.current), Problems: problems,
	}
	if len(problems) > 0 {
		latest.Outcome = outcomeRefused
	}
	if r.owed != nil {
		latest.Unrecorded = "the record could not be written; it is tried again"
	}
	r.latest.Store(latest)
}

// look loads the files, and once more where that takes something away.
func (r *reloader) look(ctx context.Context) (*configs.Config, error) {
	c, err := frugally(r.load)
	if err != nil && err.Error() == r.refused || err == nil && !lacks(c, r.current) {
		return c, err
	}
	select {
	case <-time.After(secondLook):
	case <-ctx.Done():
	}
	return frugally(r.loader.Load)
}

// loadMemory is how much memory there may be while files are loaded before garbage is
// collected early: of a file there is twenty times as much of that as is kept. A hundred
// thousand clients have room for it and leave less than 500 MiB with the process.
const loadMemory = 400 << 20

// frugally loads with no more memory than that, if it can.
func frugally(load func() (*configs.Config, error)) (*configs.Config, error) {
	usual := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(usual, loadMemory))
	defer debug.SetMemoryLimit(usual)
	return load()
}

// lacks reports whether a client is gone. Both are ordered by name.
func lacks(c, before *configs.Config) bool {
	if c == before {
		return false
	}
	at := 0
	for i := range before.Clients {
		name := before.Clients[i].Name
		for at < len(c.Clients) && c.Clients[at].Name < name {
			at++
		}
		if at == len(c.Clients) || c.Clients[at].Name != name {
			return true
		}
	}
	return false
}

// record writes a record, or owes it: what keeps records from being written must not
// keep a key that was removed in use. It is the newest that is owed.
func (r *reloader) record(write func() error) {
	r.owed = nil
	if !r.hushed.Load() && write() != nil {
		r.owed = write
	}
}

// hush leaves what is to be put on record to another gateway that goes by the same files.
func (r *reloader) hush() { r.hushed.Store(true) }

// problemWords are what is wrong with the files, each with its place.
func problemWords(err error) []string {
	problems := problemsOf(err)
	words := make([]string, len(problems))
	for i, p := range problems {
		words[i] = p.Brief()
	}
	return words
}

func problemsOf(err error) configs.Problems {
	var problems configs.Problems
	if errors.As(err, &problems) {
		return problems
	}
	return configs.Problems{{File: "the files", Message: err.Error(), Remedy: "see that the gateway can find them"}}
}
