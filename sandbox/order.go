// Package sandbox starts the program that a decision names, and nothing but
// that program.
//
// A child is started in two steps. [Start] runs the gateway's own binary again
// with a hidden verb; there [Main] prepares the process and then becomes the
// program by exec. Between the two lies the place where the kernel can be asked
// to hold the child to its rule: only a process that is not the gateway can give
// up rights without taking them from the gateway.
//
// The package holds no policy: it starts what an [Order] says. Who may order
// what is decided elsewhere.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// maxOrder bounds what the helper reads. An argument list that exec accepts is
// at most 2 MiB under the usual stack limit; the encoding adds a third.
const maxOrder = 8 << 20

// Order is everything about a child. What it does not name the child does not
// get: no variable, no descriptor above 2, no other working directory.
type Order struct {
	// Program is the absolute path of the binary.
	Program string
	// Args is the whole argument list, the program's name first.
	Args []string
	// Env is the whole environment, as NAME=VALUE.
	Env []string
	// Dir is the absolute path of the working directory.
	Dir string
	// Umask is the file mode creation mask.
	Umask int
}

// check names what is wrong with an order that exec or chdir would read
// differently than its author meant it.
func (o Order) check() error {
	if !filepath.IsAbs(o.Program) {
		return fmt.Errorf("program %q is not an absolute path", o.Program)
	}
	if !filepath.IsAbs(o.Dir) {
		return fmt.Errorf("working directory %q is not an absolute path", o.Dir)
	}
	if len(o.Args) == 0 {
		return errors.New("the argument list lacks the program's name")
	}
	if o.Umask < 0 || o.Umask > 0o777 {
		return fmt.Errorf("umask %#o is out of range", o.Umask)
	}
	for _, word := range append([]string{o.Program, o.Dir}, append(o.Args[:len(o.Args):len(o.Args)], o.Env...)...) {
		if strings.ContainsRune(word, 0) {
			return fmt.Errorf("%q contains a NUL byte", word)
		}
	}
	return nil
}

// wire is an order on its way to the helper. Words are bytes, because JSON
// strings would replace what is not UTF-8, and file names need not be.
type wire struct {
	Program, Dir []byte
	Args, Env    [][]byte
	Umask        int
}

// write sends the order to the helper.
func (o Order) write(w io.Writer) error {
	return json.NewEncoder(w).Encode(wire{
		Program: []byte(o.Program), Dir: []byte(o.Dir),
		Args: words[[]byte](o.Args), Env: words[[]byte](o.Env), Umask: o.Umask,
	})
}

// readOrder is what the helper reads; the result has been checked.
func readOrder(r io.Reader) (Order, error) {
	var got wire
	if err := json.NewDecoder(io.LimitReader(r, maxOrder)).Decode(&got); err != nil {
		return Order{}, fmt.Errorf("read the order: %w", err)
	}
	o := Order{
		Program: string(got.Program), Dir: string(got.Dir),
		Args: words[string](got.Args), Env: words[string](got.Env), Umask: got.Umask,
	}
	return o, o.check()
}

// words converts a list between strings and bytes.
func words[To, From []byte | string](from []From) []To {
	to := make([]To, len(from))
	for i, word := range from {
		to[i] = To(word)
	}
	return to
}
