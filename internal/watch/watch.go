// Package watch tells that something in some folders may have changed, as far as
// the kernel tells. It is not told of everything: of what others do on a network
// share, for one. Whoever must know looks by themselves now and then.
package watch

import (
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing must have happened before it is told: editors
	// and commands write a file in several steps.
	quiet = 50 * time.Millisecond
	// longest is how long it is put off at most.
	longest = 250 * time.Millisecond
	// mostPaths bounds what is kept of what happened; whoever changes more at once is
	// better looked at whole.
	mostPaths = 1000
)

// Watcher watches folders, not what is in the folders below them. Close ends it.
type Watcher struct {
	kernel  *fsnotify.Watcher // nil where the kernel gives none
	changed chan struct{}
	telling sync.WaitGroup

	// mounted gets a value when a folder was replaced by a mount, and stop ends that.
	mounted chan struct{}
	stop    func()

	mu sync.Mutex
	// folders are those that are watched, as they were found.
	folders map[string]os.FileInfo
	// paths are what has changed since Changes was called, unless there was more.
	paths map[string]struct{}
	more  bool
}

// New returns a watcher of no folder. Where the kernel gives no notifications, it
// never tells anything.
func New() *Watcher {
	w := &Watcher{changed: make(chan struct{}, 1), mounted: make(chan struct{}, 1), stop: func() {}, paths: map[string]struct{}{}}
	kernel, err := fsnotify.NewWatcher()
	if err != nil {
		return w
	}
	w.kernel = kernel
	w.telling.Go(w.tell)
	w.stop = w.startMounts()
	return w
}

// Changed gets a value after something may have changed.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Changes returns what has changed since it was called last, as paths in the folders
// or the folders themselves. all says that it is everything that the kernel told.
func (w *Watcher) Changes() (paths []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	paths, all = slices.Sorted(maps.Keys(w.paths)), !w.more
	w.paths, w.more = map[string]struct{}{}, false
	return paths, all
}

// note keeps a path that has changed; "" is one that is not known.
func (w *Watcher) note(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.more = w.more || path == "" || len(w.paths) >= mostPaths
	if !w.more {
		w.paths[path] = struct{}{}
	}
}

// Watch watches these folders from now on, and no others. One that cannot be watched,
// or was put in the place of another, is tried again with the next call.
func (w *Watcher) Watch(folders ...string) {
	if w.kernel == nil {
		return
	}
	w.remember(folders)
	before := w.kernel.WatchList()
	for _, old := range before {
		if !slices.Contains(folders, old) {
			_ = w.kernel.Remove(old) // it is gone where that fails
		}
	}
	for _, folder := range folders {
		err := w.kernel.Add(folder) // the caller looks by itself, too
		if err == nil && !slices.Contains(before, folder) {
			w.note("") // what happened there before was not told
		}
	}
}

// Close ends the watcher. Changed gets nothing any more.
func (w *Watcher) Close() {
	w.stop()
	if w.kernel != nil {
		_ = w.kernel.Close() // it only fails when it was closed before
	}
	w.telling.Wait()
}

// tell puts what happens together until it is quiet.
func (w *Watcher) tell() {
	var since time.Time
	timer := time.NewTimer(longest)
	timer.Stop()
	for {
		select {
		case event, ok := <-w.kernel.Events:
			if !ok {
				timer.Stop()
				return
			}
			w.note(event.Name)
			if since.IsZero() {
				since = time.Now()
			}
			timer.Reset(min(quiet, longest-time.Since(since)))
		case _, ok := <-w.kernel.Errors:
			if ok { // too much happened to be told one by one
				w.note("")
				timer.Reset(quiet)
			}
		case <-w.mounted:
			w.note("")
			timer.Reset(quiet)
		case <-timer.C:
			since = time.Time{}
			select {
			case w.changed <- struct{}{}:
			default: // nobody has taken the last one yet
			}
		}
	}
}
