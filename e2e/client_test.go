package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// client is one file of clients.d, and one Host of ssh_config.
type client struct {
	name   string
	keys   []string // names below keys/
	fields []string // lines of the client file, but keys and rules
	login  string
	rules  []rule
}

// rule is one permission as the client file spells it.
type rule struct {
	tool, path string
	options    []string // key=value
}

func (c *client) user() string {
	if c.login != "" {
		return c.login
	}
	return login
}

// home is where relative paths of the tool begin: its first rule's path.
func (c *client) home(tool string) string {
	for _, r := range c.rules {
		if r.tool == tool {
			return r.path
		}
	}
	return "/nonexistent"
}

// addClient reads "NAME [key=A,B] [FIELD=VALUE...] RULE..." where RULE is
// rsync:PATH[,option=value...] or borg:PATH[,...], makes the keys that are not there
// yet, and remembers the client until the server starts. The option owner=UID is
// the script's own: it gives the folder to that user.
func (w *world) addClient(args ...string) (*client, error) {
	if len(args) == 0 {
		return nil, errors.New("usage: client NAME [key=A,B] [FIELD=VALUE...] RULE")
	}
	c := &client{name: args[0], keys: []string{args[0]}}
	for _, arg := range args[1:] {
		tool, rest, isRule := strings.Cut(arg, ":")
		field, value, _ := strings.Cut(arg, "=")
		switch {
		case isRule && (tool == "rsync" || tool == "borg"):
			parts := strings.Split(rest, ",")
			c.rules = append(c.rules, rule{tool: tool, path: w.path(parts[0]), options: parts[1:]})
		case field == "key":
			c.keys = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		case field == "login":
			c.login = value
			c.fields = append(c.fields, "login: "+value)
		case value != "":
			c.fields = append(c.fields, field+": "+value)
		default:
			return nil, fmt.Errorf("client %s: what is %q?", c.name, arg)
		}
	}
	for _, key := range c.keys {
		if err := w.makeKey(key, "ed25519"); err != nil {
			return nil, err
		}
	}
	w.clients = append(w.clients, c)
	return c, nil
}

// makeFolders makes the folders of the rules: both tools want them there.
func (w *world) makeFolders(c *client) error {
	for _, r := range c.rules {
		if err := os.MkdirAll(w.seenByServer(r.path), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// seenByServer returns where a path of the server lies for us: a folder that
// only the server sees at path is somewhere else.
func (w *world) seenByServer(path string) string {
	for _, pair := range w.folders {
		at, folder, _ := strings.Cut(pair, "=")
		if rest, ok := strings.CutPrefix(path, at); ok && (rest == "" || rest[0] == '/') {
			return folder + rest
		}
	}
	return path
}

// makeKey makes keys/NAME with ssh-keygen, unless it exists. The kind is a type
// with an optional size, such as rsa:3072.
func (w *world) makeKey(name, kind string) error {
	file := w.path("keys/" + name)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	typ, bits, _ := strings.Cut(kind, ":")
	args := []string{"-q", "-N", "", "-t", typ, "-C", name + "@e2e", "-f", file}
	if bits != "" {
		args = append(args, "-b", bits)
	}
	if out, err := exec.Command(w.tools["ssh-keygen"], args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen %s: %w: %s", kind, err, out)
	}
	return nil
}

// publicKey returns the line of keys/NAME.pub.
func (w *world) publicKey(name string) (string, error) {
	line, err := os.ReadFile(w.path("keys/" + name + ".pub"))
	return strings.TrimSpace(string(line)), err
}

// yaml returns the client's file, as a person would write it.
func (c *client) yaml(w *world) (string, error) {
	var b strings.Builder
	if len(c.keys) > 0 {
		b.WriteString("keys:\n")
	}
	for _, name := range c.keys {
		line, err := w.publicKey(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "  - %s\n", line)
	}
	for _, field := range c.fields {
		fmt.Fprintln(&b, field)
	}
	if len(c.rules) == 0 {
		b.WriteString("allow: []\n")
		return b.String(), nil
	}
	b.WriteString("allow:\n")
	for _, r := range c.rules {
		fmt.Fprintf(&b, "  - %s: %q\n", r.tool, r.path)
		for _, option := range w.written(r) {
			key, value, _ := strings.Cut(option, "=")
			fmt.Fprintf(&b, "    %s: %s\n", key, value)
		}
	}
	return b.String(), nil
}

// writeClients writes every client's file into the folder.
func (w *world) writeClients(folder string) error {
	for _, c := range w.clients {
		text, err := c.yaml(w)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, c.name+".yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func splitAddress(address string) (host, port string, err error) { return net.SplitHostPort(address) }
