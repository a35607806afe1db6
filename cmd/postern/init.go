package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/configs"
)

// initialised is the result of postern init.
type initialised struct {
	Config      string   `json:"config"`
	State       string   `json:"state"`
	Listen      []string `json:"listen"`
	HostKey     string   `json:"host_key"`
	Fingerprint string   `json:"fingerprint"`
	// KnownHosts is the public host key, as it stands in a known_hosts file
	// behind the host's name.
	KnownHosts string   `json:"known_hosts"`
	Created    []string `json:"created"`
}

func newInit(a *app) *cobra.Command {
	var listen []string
	var state string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration, a host key and the state folder",
		Long: `Init writes the configuration with every key and its meaning, a folder for the
clients' files, the state folder, and an ed25519 host key in it. It overwrites
nothing: where one of them exists it does nothing at all.`,
		Example: `  postern init
  postern init --config ./gateway/postern.yaml --state ./gateway/state --listen 127.0.0.1:2222`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error {
			absolute, err := filepath.Abs(state)
			if err != nil {
				return err
			}
			return a.init(listen, absolute)
		}),
	}
	cmd.Flags().StringSliceVar(&listen, "listen", []string{configs.DefaultListen}, "the `address` to listen on; may be repeated")
	cmd.Flags().StringVar(&state, "state", configs.DefaultState, "the `folder` of the gateway's state")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) init(listen []string, state string) error {
	path, err := filepath.Abs(a.config)
	if err != nil {
		return err
	}
	keyFile := filepath.Join(state, hostKeyName)
	for _, existing := range []string{path, keyFile, keyFile + ".pub"} {
		if _, err := os.Lstat(existing); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already, and init overwrites nothing; name another place with --config and --state, or remove it yourself", existing)
		}
	}
	made := &undo{}
	created, err := configs.Init(path, listen, state)
	made.add(created...)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; run it as root, or name places of your own with --config and --state", err)
	}
	if err != nil {
		return made.after(err)
	}
	if err := checkStateFolder(state); err != nil {
		return made.after(err)
	}
	key, err := writeHostKey(keyFile, "postern host key")
	made.addExisting(keyFile, keyFile+".pub")
	if err == nil {
		err = noteInit(path, state)
	}
	if err != nil {
		return made.after(err)
	}
	result := initialised{
		Config: path, State: state, Listen: listen, HostKey: keyFile,
		Fingerprint: ssh.FingerprintSHA256(key),
		KnownHosts:  strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))),
		Created:     made.paths,
	}
	if err := a.result(result, result.print); err != nil {
		return err
	}
	if !a.json {
		a.nextSteps()
	}
	return nil
}

// noteInit has the trail begin with who made the gateway.
func noteInit(path, state string) error {
	note, err := announce(state, audit.Change{Command: "init", File: path})
	if err != nil {
		return err
	}
	return note.Done(nil)
}

func (r initialised) print(w io.Writer) {
	rows := make([][]string, 0, len(r.Created)+2)
	for _, path := range r.Created {
		rows = append(rows, []string{"created", path})
	}
	table(w, append(rows, []string{"fingerprint", r.Fingerprint}, []string{"host key", r.KnownHosts}))
}

// nextSteps tells what to type next, with the flags that it takes.
func (a *app) nextSteps() {
	postern := "postern"
	if a.config != configs.DefaultPath {
		postern += " --config " + shellWord(a.config)
	}
	a.hint("")
	a.hint("Next:")
	a.hint("  %s client add laptop --key laptop.pub --rsync /path/to/backups/laptop", postern)
	a.hint("  %s check", postern)
	a.hint("  %s serve", postern)
	a.hint("A client that connects for the first time is shown the fingerprint: compare it with the one above.")
}

// undo remembers what a command made, so that a failure leaves no trace.
type undo struct{ paths []string }

func (u *undo) add(paths ...string) { u.paths = append(u.paths, paths...) }

// addExisting adds those that are there.
func (u *undo) addExisting(paths ...string) {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			u.add(path)
		}
	}
}

// after removes everything again, the newest first, and returns the error. A
// folder into which somebody else put something stays.
func (u *undo) after(err error) error {
	for _, path := range slices.Backward(u.paths) {
		if removal := os.Remove(path); removal != nil {
			err = errors.Join(err, removal)
		}
	}
	return err
}
