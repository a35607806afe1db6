package gateway

import (
	"slices"

	"postern/policy"
)

// remembering answers a question about the file system twice in the same way. It
// is for one goroutine at a time.
type remembering struct {
	tree  policy.Tree
	known map[question]any
}

// question is what was asked: the name of the method and its arguments.
type question struct {
	method, root, path string
	follow             bool
}

// owned and room are answers of two values.
type (
	owned struct {
		user policy.User
		ok   bool
	}
	room struct {
		bytes int64
		ok    bool
	}
)

func remember(t policy.Tree) *remembering {
	return &remembering{tree: t, known: map[question]any{}}
}

func answer[T any](r *remembering, q question, ask func() T) T {
	if known, ok := r.known[q]; ok {
		return known.(T)
	}
	told := ask()
	r.known[q] = told
	return told
}

// IsDir implements [policy.Tree].
func (r *remembering) IsDir(path string) bool {
	return answer(r, question{method: "IsDir", path: path}, func() bool { return r.tree.IsDir(path) })
}

// Exists implements [policy.Tree].
func (r *remembering) Exists(path string) bool {
	return answer(r, question{method: "Exists", path: path}, func() bool { return r.tree.Exists(path) })
}

// Names implements [policy.Tree].
func (r *remembering) Names(folder string) []string {
	return slices.Clone(answer(r, question{method: "Names", path: folder}, func() []string { return r.tree.Names(folder) }))
}

// Escapes implements [policy.Tree].
func (r *remembering) Escapes(root, path string, follow bool) bool {
	return answer(r, question{method: "Escapes", root: root, path: path, follow: follow},
		func() bool { return r.tree.Escapes(root, path, follow) })
}

// StrayLink implements [policy.Tree].
func (r *remembering) StrayLink(root string) string {
	return answer(r, question{method: "StrayLink", root: root}, func() string { return r.tree.StrayLink(root) })
}

// Owner implements [policy.Tree].
func (r *remembering) Owner(folder string) (policy.User, bool) {
	a := answer(r, question{method: "Owner", path: folder}, func() owned {
		user, ok := r.tree.Owner(folder)
		return owned{user, ok}
	})
	return a.user, a.ok
}

// Free implements [policy.Tree].
func (r *remembering) Free(folder string) (int64, bool) {
	a := answer(r, question{method: "Free", path: folder}, func() room {
		bytes, ok := r.tree.Free(folder)
		return room{bytes, ok}
	})
	return a.bytes, a.ok
}
