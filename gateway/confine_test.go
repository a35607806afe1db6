package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/sandbox"
)

// What a child tries that is past all checks of arguments: to read and to write
// beside its folder.
func TestChildIsHeldAsConfigured(t *testing.T) {
	most := sandbox.Probe("/proc/self/exe").Level
	for _, level := range []sandbox.Level{sandbox.None, sandbox.Namespaces, sandbox.Landlock, sandbox.Full} {
		t.Run(level.String(), func(t *testing.T) {
			if !most.Includes(level) {
				t.Skipf("this host gives %s, and the test needs %s", most, level)
			}
			outside := filepath.Join(realTempDir(t), "secret")
			if err := os.WriteFile(outside, []byte("secret\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			w := serve(t, script(t, `echo inside > mark; read a < mark; echo "$a"; read b < `+outside+`; echo "$b"; echo more >> `+outside+`; :`),
				func(w *world, _ *clients) { w.config.Confinement = level })
			out, _, _ := w.run(w.client(), w.push())
			if !strings.HasPrefix(out, "inside\n") {
				t.Errorf("the child cannot work in its folder: %q", out)
			}
			held := level != sandbox.None
			after, err := os.ReadFile(outside)
			if err != nil || held == strings.Contains(out, "secret") || held == strings.Contains(string(after), "more") {
				t.Errorf("read %q, and left %q, %v", out, after, err)
			}
			w.stop()
			if got := w.wait("session decided")["confinement"]; got != level.String() {
				t.Errorf("recorded %v", got)
			}
		})
	}
}

// A path that is not there when the child is started is no reason to start it
// anyway.
func TestChildThatCannotBeHeldDoesNotRun(t *testing.T) {
	w := serve(t, filepath.Join(t.TempDir(), "none"))
	_, complaints, status := w.run(w.client(), w.push())
	if status != 126 || !strings.HasPrefix(complaints, "postern: refused: ") {
		t.Errorf("status %d, %q", status, complaints)
	}
}
