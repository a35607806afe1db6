package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/audit"
)

func newAuditVerify(a *app, s *search) *cobra.Command {
	var keyFile string
	var checkpoints []string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find out whether anybody has changed the trail",
		Long: `Verify reads every record and holds it against the hash that the next one carries,
against the signatures of the gateway, and against checkpoints that you kept
elsewhere. It names the first record that was changed, removed, put in or cut off;
or an index that is not that of its file, and could hide records from readers.

With --dir it works on a copy, with --key on another machine: all it takes is the
files and the public key (audit/key.pub.pem in the gateway's state), which you had
better keep elsewhere from the start. The exit status is 1 when something is wrong.`,
		Example: `  postern audit verify
  postern audit verify --dir /mnt/copy --key postern-key.pub.pem --checkpoint last-month.json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error { return a.auditVerify(*s, keyFile, checkpoints) }),
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "the public key in this `file` instead of the one beside the trail")
	cmd.Flags().StringSliceVar(&checkpoints, "checkpoint", nil, "a `file` with a checkpoint that was kept elsewhere; may be repeated")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) auditVerify(s search, keyFile string, checkpoints []string) error {
	dir, err := a.folder(s)
	if err != nil {
		return err
	}
	if keyFile == "" {
		keyFile = audit.PublicKeyFile(dir)
	}
	key, err := audit.PublicKey(keyFile)
	if err != nil {
		return noTrail(dir, err)
	}
	var known []audit.Checkpoint
	for _, path := range checkpoints {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c, err := audit.ParseCheckpoint(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		known = append(known, c)
	}
	verdict, err := audit.Verify(dir, key, known, a.verified())
	if err != nil {
		return noTrail(dir, err)
	}
	if err := a.result(verdict, func(w io.Writer) { printVerdict(w, verdict) }); err != nil {
		return err
	}
	if verdict.Fault != nil {
		return errNo
	}
	return nil
}

// verified shows how far the verification is, to a person at a terminal.
func (a *app) verified() func(int64) {
	f, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func(bytes int64) { fmt.Fprintf(f, "\r%s\x1b[K", bytesOf(bytes)) }
}

func printVerdict(w io.Writer, v audit.Verdict) {
	rows := [][]string{
		{"files", fmt.Sprint(v.Files)},
		{"records", fmt.Sprintf("%d, from %d to %d", v.Records, v.First, v.Last)},
		{"signed", "nothing yet"},
	}
	if v.Signed > 0 {
		rows[2][1] = fmt.Sprintf("up to %d", v.Signed)
	}
	result := "nothing was changed, removed or put in"
	if v.Fault != nil {
		result = v.Fault.Error()
	}
	table(w, append(rows, []string{"result", result}))
}

func newAuditCheckpoint(a *app, s *search) *cobra.Command {
	return &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest signed checkpoint, to be kept elsewhere",
		Long: `Checkpoint prints the newest place in the trail that the gateway has signed. Keep it
on another machine: "audit verify --checkpoint" then notices a trail that was cut
off or rolled back as a whole, which nothing inside the trail can tell. The trail gets
a record of who took it, except with --dir.`,
		Example: "  postern audit checkpoint > checkpoint-$(date +%F).json",
		Args:    cobra.NoArgs,
		RunE:    run(func([]string) error { return a.auditCheckpoint(*s) }),
	}
}

func (a *app) auditCheckpoint(s search) error {
	dir, err := a.folder(s)
	if err != nil {
		return err
	}
	head, err := audit.Head(dir)
	if err != nil {
		return noTrail(dir, err)
	}
	a.json = true // it is JSON in any case: verify reads it back
	printed := func() error { return a.result(head, nil) }
	if s.dir != "" {
		return printed()
	}
	return noted(filepath.Dir(dir), audit.Change{Command: "audit checkpoint"}, printed)
}
