package configs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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

// StateFolder returns the folder of the state of a gateway that runs as a user, also
// where something else is wrong with the files. It is "" where the gateway's own file
// does not tell, or where it or the folder could have been changed by somebody else.
func StateFolder(path string, uid int) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	var suspicions, faults report
	g := newGuard(uid, &suspicions)
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
	// running is what a gateway runs with, which no rule may reach; nil is
	// nothing.
	running *Config
	// known are the clients' files that need not be read again where they have
	// not changed, by their paths; nil is none.
	known map[string]*reading
	now   func() time.Time
}

// loader is a load in progress.
type loader struct {
	options
	report    *report // known files keep it, and must not keep the rest
	guard     *guard
	protected *protected
	config    *Config
	// flawed says that the gateway's own file had faults, so that it may have
	// meant more than was understood.
	flawed bool
	hash   contentHash
	path   string
	// files are those of the clients, ordered by name; read are those of them
	// that can be known from now on, and fresh is how many were not known.
	files []*clientFile
	read  map[string]*reading
	fresh int
	// before are those that were known and are read and judged again.
	before map[string]*reading
}

func load(path string, o options) (*Config, error) {
	o.now = time.Now
	l, err := newLoad(path, o)
	if err != nil {
		return nil, err
	}
	l.gateway()
	l.readClients()
	return l.result()
}

func newLoad(path string, o options) (*loader, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("load %q: %w", path, err)
	}
	l := &loader{
		options: o, path: absolute, protected: newProtected(),
		report: new(report), hash: contentHash{},
	}
	l.guard = newGuard(o.uid, l.report)
	return l, nil
}

// result is what the files say together.
func (l *loader) result() (*Config, error) {
	if l.config != nil {
		l.gather()
		l.conflicts()
	}
	if err := l.report.err(); err != nil {
		return nil, err
	}
	l.config.Hash = l.sum()
	l.config.uid = l.uid
	return l.config, nil
}

// source reads a file.
func (l *loader) source(path string) (*source, bool) {
	data, ok := l.guard.read(path)
	if !ok {
		return nil, false
	}
	l.hash.add(path, data)
	return newSource(path, data, l.report)
}

// gateway reads the gateway's own file and the revocation list.
func (l *loader) gateway() {
	l.guard.holder(l.path)
	s, ok := l.source(l.path)
	if !ok {
		return
	}
	g := readGateway(s)
	l.config, l.flawed = g.config, g.found > 0
	if _, err := os.Lstat(g.config.State); !errors.Is(err, os.ErrNotExist) {
		l.guard.folder(g.config.State)
	}
	if g.config.revokedFile != "" {
		l.revoked(g.config.revokedFile)
	}
	l.protect(l.config)
	if l.running != nil {
		l.protect(l.running)
	}
}

func (l *loader) revoked(path string) {
	l.guard.holder(path)
	if s, ok := l.source(path); ok {
		l.config.Revoked = readRevoked(s)
	}
}

// protect keeps rules away from everything that the gateway itself trusts.
func (l *loader) protect(c *Config) {
	p := l.protected
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
	if c.revokedFile != "" {
		p.protectFile(c.revokedFile, "the folder of the revocation list")
	}
	for _, d := range c.Audit.Send {
		for _, file := range d.files() {
			p.protectFile(file, "the folder of a file of audit.send")
		}
	}
}

// readClients reads every client, ordered by name, also where the gateway's own
// file had faults: they are better known at once.
func (l *loader) readClients() {
	if l.config == nil || l.config.ClientsDir == "" {
		return
	}
	l.read = make(map[string]*reading, len(l.known))
	l.files = make([]*clientFile, 0, len(l.known))
	h := l.host()
	for _, path := range l.clientFiles() {
		if f := l.client(path, h); f != nil {
			l.files = append(l.files, f)
		}
	}
	slices.SortFunc(l.files, func(a, b *clientFile) int { return cmp.Compare(a.client.Name, b.client.Name) })
}

// readChanged is readClients where all but the files at these paths are as they were,
// which is so for each of those before.
func (l *loader) readChanged(before []*clientFile, paths []string) {
	if !l.guard.folder(l.config.ClientsDir) {
		return
	}
	l.read, l.files = maps.Clone(l.known), slices.Clone(before)
	h := l.host()
	for _, path := range paths {
		if filepath.Dir(path) == l.config.ClientsDir {
			l.readAgain(path, h)
		}
	}
}

// readAgain puts a file in the place of what was known of it, if it is there and a
// client's.
func (l *loader) readAgain(path string, h host) {
	at, found := slices.BinarySearchFunc(l.files, path, func(f *clientFile, path string) int {
		return cmp.Compare(f.client.Name, nameOf(path))
	})
	if found && l.files[at].name == path {
		l.files = slices.Delete(l.files, at, at+1)
		delete(l.read, path)
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) || !l.isClientFile(filepath.Split(path)) {
		return
	}
	if f := l.client(path, h); f != nil {
		l.files = slices.Insert(l.files, at, f)
	}
}

// host is what the files of clients are judged against.
func (l *loader) host() host {
	return host{zone: l.zone, borg2: l.flawed || l.config.Programs.Borg2 != "", users: l.users, protected: l.protected}
}

// gather makes the configuration's clients of the files.
func (l *loader) gather() {
	l.config.Clients = make([]registry.Client, len(l.files))
	for i, f := range l.files {
		l.config.Clients[i] = *f.client
		f.client = &l.config.Clients[i] // one is enough
	}
}

// client returns the file of a client, as it is known or as it is read now, or nil
// where it cannot be read.
func (l *loader) client(path string, h host) *clientFile {
	if path == l.added {
		return l.addedClient(h)
	}
	at, there := stampOf(path)
	known, ok := l.known[path]
	if ok && there && known.stamp == at && known.settled {
		l.read[path] = known
		return known.file
	}
	faults := len(l.report.problems)
	data, readable := l.guard.read(path)
	if !readable {
		return nil
	}
	now := &reading{stamp: at, settled: at.settledAt(l.now()), sum: sha256.Sum256(data)}
	if ok && known.sum == now.sum && len(l.report.problems) == faults {
		now.file = known.file
		l.read[path] = now
		return now.file
	}
	l.fresh++
	s, ok := newSource(path, data, l.report)
	if !ok {
		return nil
	}
	now.file = readClient(s, h)
	if there && len(l.report.problems) == faults {
		now.file.settle()
		now.file = l.kept(path, now)
		l.read[path] = now
	}
	return now.file
}

func (l *loader) addedClient(h host) *clientFile {
	if len(l.addedData) > maxFile {
		l.report.tooLarge(l.added)
		return nil
	}
	if s, ok := newSource(l.added, l.addedData, l.report); ok {
		return readClient(s, h)
	}
	return nil
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
func (l *loader) conflicts() {
	set, err := registry.Share(l.config.Clients)
	l.config.set = set
	var found registry.Conflicts
	if !errors.As(err, &found) {
		return
	}
	for _, c := range found {
		first, second := l.files[c.First.Client], l.files[c.Second.Client]
		second.recall(l.report)
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

// sum returns one hash of all files, which changes with any content or path.
func (l *loader) sum() string {
	all := sha256.New()
	add := func(path string, sum [sha256.Size]byte) {
		all.Write(sum[:])
		all.Write([]byte(path + "\n"))
	}
	for _, path := range slices.Sorted(maps.Keys(l.hash)) {
		add(path, l.hash[path])
	}
	for _, f := range l.files {
		if r := l.read[f.name]; r != nil { // not so for one that is being added
			add(f.name, r.sum)
		}
	}
	return hex.EncodeToString(all.Sum(nil))
}
