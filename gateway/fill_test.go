package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postern/gateway"
	"postern/policy"
	"postern/registry"
)

// holding lets the first rule's folder hold so many bytes.
func holding(bytes int64) func(*world, *clients) {
	return func(_ *world, all *clients) { (*all)[0].Rules[0].Quota = policy.LimitOf(bytes) }
}

// put puts a file of so many MiB into the folder of the laptop.
func (w *world) put(name string, mib int) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.data, name), make([]byte, mib<<20), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// A folder that holds too much takes nothing in, and says how to make room.
func TestFullFolder(t *testing.T) {
	w := serve(t, script(t, `touch "$PWD/ran"`), holding(1<<20), func(w *world, _ *clients) { w.put("large", 2) })
	_, said, status := w.run(w.client(), w.push())
	if status != policy.ExitRefused || !strings.HasPrefix(said, "postern: refused: "+w.data+" holds 2.0 MiB, and its quota is 1.0 MiB; delete there first") ||
		!strings.Contains(said, "--delete --existing --ignore-existing") {
		t.Errorf("status %d, %q", status, said)
	}
	if d := w.wait("session decided"); d["verdict"] != "deny" || d["code"] != "quota" || d["detail"] != "the limit stands in laptop.yaml:3" {
		t.Errorf("recorded %v", d)
	}
	if _, err := os.Stat(filepath.Join(w.data, "ran")); err == nil {
		t.Error("it was started")
	}
	request, _ := policy.Parse(w.push())
	client, _ := w.config.Clients.Load().Client("laptop")
	if d := gateway.Decide(t.Context(), client, w.config.Host, request); d.Verdict != policy.Deny || d.Refusal.Code != "quota" {
		t.Errorf("explained as %+v", d)
	}
	if err := os.Remove(filepath.Join(w.data, "large")); err != nil {
		t.Fatal(err)
	}
	if d := gateway.Decide(t.Context(), client, w.config.Host, request); d.Verdict != policy.Allow {
		t.Errorf("explained as %+v", d)
	}
	if _, said, status := w.run(w.client(), w.push()); status != 0 {
		t.Errorf("with room: status %d, %q", status, said)
	}
}

// What asks for deletions alone is let in, and the kernel lets it store nothing.
func TestMakingRoom(t *testing.T) {
	w := serve(t, script(t, `trap '' XFSZ; cd `+"\"$PWD\""+`; rm large; mkdir made; echo data > made/data 2> /dev/null; stat -c %s made/data`),
		holding(1<<20), func(w *world, _ *clients) { w.put("large", 2) })
	out, said, status := w.run(w.client(), strings.Replace(w.push(), " . ", " --delete --existing --ignore-existing . ", 1))
	if out != "0\n" || status != 0 {
		t.Errorf("status %d, %q, %q", status, out, said)
	}
	if _, err := os.Stat(filepath.Join(w.data, "large")); err == nil {
		t.Error("nothing was deleted")
	}
}

// fills writes so many MiB, and waits for its end, which it does not take at once.
const fills = `trap 'rm -f "$PWD/part"; exit 20' TERM; head -c 3145728 /dev/zero > "$PWD/part"; echo started; while :; do sleep 0.1; done`

// A session that fills its folder is ended with the reason, and cleans up.
func TestFillingUp(t *testing.T) {
	w := serve(t, script(t, fills), holding(2<<20), func(w *world, _ *clients) { w.config.KillGrace = patience })
	s := w.running(w.key)
	status, _ := s.ends(t)
	if said := s.complaints.String(); status != 20 || !strings.HasPrefix(said, "postern: ended: "+w.data+" holds 3.0 MiB, and its quota is 2.0 MiB; delete there first") {
		t.Errorf("status %d, %q", status, said)
	}
	if ended := w.wait("session ended"); ended["code"] != "quota" || ended["status"] != 20. || !strings.Contains(fmt.Sprint(ended["why"]), "its quota is 2.0 MiB") {
		t.Errorf("recorded %v", ended)
	}
	if _, err := os.Stat(filepath.Join(w.data, "part")); err == nil {
		t.Error("the child had no time to clean up")
	}
}

// A rule that comes to say less ends what is over it, by whoever that was filled, and
// nothing else; one that says more ends nothing.
func TestQuotaChangesMeanwhile(t *testing.T) {
	w := serve(t, script(t, waits), func(w *world, _ *clients) { w.put("large", 2) })
	s := w.running(w.key)
	change := func(f func(*policy.Rule)) registry.Client {
		now := w.laptop()
		f(&now.Rules[0])
		w.replace(now)
		return now
	}
	change(func(r *policy.Rule) { r.Quota, r.MaxFiles = policy.LimitOf(3<<20), policy.LimitOf(1) })
	change(func(r *policy.Rule) { r.Quota, r.OneWriter = policy.LimitOf(4<<20), true })
	change(func(r *policy.Rule) { r.MinFree = policy.LimitOf(1) })
	s.finishes(t)
	s = w.running(w.key)
	change(func(r *policy.Rule) { r.MaxFiles = policy.LimitOf(1) })
	w.put("second", 0)
	status, _ := s.ends(t)
	if said := s.complaints.String(); status == 0 || !strings.HasPrefix(said, "postern: ended: "+w.data+" holds 2 files and folders, and at most 1 are allowed") {
		t.Errorf("status %d, %q", status, said)
	}
	if ended := w.waitFor("session ended", 2)[1]; ended["code"] != "max-files" {
		t.Errorf("recorded %v", ended)
	}
}

// A disk that gets full ends what fills it, whoever else did that.
func TestFloorMeanwhile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	w := serve(t, script(t, fills), func(w *world, all *clients) {
		if err := unix.Mount("tmpfs", w.data, "tmpfs", 0, "size=16m"); err != nil {
			t.Skipf("cannot mount here: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(w.data, unix.MNT_DETACH) })
		(*all)[0].Rules[0].MinFree = policy.LimitOf(14 << 20)
		w.config.KillGrace = patience
	})
	s := w.running(w.key)
	status, _ := s.ends(t)
	if said := s.complaints.String(); status != 20 || !strings.HasPrefix(said, "postern: ended: "+w.data+" has 13 MiB free, and backups must leave 14 MiB (min_free)") {
		t.Errorf("status %d, %q", status, said)
	}
	if ended := w.wait("session ended"); ended["code"] != "min-free" {
		t.Errorf("recorded %v", ended)
	}
}
