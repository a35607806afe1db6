package configs

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"golang.org/x/crypto/ssh"

	"postern/internal/listening"
)

// maxSessions bounds the sessions of one connection. Each is a process or two;
// more of them on one connection than this is a mistake.
const maxSessions = 1000

// gatewayFile is the gateway's own file as it is read.
type gatewayFile struct {
	*source
	config *Config
	// aliases are the words that were taken already, and their programs.
	aliases map[string]string
}

// readGateway reads the gateway's own file, which is at the absolute path. The
// result is only whole where there was nothing to complain about.
func readGateway(s *source) *gatewayFile {
	g := &gatewayFile{source: s, config: defaults(s.name), aliases: map[string]string{}}
	root := s.parse()
	if root == nil {
		g.config.ClientsDir = "" // it might be another
		return g
	}
	s.mapping(root, fields{
		"listen":       g.listen,
		"state":        func(n ast.Node) { g.place(n, "state", &g.config.State) },
		"clients":      func(n ast.Node) { g.place(n, "clients", &g.config.ClientsDir) },
		"host_keys":    g.hostKeys,
		"programs":     g.programs,
		"aliases":      g.aliasLists,
		"audit":        g.audit,
		"certificates": g.certificates,
		"sandbox":      g.sandbox,
		"connection":   g.connection,
		"drain":        g.drain,
		"log":          g.log,
	}, map[string]string{
		"keys":        "put clients in files of their own, in the folder that clients names",
		"allow":       "put clients in files of their own, in the folder that clients names",
		"confinement": "write it below sandbox: sandbox: {require: LEVEL}",
	})
	if !has(root, "state") {
		s.fault(mark{}, "add a line such as state: "+DefaultState, "the key \"state\" is missing")
	}
	if g.config.State != "" {
		g.config.HostKeys = slices.Insert(g.config.HostKeys, 0, filepath.Join(g.config.State, hostKey))
	}
	return g
}

func defaults(path string) *Config {
	return &Config{
		Path:                  path,
		Listen:                []string{DefaultListen},
		ClientsDir:            filepath.Join(filepath.Dir(path), DefaultClients),
		Programs:              Programs{Aliases: map[string][]string{}},
		SessionsPerConnection: DefaultSessions,
		Idle:                  DefaultIdle,
		Door:                  defaultDoor(),
		Drain:                 DefaultDrain,
		LogLevel:              DefaultLogLevel,
		Audit:                 Audit{Files: filesAll, Keep: defaultKeep},
	}
}

func (g *gatewayFile) listen(n ast.Node) {
	g.config.Listen = nil
	g.words(n, "listen", "name an address, or remove the key for the default", func(at mark, address string) {
		var wrong *listening.Mistake
		_, err := listening.Parse(address)
		switch {
		case errors.As(err, &wrong):
			g.fault(at, wrong.Remedy, "listen: %s", wrong.Message)
		case slices.Contains(g.config.Listen, address):
			g.fault(at, "remove one", "listen: %q occurs twice", address)
		}
		g.config.Listen = append(g.config.Listen, address)
	})
}

// place sets to to the path, which may be relative to the folder of the file, or
// to "" where it complains.
func (g *gatewayFile) place(n ast.Node, key string, to *string) {
	*to = ""
	path, ok := g.word(n, key)
	if !ok {
		return
	}
	if path = g.absolute(path); path == "/" {
		g.fault(markOf(n), "name a folder below it", "%s cannot be the root of the file system", key)
		return
	}
	*to = path
}

// absolute makes a path of the file absolute and clean.
func (g *gatewayFile) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(g.name), path)
}

func (g *gatewayFile) hostKeys(n ast.Node) {
	g.words(n, "host_keys", "", func(at mark, path string) {
		path = g.absolute(path)
		if slices.Contains(g.config.HostKeys, path) {
			g.fault(at, "remove one", "host_keys: %q occurs twice", path)
		}
		g.config.HostKeys = append(g.config.HostKeys, path)
	})
}

func (g *gatewayFile) programs(n ast.Node) {
	m, ok := g.child(n, "programs")
	if !ok {
		return
	}
	p := &g.config.Programs
	known := fields{}
	for name, to := range map[string]*string{"rsync": &p.Rsync, "borg": &p.Borg, "borg2": &p.Borg2} {
		known[name] = func(n ast.Node) { g.program(n, name, to) }
	}
	g.mapping(m, known, nil)
}

func (g *gatewayFile) program(n ast.Node, name string, to *string) {
	path, ok := g.word(n, "programs."+name)
	if !ok {
		return
	}
	if message, remedy := badPath(path); message != "" {
		g.fault(markOf(n), remedy, "programs.%s: %s", name, message)
		return
	}
	*to = path
}

func (g *gatewayFile) aliasLists(n ast.Node) {
	m, ok := g.child(n, "aliases")
	if !ok {
		return
	}
	known := fields{}
	for _, name := range []string{"rsync", "borg", "borg2"} {
		known[name] = func(n ast.Node) {
			g.words(n, "aliases."+name, "", func(at mark, word string) { g.alias(at, name, word) })
		}
	}
	g.mapping(m, known, nil)
}

// alias adds one name by which clients call a program. It is compared with the
// first word of a command, so it is one word.
func (g *gatewayFile) alias(at mark, program, word string) {
	if message, remedy := badName(word); message != "" {
		g.fault(at, remedy, "aliases.%s: %s", program, message)
	}
	if holder, taken := g.aliases[word]; taken {
		g.fault(at, "keep one", "aliases.%s: %q is an alias of %s already", program, word, holder)
	}
	g.aliases[word] = program
	g.config.Programs.Aliases[program] = append(g.config.Programs.Aliases[program], word)
}

func (g *gatewayFile) certificates(n ast.Node) {
	if m, ok := g.child(n, "certificates"); ok {
		g.mapping(m, fields{
			"authorities": g.authorities,
			"revoked": func(n ast.Node) {
				if path, ok := g.word(n, "certificates.revoked"); ok {
					g.config.revokedFile = g.absolute(path)
				}
			},
		}, nil)
	}
}

func (g *gatewayFile) authorities(n ast.Node) {
	seen := map[string]bool{}
	g.words(n, "certificates.authorities", "", func(at mark, line string) {
		key, faults := parseKey(line)
		if key.NoTouchRequired {
			faults = append(faults, faultf("remove it", "key of a CA has the option \"no-touch-required\""))
		}
		for _, f := range faults {
			g.fault(at, f.remedy, "%s", f.message)
		}
		if len(faults) > 0 {
			return
		}
		if blob := string(key.Public.Marshal()); seen[blob] {
			g.fault(at, "remove one", "the key %s occurs twice", ssh.FingerprintSHA256(key.Public))
		} else {
			seen[blob] = true
		}
		g.config.Authorities = append(g.config.Authorities, key.Public)
	})
}

func (g *gatewayFile) log(n ast.Node) {
	if m, ok := g.child(n, "log"); ok {
		g.mapping(m, fields{"level": func(n ast.Node) {
			if level, ok := g.choice(n, "log.level", []string{"debug", "info", "warn", "error"}); ok {
				g.config.LogLevel = level
			}
		}}, nil)
	}
}

// programFiles returns the programs that the file names.
func (p Programs) programFiles() []string {
	named := map[string]bool{p.Rsync: true, p.Borg: true, p.Borg2: true}
	delete(named, "")
	return slices.Sorted(maps.Keys(named))
}
