// Package borgrpc reads along what a borg client asks of borg serve, and counts
// it.
//
// The protocol of borg 1 is a stream of msgpack values: a map with the keys i
// (number), m (method) and a (arguments), and for borg 1.0 an array of a version,
// a number, the method and its arguments (borg's remote.py). What is put into a
// repository travels as a string in the arguments, and is passed over.
//
// The reader stands beside the data: it holds nothing up, keeps a few kilobytes
// of it at most, and what it does not understand makes it stop, and say so.
package borgrpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The bounds of what is kept.
const (
	maxRepositories = 16
	maxDepth        = 16
	// maxBefore is how many calls may come before a repository is opened.
	maxBefore = 100
)

// Counts are the operations that a session asked for.
type Counts struct {
	// Repositories are in the order in which they were opened.
	Repositories []Repository
	// Stopped says why the reader stopped, and is empty where it read all.
	Stopped string
}

// Repository is what a session asked of one repository.
type Repository struct {
	// Path is the repository as the client named it.
	Path string
	// Create says that the client asked for a new one.
	Create bool
	// Methods counts the calls by their names.
	Methods map[string]int64
	// Put is how many bytes were sent to be stored.
	Put int64
}

// known reports whether borg 1 has a method, so that a client cannot make the
// counts grow with names of its own.
func known(method string) bool {
	return slices.Contains([]string{
		"__len__", "break_lock", "check", "commit", "commit_nonce_reservation", "delete", "destroy", "flags", "flags_many", "get",
		"get_free_nonce", "info", "inject_exception", "list", "load_key", "negotiate", "open", "put", "rollback", "save_key", "scan",
	}, method)
}

// Reader counts the operations in a stream. The zero value is ready. It is not
// safe for concurrent use.
type Reader struct {
	counts Counts
	values scanner
	stack  []frame
	call   call
	before int
}

// frame is a map or an array that is being read.
type frame struct {
	isMap bool
	// size is how many values it has, keys too; index is how many were read.
	size, index uint64
	// arguments says that it holds the arguments of a call.
	arguments bool
	key       string
}

// call is the message that is being read.
type call struct {
	method, path string
	create       bool
	data         int64
}

// Write takes the next piece of the stream. It cannot fail: that the reader
// stopped is in its counts.
func (r *Reader) Write(p []byte) {
	for len(p) > 0 && r.counts.Stopped == "" {
		n, v, err := r.values.next(p)
		p = p[n:]
		if err == nil && v.kind != unfinished {
			err = r.take(v)
		}
		r.stop(err)
	}
}

func (r *Reader) stop(err error) {
	if err != nil && r.counts.Stopped == "" {
		r.counts.Stopped = err.Error()
	}
}

// Counts returns what was counted so far.
func (r *Reader) Counts() Counts {
	c := Counts{Stopped: r.counts.Stopped, Repositories: slices.Clone(r.counts.Repositories)}
	for i := range c.Repositories {
		c.Repositories[i].Methods = maps.Clone(c.Repositories[i].Methods)
	}
	return c
}

// take looks at one value, and goes on to the next place.
func (r *Reader) take(v value) error {
	arguments := false
	switch len(r.stack) {
	case 0:
		if v.kind != aMap && v.kind != anArray {
			return errors.New("a value stands where a message should")
		}
	case 1:
		arguments = r.part(&r.stack[0], v)
	case 2:
		r.argument(&r.stack[1], v)
	}
	if (v.kind == aMap || v.kind == anArray) && v.size > 0 {
		if len(r.stack) == maxDepth {
			return errors.New("a message is nested too deeply")
		}
		r.stack = append(r.stack, frame{isMap: v.kind == aMap, size: v.size, arguments: arguments})
		return nil
	}
	return r.finish()
}

// finish leaves the value that was read, and whatever ends with it.
func (r *Reader) finish() error {
	for len(r.stack) > 0 {
		top := &r.stack[len(r.stack)-1]
		if top.index++; top.index < top.size {
			return nil
		}
		r.stack = r.stack[:len(r.stack)-1]
	}
	c := r.call
	r.call = call{}
	return r.count(c)
}

// part looks at a part of a message, and reports whether it is the arguments.
func (r *Reader) part(f *frame, v value) bool {
	switch {
	case f.isMap && f.index%2 == 0:
		f.key = v.text
	case f.isMap && f.key == "m", !f.isMap && f.index == 2:
		r.call.method = v.text
	default:
		return f.isMap && f.key == "a" || !f.isMap && f.index == 3
	}
	return false
}

// argument looks at an argument of a call: by its name, or in borg 1.0 by its
// place.
func (r *Reader) argument(f *frame, v value) {
	name := f.key
	switch {
	case !f.arguments:
		return
	case f.isMap && f.index%2 == 0:
		f.key = v.text
		return
	case !f.isMap && r.call.method == "open" && f.index < 2:
		name = []string{"path", "create"}[f.index]
	case !f.isMap && r.call.method == "put" && f.index == 1:
		name = "data"
	}
	switch name {
	case "path":
		r.call.path = v.text
	case "create":
		r.call.create = v.kind == isTrue
	case "data":
		r.call.data = int64(v.size)
	}
}

// count counts a call.
func (r *Reader) count(c call) error {
	if !known(c.method) {
		return fmt.Errorf("borg has no method %.40q", c.method)
	}
	if c.method == "open" {
		if len(r.counts.Repositories) == maxRepositories {
			return fmt.Errorf("more than %d repositories were opened", maxRepositories)
		}
		r.counts.Repositories = append(r.counts.Repositories, Repository{Path: c.path, Create: c.create, Methods: map[string]int64{}})
	}
	if n := len(r.counts.Repositories); n > 0 {
		repository := &r.counts.Repositories[n-1]
		repository.Methods[c.method]++
		if c.method == "put" {
			repository.Put += c.data
		}
	} else if r.before++; r.before > maxBefore {
		return errors.New("no repository was opened")
	}
	return nil
}
