package gateway_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"postern/policy"
	"postern/registry"
)

// tool skips a test that needs a program which is not here.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// remoteShell is the value of rsync's -e and borg's --rsh for the gateway.
func (w *world) remoteShell(key string) string {
	w.t.Helper()
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	known := filepath.Join(w.t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, fmt.Appendf(nil, "[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(w.host)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return "ssh -F none -o BatchMode=yes -o IdentityAgent=none -o IdentitiesOnly=yes -p " + port + " -i " + key + " -o UserKnownHostsFile=" + known
}

// command runs a client and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

func TestRealRsync(t *testing.T) {
	rsync := tool(t, "rsync")
	private := newPrivate(t)
	w := serve(t, rsync, with(registry.Client{Name: "real", Keys: []registry.Key{{Public: signer(t, private).PublicKey()}}}), rule("real"))
	shell := w.remoteShell(keyFile(t, private))
	source, back := realTempDir(t), realTempDir(t)
	data := bytes.Repeat([]byte("\x00\xff data\n"), 300_000)
	for _, name := range []string{"plain", "with blank", "with\nnewline", "with 'quote", "$(id)", "-dash", "not\xffUTF-8"} {
		if err := os.WriteFile(filepath.Join(source, name), data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, option := range []string{"-az", "-azs", "-a"} {
		command(t, rsync, option, "--delete", "-e", shell, source+"/", "backup@127.0.0.1:"+w.data+"/to/")
		command(t, rsync, option, "--delete", "-e", shell, "backup@127.0.0.1:"+w.data+"/to/", back+"/")
		if out := command(t, rsync, "-anci", "--delete", source+"/", back+"/"); out != "" {
			t.Errorf("%s: what came back differs: %s", option, out)
		}
	}
	w.stop()
	for _, ended := range w.waitFor("session ended", 6) {
		if ended["status"] != 0. || ended["in"] == 0. || ended["out"] == 0. {
			t.Errorf("recorded %v", ended)
		}
	}
}

func TestRealBorg(t *testing.T) {
	borg := tool(t, "borg")
	t.Setenv("BORG_BASE_DIR", t.TempDir())
	t.Setenv("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
	private := newPrivate(t)
	w := serve(t, "/bin/false", func(w *world, all *clients) {
		w.config.Host.Borg = policy.Program{Path: borg, Version: "1.2.4"}
		*all = append(*all, registry.Client{Name: "real", Keys: []registry.Key{{Public: signer(t, private).PublicKey()}}, Rules: []policy.Rule{
			{Tool: policy.Borg, Path: w.data, Access: policy.ReadWrite, RunAs: runAsMe(), Where: "real.yaml:2"},
		}})
	})
	shell := w.remoteShell(keyFile(t, private))
	repository := "ssh://backup@127.0.0.1" + w.data + "/repo"
	source := realTempDir(t)
	if err := os.WriteFile(filepath.Join(source, "file"), bytes.Repeat([]byte("data"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, borg, "--rsh", shell, "init", "-e", "none", repository)
	command(t, borg, "--rsh", shell, "create", repository+"::one", source)
	if out := command(t, borg, "--rsh", shell, "list", "--short", repository); out != "one\n" {
		t.Errorf("listed %q", out)
	}
	command(t, borg, "--rsh", shell, "check", repository)
	if _, err := os.Stat(filepath.Join(w.data, "repo", "lock.exclusive")); err == nil {
		t.Error("a lock is left")
	}
	if out := command(t, "sh", "-c", shell+` backup@127.0.0.1 borg --version`); !strings.HasPrefix(out, "borg 1.2.4") {
		t.Errorf("a probe is answered %q", out)
	}
}

// The host key may be of RSA, and signs with SHA-2.
func TestRSAHostKey(t *testing.T) {
	private := newPrivate(t)
	w := serve(t, "/bin/true", with(registry.Client{Name: "real", Keys: []registry.Key{{Public: signer(t, private).PublicKey()}}}), func(w *world, _ *clients) {
		long, err := rsa.GenerateKey(rand.Reader, 3072)
		if err != nil {
			t.Fatal(err)
		}
		host := signer(t, long)
		w.config.HostKeys = []ssh.Signer{host}
		w.host = host.PublicKey()
	})
	for _, algorithm := range []string{"rsa-sha2-256", "rsa-sha2-512"} {
		if out, complaints, _ := w.openssh("-o", "HostKeyAlgorithms="+algorithm, "-i", keyFile(t, private), "127.0.0.1"); !strings.HasPrefix(out, "You are") {
			t.Errorf("%s: %s", algorithm, complaints)
		}
	}
	if _, complaints, status := w.openssh("-o", "HostKeyAlgorithms=ssh-rsa", "-i", keyFile(t, private), "127.0.0.1"); status != 255 || !strings.Contains(complaints, "no matching host key type") {
		t.Errorf("SHA-1: %d, %s", status, complaints)
	}
}
