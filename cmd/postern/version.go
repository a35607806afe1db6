package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what is known of how this binary was made. Empty means unknown.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Changed bool   `json:"changed,omitempty"`
	Time    string `json:"time,omitempty"`
	Go      string `json:"go"`
	Crypto  string `json:"x_crypto"`
}

// thisBuild reads what the Go linker wrote into the binary.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{Version: "unknown"}
	}
	b := build{Version: info.Main.Version, Go: info.GoVersion}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.modified":
			b.Changed = setting.Value == "true"
		case "vcs.time":
			b.Time = setting.Value
		}
	}
	for _, module := range info.Deps {
		if module.Path == "golang.org/x/crypto" {
			b.Crypto = module.Version
		}
	}
	return b
}

func (b build) print(w io.Writer) {
	rows := [][]string{{"postern", b.Version}}
	if b.Commit != "" {
		commit := b.Commit + " of " + b.Time
		if b.Changed {
			commit += ", with changes"
		}
		rows = append(rows, []string{"commit", commit})
	}
	table(w, append(rows, []string{"go", b.Go}, []string{"x/crypto", b.Crypto}))
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary and of what it is built with",
		Long: `Version prints the version of postern, the commit it was built from where
that is known, and the versions of Go and of the SSH library.`,
		Example: "  postern version --json",
		Args:    cobra.NoArgs,
		RunE: run(func([]string) error {
			b := thisBuild()
			return a.result(b, b.print)
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// String is the version in one word, for what clients and records see.
func (b build) String() string { return fmt.Sprintf("postern %s", b.Version) }
