package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/configs"
	"postern/gateway"
	"postern/policy"
)

// addFlags are the flags of postern client add.
type addFlags struct {
	keys, principals, from       []string
	login, expires               string
	rsync, borg                  []string
	access, quota                string
	sessions, bandwidth          string
	hours                        []string
	runAs, minFree               string
	maxFiles, wait               string
	oneWriter                    bool
	noDelete, noOverwrite        bool
	rooted, mungeLinks, appendTo bool
}

func newClientAdd(a *app) *cobra.Command {
	var f addFlags
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Register a client",
		Long: `Add writes the file of a new client, as you would by hand. It reads everything
once more with the new file and writes nothing where that would be an error.

--access, --no-delete and the like hold for every rule of the command; write the
file by hand where rules differ.`,
		Example: `  postern client add laptop --key laptop.pub --rsync /volume1/Backups/laptop
  postern client add www --key "ssh-ed25519 AAAA... www" --from 192.168.1.0/24 \
      --borg /volume1/Backups/www.borg --append-only --quota 500GiB
  postern client add camera --key camera.pub --rsync /volume1/camera --access write-only \
      --sessions 1 --bandwidth 10MiB/s --hours 22:00-06:00`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(args []string) error { return a.addClient(args[0], f) }),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "a public key: a .pub `file`, or the line in it; may be repeated")
	flags.StringArrayVar(&f.principals, "principal", nil, "a `name` in certificates that stands for the client; may be repeated")
	flags.StringVar(&f.login, "login", "", "the only login `name` under which the client is let in")
	flags.StringSliceVar(&f.from, "from", nil, "a `network` that the client may come from; may be repeated")
	flags.StringVar(&f.expires, "expires", "", "the last `day`, such as 2027-06-30, or an RFC 3339 instant")
	flags.StringArrayVar(&f.rsync, "rsync", nil, "allow rsync in this `folder`; may be repeated")
	flags.StringArrayVar(&f.borg, "borg", nil, "allow borg in this `folder`; may be repeated")
	flags.StringVar(&f.access, "access", "", "read-write, read-only or write-only (default read-write)")
	flags.StringVar(&f.runAs, "run-as", "", "the `user` that children run as: a name, a number, UID:GID or root (default: the folder's owner)")
	flags.StringVar(&f.minFree, "min-free", "", "let no session write below this `size` of free space, such as 20GiB")
	flags.BoolVar(&f.noDelete, "no-delete", false, "rsync may not delete")
	flags.BoolVar(&f.noOverwrite, "no-overwrite", false, "rsync may not change files that exist")
	flags.BoolVar(&f.rooted, "rooted", false, "for rsync, / means the rule's folder")
	flags.BoolVar(&f.mungeLinks, "munge-links", false, "rsync stores symbolic links so that they lead nowhere")
	flags.BoolVar(&f.appendTo, "append-only", false, "borg may add and not remove")
	flags.StringVar(&f.sessions, "sessions", "", "the `number` of sessions that the client runs at once at most")
	flags.StringVar(&f.bandwidth, "bandwidth", "", "the `rate` of the client's data each way at most, such as 50MiB/s")
	flags.StringArrayVar(&f.hours, "hours", nil, "when sessions may begin, such as 22:00-06:00 or \"mon-fri 22:00-06:00\"; `times` may be repeated")
	flags.StringVar(&f.quota, "quota", "", "the `size` that a folder of rsync may hold, or at which borg repositories stop growing, such as 500GiB")
	flags.StringVar(&f.maxFiles, "max-files", "", "the `number` of files and folders that a folder of rsync may hold")
	flags.BoolVar(&f.oneWriter, "one-writer", false, "let one session write at a time, in the folder, above it and below it")
	flags.StringVar(&f.wait, "wait", "", "how `long` a session waits for another that writes, such as 30m (default 10m)")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) addClient(name string, f addFlags) error {
	spec, err := f.spec(name)
	if err != nil {
		return err
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	path := c.ClientFile(name)
	err = noted(c.State, audit.Change{Command: "client add", Client: name, File: path}, func() error {
		_, err := configs.AddClient(c, spec)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("client %q exists: %s; choose another name, or edit the file", name, path)
	case err != nil:
		return err
	}
	if err := a.result(changed{name, path, "added"}, func(w io.Writer) { fmt.Fprintf(w, "added %s\n", path) }); err != nil {
		return err
	}
	if !a.json {
		a.howToUse(c, spec)
	}
	return nil
}

// spec turns the flags into a client. Flags that would hold for no rule are
// called wrongly.
func (f addFlags) spec(name string) (configs.ClientSpec, error) {
	spec := configs.ClientSpec{
		Name: name, Principals: f.principals, Login: f.login, From: f.from, Expires: f.expires,
		Bounds: configs.BoundsSpec{Sessions: f.sessions, In: f.bandwidth, Out: f.bandwidth, Hours: f.hours},
	}
	for _, flag := range []struct {
		set   bool
		name  string
		rules []string
		needs string
	}{
		{f.noDelete, "--no-delete", f.rsync, "--rsync"}, {f.noOverwrite, "--no-overwrite", f.rsync, "--rsync"},
		{f.rooted, "--rooted", f.rsync, "--rsync"}, {f.mungeLinks, "--munge-links", f.rsync, "--rsync"},
		{f.appendTo, "--append-only", f.borg, "--borg"}, {f.quota != "", "--quota", slices.Concat(f.rsync, f.borg), "--rsync or --borg"},
		{f.maxFiles != "", "--max-files", f.rsync, "--rsync"}, {f.oneWriter, "--one-writer", slices.Concat(f.rsync, f.borg), "--rsync or --borg"},
		{f.wait != "", "--wait", slices.Concat(f.rsync, f.borg), "--rsync or --borg"},
		{f.access != "", "--access", slices.Concat(f.rsync, f.borg), "--rsync or --borg"},
		{f.runAs != "", "--run-as", slices.Concat(f.rsync, f.borg), "--rsync or --borg"},
		{f.minFree != "", "--min-free", slices.Concat(f.rsync, f.borg), "--rsync or --borg"},
	} {
		if flag.set && len(flag.rules) == 0 {
			return spec, usagef("%s is about the rules of %s, and there is none", flag.name, flag.needs)
		}
	}
	for _, text := range f.keys {
		keys, err := keyLines(text)
		if err != nil {
			return spec, err
		}
		spec.Keys = append(spec.Keys, keys...)
	}
	if len(spec.Keys)+len(spec.Principals) == 0 {
		return spec, usagef("the client needs --key, or --principal where certificates are used")
	}
	for _, path := range f.rsync {
		spec.Rules = append(spec.Rules, configs.RuleSpec{
			Tool: policy.Rsync, Path: path, Access: f.access, RunAs: f.runAs, MinFree: f.minFree,
			Quota: f.quota, MaxFiles: f.maxFiles, OneWriter: f.oneWriter, Wait: f.wait,
			NoDelete: f.noDelete, NoOverwrite: f.noOverwrite, Rooted: f.rooted, MungeLinks: f.mungeLinks,
		})
	}
	for _, path := range f.borg {
		spec.Rules = append(spec.Rules, configs.RuleSpec{
			Tool: policy.Borg, Path: path, Access: f.access, AppendOnly: f.appendTo, Quota: f.quota,
			RunAs: f.runAs, MinFree: f.minFree, OneWriter: f.oneWriter, Wait: f.wait,
		})
	}
	return spec, nil
}

// maxPublicKeyFile is far above the size of any file of public keys that belong
// to one client.
const maxPublicKeyFile = 64 << 10

// keyLines returns the keys in a flag: the flag itself when it is a key, else the
// lines of the file that it names.
func keyLines(text string) ([]string, error) {
	if looksLikeKey(text) {
		return []string{text}, nil
	}
	content, err := readFirst(text, maxPublicKeyFile)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is neither a public key nor a file that can be read: %w", text, bare(err))
	case strings.Contains(content, "PRIVATE KEY"), strings.Contains(content, "PuTTY-User-Key-File"):
		return nil, fmt.Errorf("%q is a private key, which stays on the client; give its public half, such as %q", text, text+".pub")
	}
	var lines []string
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%q holds no key; give a .pub file", text)
	}
	return lines, nil
}

// looksLikeKey reports whether the text is a line of authorized_keys, not the
// name of a file.
func looksLikeKey(text string) bool {
	for _, mark := range []string{"ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"} {
		if strings.HasPrefix(text, mark) || strings.Contains(text, " "+mark) {
			return strings.Contains(text, " ")
		}
	}
	return false
}

// readFirst returns the content of a file up to a bound.
func readFirst(path string, bound int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, bound))
	return string(content), err
}

// howToUse tells what the client types.
func (a *app) howToUse(c *configs.Config, spec configs.ClientSpec) {
	login := spec.Login
	if login == "" {
		login = "backup"
	}
	_, port, err := net.SplitHostPort(c.Listen[0])
	if err != nil {
		port = "2222" // cannot happen: the configuration was checked
	}
	a.hint("")
	a.hint("On the client, with NAS for this host:")
	for _, r := range spec.Rules {
		switch {
		case r.Tool == policy.Borg:
			a.hint("  borg init -e repokey %s", shellWord("ssh://"+login+"@NAS:"+port+r.Path))
		case r.Access == policy.ReadOnly.String():
			a.hint("  rsync -a -e 'ssh -p %s' %s FOLDER/", port, shellWord(login+"@NAS:"+r.Path+"/"))
		default:
			a.hint("  rsync -a -e 'ssh -p %s' FOLDER/ %s", port, shellWord(login+"@NAS:"+r.Path+"/"))
		}
	}
	if len(spec.Rules) == 0 {
		a.hint("  nothing yet: the client has no rule. Add one under allow in its file.")
	}
	for _, r := range spec.Rules {
		if todo := folderCommand(r, os.Geteuid() == 0); todo != "" {
			a.hint("Before that, here: %s", todo)
		}
	}
	a.hint(takesEffect)
}

// folderCommand is what to type before the rule can serve anybody: its folder
// must be there, and not be root's where that decides whom children run as.
func folderCommand(r configs.RuleSpec, root bool) string {
	folder, owner := shellWord(r.Path), "USER:GROUP"
	if r.RunAs != "" {
		owner = r.RunAs
	}
	made := func(command string) string {
		if !root || r.RunAs == "root" {
			return command
		}
		return strings.TrimPrefix(command+" && chown "+owner+" "+folder, " && ")
	}
	has, err := gateway.OwnerOf(r.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return made("mkdir -p " + folder)
	case err == nil && r.RunAs == "" && (has.UID == 0 || has.GID == 0):
		return made("")
	}
	return ""
}

// bytesInWords returns a size as a person writes it, and exactly.
func bytesInWords(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
