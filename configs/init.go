package configs

import (
	_ "embed" // the sample
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postern/internal/durable"
)

// reference is the commented sample, which is what [Init] writes.
//
//go:embed postern.yaml
var reference string

// The lines of the reference that Init rewrites.
const (
	referenceListen = "listen: [\":2222\"]\n"
	referenceState  = "state: /var/lib/postern\n"
)

// Init writes the gateway's own file at path, with every key, its meaning and
// its default, and makes the folders that it names, for their owner alone. No
// address means [DefaultListen], no state [DefaultState]. It returns what it
// created, in order, also where it failed in the middle. A file that exists is an
// error that is [fs.ErrExist], and nothing has changed.
func Init(path string, listen []string, state string) (created []string, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("init %q: %w", path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("init %q: %w", path, fs.ErrExist)
	}
	text := initial(listen, state)
	r := new(report)
	s, ok := newSource(path, []byte(text), r)
	if !ok {
		return nil, r.err()
	}
	g := readGateway(s)
	if err := r.err(); err != nil {
		return nil, err
	}
	for _, folder := range []string{filepath.Dir(path), g.config.ClientsDir, g.config.State} {
		made, err := makeFolder(folder, 0o700)
		created = append(created, made...)
		if err != nil {
			return created, fmt.Errorf("init: %w", err)
		}
	}
	if err := durable.Create(path, []byte(text), 0o600); err != nil {
		return created, fmt.Errorf("init: %w", err)
	}
	return append(created, path), nil
}

// initial returns the reference with the two keys set.
func initial(listen []string, state string) string {
	text := reference
	if len(listen) > 0 {
		quoted := make([]string, len(listen))
		for i, address := range listen {
			quoted[i] = scalar(address)
		}
		text = strings.Replace(text, referenceListen, "listen: ["+strings.Join(quoted, ", ")+"]\n", 1)
	}
	if state != "" {
		text = strings.Replace(text, referenceState, "state: "+scalar(state)+"\n", 1)
	}
	return text
}

// makeFolder makes a folder with the mode where there is none, and those that it
// lies in with the usual one.
func makeFolder(path string, mode fs.FileMode) (created []string, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, nil
	case err == nil:
		return nil, fmt.Errorf("%q is not a folder", path)
	}
	if created, err = makeFolder(filepath.Dir(path), 0o755); err != nil {
		return created, err
	}
	if err := durable.Mkdir(path, mode); err != nil {
		return created, err
	}
	return append(created, path), nil
}
