package configs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern/internal/durable"
)

// AddClient writes the file of a new client and returns its path. The files are
// read again, with the new one, before it is put in place: what is wrong then,
// with any of them, comes as [Problems], and nothing has changed. A client that
// exists is an error that is [fs.ErrExist].
func AddClient(cfg *Config, spec ClientSpec) (string, error) {
	path := cfg.ClientFile(spec.Name)
	if !clientName.MatchString(spec.Name) {
		return "", badClientName(path, spec.Name)
	}
	defer lockFolder(cfg.ClientsDir)()
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("client %q: %q: %w", spec.Name, path, fs.ErrExist)
	}
	data := spec.render()
	_, err := load(cfg.Path, options{uid: cfg.uid, zone: time.Local, users: hostUsers(), added: path, addedData: data})
	if err != nil {
		return "", err
	}
	if err := durable.Create(path, data, 0o600); err != nil {
		return "", fmt.Errorf("client %q: %w", spec.Name, err)
	}
	return path, nil
}

func badClientName(path, name string) error {
	r := new(report)
	r.about(path, clientNameRemedy, "%q is not the name of a client", name)
	return r.err()
}

// SetDisabled sets the key disabled in the file of a client. Everything else in
// the file stays as it is, byte by byte. A file that is no YAML, or that says
// disabled in a way that is not found safely, comes back as [Problems].
func SetDisabled(file string, disabled bool) error {
	defer lockFolder(filepath.Dir(file))()
	r := new(report)
	data, _, ok := readFile(file, r)
	if !ok {
		return r.err()
	}
	changed, ok := withDisabled(file, data, disabled, r)
	if !ok {
		return r.err()
	}
	if string(changed) == string(data) {
		return nil
	}
	return durable.Replace(file, changed)
}

// RemoveClient removes the file of a client.
func RemoveClient(file string) error {
	if !strings.HasSuffix(file, clientSuffix) {
		return fmt.Errorf("remove %q: not the file of a client, which ends in %q", file, clientSuffix)
	}
	defer lockFolder(filepath.Dir(file))()
	return durable.Remove(file)
}

// lockFolder keeps other commands from changing clients until unlock is called,
// so that of two that add the same key at once one is told. Where the folder is
// on a share that knows no locks, the gateway still refuses to load the pair.
func lockFolder(folder string) (unlock func()) {
	f, err := os.Open(folder)
	if err != nil {
		return func() {} // what follows says so
	}
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX) == syscall.EINTR {
	}
	return func() { f.Close() }
}
