package sandbox_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/sandbox"
)

const (
	// logVerb is a program that writes its input to its log.
	logVerb = "log"
	// logWord stands for the path of a log that the gateway chooses.
	logWord = "LOG"
)

// scribble opens its log twice: as rsync does, and once more.
func scribble(path string) int {
	var err error
	for range 2 {
		var log *os.File
		if log, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
			break
		}
		if _, err = io.Copy(log, os.Stdin); err != nil {
			break
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestLog wants what a child writes to its log, to the last byte, and an end of
// it when the child has ended, whether that wrote or not.
func TestLog(t *testing.T) {
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	for _, s := range starters() {
		for _, level := range []sandbox.Level{sandbox.None, sandbox.Landlock, sandbox.Namespaces, sandbox.Full} {
			t.Run(s.name+"/"+level.String(), func(t *testing.T) {
				t.Parallel()
				o := s.order(t, base, level)
				o.Program = filepath.Join(base, "program")
				o.Log, o.Args = logWord, []string{o.Program, logVerb, logWord}
				for _, text := range []string{"", "a\n", strings.Repeat("more than a pipe holds\n", 10_000)} {
					if got := string(s.gatewayRuns(t, base, o, strings.NewReader(text))); got != text {
						t.Errorf("the log has %d bytes, want %d: %.100q", len(got), len(text), got)
					}
				}
			})
		}
	}
}
