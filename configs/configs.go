// Package configs reads the gateway's files, judges them, and writes them.
//
// [Load] reads postern.yaml, the revocation list that it names, and one file for
// each client. It accepts only what it understands completely, and reports
// everything that is wrong at once, as [Problems]. The commented samples
// postern.yaml and client.yaml in this folder are the reference.
//
// Nobody but root and the gateway may be able to change a file that is read
// here, or the folder that it is in. What files say about the host is compared
// with the host once, at load; nothing here watches it.
package configs

import (
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/registry"
)

// DefaultPath is where the gateway's own file is looked for.
const DefaultPath = "/etc/postern/postern.yaml"

// The defaults of keys that are absent.
const (
	DefaultListen   = ":2222"
	DefaultState    = "/var/lib/postern" // of init; the key itself is required
	DefaultClients  = "clients.d"
	DefaultSessions = 10 // as OpenSSH's MaxSessions
	DefaultIdle     = time.Minute
	DefaultLogLevel = "info"
	// DefaultDrain and the end of children that leave when their input ends fit
	// into the 10 seconds that containers get.
	DefaultDrain = 5 * time.Second
)

// Config is what the files say. Every path is absolute.
type Config struct {
	// Path is the gateway's own file.
	Path string
	// Listen are the addresses to listen on, at least one.
	Listen []string
	// State is the gateway's own folder; it may not exist yet.
	State string
	// ClientsDir is the folder with one file for each client.
	ClientsDir string
	// HostKeys are the files of all host keys, the ed25519 one in State first.
	HostKeys []string
	Programs Programs
	// Authorities are the keys whose user certificates are believed.
	Authorities []ssh.PublicKey
	// Revoked are the keys and certificates that are refused whatever else is
	// said; nil means none.
	Revoked *Revocations
	// LogLevel is debug, info, warn or error.
	LogLevel string
	// Sandbox is how the kernel must hold the children.
	Sandbox Sandbox
	// Audit is how long records are kept.
	Audit Audit
	// SessionsPerConnection is how many sessions one connection may run at
	// once, at least 1.
	SessionsPerConnection int
	// Idle is how long a peer may be silent, where its client has no time of its own
	// for that.
	Idle time.Duration
	// Door is which connections are served at all.
	Door Door
	// Proxies are the networks of proxies that send a header of the PROXY protocol.
	Proxies []netip.Prefix
	// Drain is how long sessions may go on when the gateway is told to stop; zero
	// ends them at once.
	Drain time.Duration
	// Clients are ordered by name. They are the set's too, and must not be changed.
	Clients []registry.Client
	// Hash names the content of all files, as hexadecimal SHA-256.
	Hash string

	// set is of Clients.
	set *registry.Set
	// revokedFile is the file of the revocation list, "" for none.
	revokedFile string
	// uid is the user beside root whose files were accepted.
	uid int
}

// Set returns the clients, indexed.
func (c *Config) Set() *registry.Set { return c.set }

// WithoutClients returns a copy for whom the rest is enough, and who keeps it for long.
func (c *Config) WithoutClients() *Config {
	rest := *c
	rest.Clients, rest.set = nil, nil
	return &rest
}

// Folders returns the folders that the files are in.
func (c *Config) Folders() []string {
	folders := []string{filepath.Dir(c.Path), c.ClientsDir}
	if c.revokedFile != "" {
		folders = append(folders, filepath.Dir(c.revokedFile))
	}
	return slices.Compact(slices.Sorted(slices.Values(folders)))
}

// Programs are the binaries that the gateway may start.
type Programs struct {
	// Rsync, Borg and Borg2 are absolute paths. Empty means: the first of the
	// name in [ProgramFolders].
	Rsync, Borg, Borg2 string
	// Aliases are, by "rsync", "borg" and "borg2", further names by which
	// clients call the program.
	Aliases map[string][]string
}

// hostKey is the file of the host key that is always there.
const hostKey = "ssh_host_ed25519_key"

// ClientFile returns the file of the client of that name, whether or not there
// is one.
func (c *Config) ClientFile(name string) string {
	return filepath.Join(c.ClientsDir, name+clientSuffix)
}
