package gateway

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"postern/policy"
)

func TestOwnerOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give folders away")
	}
	for name, test := range map[string]struct {
		uid, gid int
		want     policy.User
	}{
		"a user of this host has its own group":     {1, 0, policy.User{UID: 1, GID: 1}},
		"one without a name has that of the folder": {54321, 100, policy.User{UID: 54321, GID: 100}},
		"root": {0, 0, policy.User{}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.Chown(folder, test.uid, test.gid); err != nil {
				t.Fatal(err)
			}
			if got, ok := (tree{}).Owner(folder); got != test.want || !ok {
				t.Errorf("%s, %v, want %s", got, ok, test.want)
			}
		})
	}
	if _, ok := (tree{}).Owner("/nonexistent/folder"); ok {
		t.Error("what does not exist has an owner")
	}
}

func TestFree(t *testing.T) {
	folder := t.TempDir()
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		t.Fatal(err)
	}
	total := int64(stat.Blocks) * stat.Bsize
	if got, ok := (tree{}).Free(folder); !ok || got <= 0 || got > total {
		t.Errorf("%d of %d, %v", got, total, ok)
	}
	if _, ok := (tree{}).Free("/nonexistent/folder"); ok {
		t.Error("what does not exist has room")
	}
}

// The links of the plant that lead out are found one by one, and those that stay
// inside are left alone.
func TestStrayLink(t *testing.T) {
	root := filepath.Join(plant(t), "k1")
	for range 100 {
		link := (tree{}).StrayLink(root)
		if link == "" {
			break
		}
		if !(tree{}).Escapes(root, link, true) {
			t.Errorf("%s does not lead out", link)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	for _, inside := range []string{"in", "in-abs", "in-round", "to-file", "gone"} {
		if _, err := os.Lstat(filepath.Join(root, inside)); err != nil {
			t.Errorf("%s counts as a link that leads out", inside)
		}
	}
	for _, outside := range []string{"out", "sub/up2", "chain2", "proc-root"} {
		if _, err := os.Lstat(filepath.Join(root, outside)); err == nil {
			t.Errorf("%s counts as a link that stays", outside)
		}
	}
}

// A link that a client pushed under --munge-links leads nowhere.
func TestStrayLinkThatWasMunged(t *testing.T) {
	root := realFolder(t)
	if err := os.Symlink("/rsyncd-munged/../../etc", filepath.Join(root, "munged")); err != nil {
		t.Fatal(err)
	}
	if link := (tree{}).StrayLink(root); link != "" {
		t.Errorf("%s leads out", link)
	}
}
