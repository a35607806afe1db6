package configs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern/registry"
)

// Load reads the gateway's own file at path and everything that it names, for
// the user that runs this process. What is wrong with the files comes as
// [Problems], all of it; nothing is loaded then.
func Load(path string) (*Config, error) {
	return LoadAs(path, os.Geteuid())
}

// LoadAs is [Load] on behalf of a gateway that runs as another user: files may
// belong to root or to uid.
func LoadAs(path string, uid int) (*Config, error) {
	return load(path, options{uid: uid, zone: time.Local, users: hostUsers()})
}

// StateFolder returns the folder of the gateway's state, for the user that runs this
// process, also where something else is wrong with the files. It is "" where the
// gateway's own file does not tell, or where it or the folder could have been
// changed by somebody else.
func StateFolder(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	var suspicions, faults report
	g := newGuard(os.Geteuid(), &suspicions)
	g.holder(path)
	data, ok := g.read(path)
	if !ok {
		return ""
	}
	s, ok := newSource(path, data, &faults)
	if !ok {
		return ""
	}
	state := readGateway(s).config.State
	if state == "" || !g.folder(state) || suspicions.err() != nil {
		return ""
	}
	return state
}

// options are what a load depends on beside the files.
type options struct {
	uid int
	// zone is the gateway's time zone, in which days end.
	zone  *time.Location
	users users
	// added is the file of a client that is judged before it exists; "" is
	// none.
	added     string
	addedData []byte
}

// loader is a load in progress.
type loader struct {
	options
	report    report
	guard     *guard
	protected *protected
	config    *Config
	// flawed says that the gateway's own file had faults, so that it may have
	// meant more than was understood.
	flawed bool
	hash   contentHash
}

func load(path string, o options) (*Config, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("load %q: %w", path, err)
	}
	l := &loader{options: o, protected: newProtected(), hash: contentHash{}}
	l.guard = newGuard(o.uid, &l.report)
	l.gateway(path)
	if l.config != nil && l.config.ClientsDir != "" {
		l.clients()
	}
	if err := l.report.err(); err != nil {
		return nil, err
	}
	l.config.Hash = l.hash.sum()
	l.config.uid = o.uid
	return l.config, nil
}

// source reads a file.
func (l *loader) source(path string) (*source, bool) {
	data, ok := l.guard.read(path)
	if !ok {
		return nil, false
	}
	l.hash.add(path, data)
	return newSource(path, data, &l.report)
}

// gateway reads the gateway's own file and the revocation list.
func (l *loader) gateway(path string) {
	l.guard.holder(path)
	s, ok := l.source(path)
	if !ok {
		return
	}
	g := readGateway(s)
	l.config, l.flawed = g.config, g.found > 0
	if _, err := os.Lstat(g.config.State); !errors.Is(err, os.ErrNotExist) {
		l.guard.folder(g.config.State)
	}
	if g.revoked != "" {
		l.revoked(g.revoked)
	}
	l.protect(g)
}

func (l *loader) revoked(path string) {
	l.guard.holder(path)
	if s, ok := l.source(path); ok {
		l.config.Revoked = readRevoked(s)
	}
}

// protect keeps rules away from everything that the gateway itself trusts.
func (l *loader) protect(g *gatewayFile) {
	c, p := l.config, l.protected
	if c.State != "" {
		p.protect(c.State, "the gateway's state")
	}
	if c.ClientsDir != "" {
		p.protect(c.ClientsDir, "the folder of the clients' files")
	}
	p.protectFile(c.Path, "the folder of the gateway's configuration")
	for _, file := range c.HostKeys {
		p.protectFile(file, "the folder of a host key")
	}
	for _, file := range c.Programs.programFiles() {
		p.protectFile(file, "the folder of a program")
	}
	if g.revoked != "" {
		p.protectFile(g.revoked, "the folder of the revocation list")
	}
	for _, d := range c.Audit.Send {
		for _, file := range d.files() {
			p.protectFile(file, "the folder of a file of audit.send")
		}
	}
}

// clients reads every client, ordered by name, also where the gateway's own file
// had faults: they are better known at once.
func (l *loader) clients() {
	h := host{zone: l.zone, borg2: l.flawed || l.config.Programs.Borg2 != "", users: l.users, protected: l.protected}
	var files []*clientFile
	for _, path := range l.clientFiles() {
		if s, ok := l.clientSource(path); ok {
			files = append(files, readClient(s, h))
		}
	}
	slices.SortFunc(files, func(a, b *clientFile) int { return cmp.Compare(a.client.Name, b.client.Name) })
	for _, f := range files {
		l.config.Clients = append(l.config.Clients, f.client)
	}
	l.conflicts(files)
}

func (l *loader) clientSource(path string) (*source, bool) {
	switch {
	case path != l.added:
		return l.source(path)
	case len(l.addedData) > maxFile:
		l.report.tooLarge(path)
		return nil, false
	}
	return newSource(path, l.addedData, &l.report)
}

// clientFiles lists the files of the clients.
func (l *loader) clientFiles() []string {
	folder := l.config.ClientsDir
	if !l.guard.folder(folder) {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		l.report.about(folder, "let the gateway read it", "the folder cannot be listed: %v", cause(err))
		return nil
	}
	var files []string
	for _, e := range entries {
		if l.isClientFile(folder, e.Name()) {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	if l.added != "" && !slices.Contains(files, l.added) {
		files = append(files, l.added)
	}
	return files
}

// isClientFile reports whether the name is that of a client's file. Editors and
// file managers leave others beside them, which are passed over; but one that
// was surely meant to be read is not.
func (l *loader) isClientFile(folder, name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return false
	}
	switch extension := filepath.Ext(name); {
	case extension == clientSuffix:
		return true
	case strings.EqualFold(extension, clientSuffix), strings.EqualFold(extension, ".yml"):
		right := strings.TrimSuffix(name, extension) + clientSuffix
		l.report.about(filepath.Join(folder, name), "rename it to "+right, "files of clients end in %q, not in %q", clientSuffix, extension)
	}
	return false
}

// conflicts complains about keys and principals that do not say which client is
// meant.
func (l *loader) conflicts(files []*clientFile) {
	var found registry.Conflicts
	if _, err := registry.New(l.config.Clients); !errors.As(err, &found) {
		return
	}
	for _, c := range found {
		first, second := files[c.First.Client], files[c.Second.Client]
		at, remedy := second.markOfConflict(c.Kind, c.Second), "keep one"
		if first != second {
			remedy = fmt.Sprintf("remove it here or from %s, or give both clients a login of their own",
				first.where(first.markOfConflict(c.Kind, c.First)))
		}
		second.fault(at, remedy, "%v", c)
	}
}

// markOfConflict returns where the key or principal is.
func (c *clientFile) markOfConflict(kind registry.Kind, at registry.Place) mark {
	switch kind {
	case registry.DuplicateKey:
		return c.keysAt[at.Item]
	case registry.DuplicatePrincipal:
		return c.principalsAt[at.Item]
	}
	return mark{}
}

// contentHash gathers the hashes of files by their path.
type contentHash map[string][sha256.Size]byte

func (h contentHash) add(path string, data []byte) { h[path] = sha256.Sum256(data) }

// sum returns one hash of them all, which changes with any content or path.
func (h contentHash) sum() string {
	lines := make([]string, 0, len(h))
	for path, sum := range h {
		lines = append(lines, fmt.Sprintf("%x %q", sum, path))
	}
	slices.Sort(lines)
	all := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(all[:])
}
