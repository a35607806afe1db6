package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// activated has a command start as systemd starts a service, with these files.
func activated(t *testing.T, files ...*os.File) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		path, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = path
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.TrimSuffix(strings.Repeat("postern.socket:", len(files)), ":"))
		cmd.ExtraFiles = files
	}
}

// fileOf returns a file of a socket, which the test closes.
func fileOf(t *testing.T, of interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := of.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// listenTCP returns a socket of the test's own.
func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// nosyRsync gives a gateway an rsync that writes down what it is started with, and
// returns the file.
func nosyRsync(t *testing.T, config string) (seen string) {
	t.Helper()
	seen = filepath.Join(t.TempDir(), "seen")
	program := filepath.Join(filepath.Dir(config), "rsync")
	script := "#!/bin/sh\n{ env; ls -l /proc/self/fd; } >>" + seen + "\necho 'rsync  version 3.4.3  protocol version 32'\n"
	rest, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	rest = append(rest, "programs: {rsync: "+program+"}\n"...)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, rest, 0o600); err != nil {
		t.Fatal(err)
	}
	return seen
}

// A gateway that systemd hands sockets serves on these and on nothing else, and
// nothing that it starts learns of them.
func TestSocketsOfSystemd(t *testing.T) {
	config := newGatewayFolder(t)
	seen := nosyRsync(t, config)
	l := listenTCP(t)
	s := startServing(t, config, activated(t, fileOf(t, l)))
	if s.address != l.Addr().String() {
		t.Errorf("it serves on %s, not on %s", s.address, l.Addr())
	}
	if err := healthCheck(t, s.address).Run(); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
	s.end(t, syscall.SIGTERM)
	found, err := os.ReadFile(seen)
	if err != nil || strings.Contains(string(found), "LISTEN_") || strings.Contains(string(found), "socket:") {
		t.Errorf("rsync was started with\n%s\n%v", found, err)
	}
}

// What is no socket that listens for TCP is refused, by the name that systemd has.
func TestSocketsOfSystemdThatAreNone(t *testing.T) {
	config := newGatewayFolder(t)
	l := listenTCP(t)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	local, err := net.Listen("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	deaf := os.NewFile(uintptr(fd), "deaf")
	defer deaf.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, c := range map[string]struct {
		file *os.File
		want string
	}{
		"UDP":       {fileOf(t, packets.(*net.UDPConn)), "not for TCP; name a port"},
		"UNIX":      {fileOf(t, local.(*net.UnixListener)), "not for TCP; name a port"},
		"deaf":      {deaf, "does not listen; leave Accept= out"},
		"no socket": {null, "no socket (socket operation on non-socket)"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := postern(t, "serve", "--config", config)
			activated(t, fileOf(t, l), c.file)(cmd)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) || !strings.HasPrefix(string(out), `postern: systemd hands over "postern.socket", which `) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	cmd := postern(t, "serve", "--config", config, "--listen", "127.0.0.1:0")
	activated(t, fileOf(t, l))(cmd)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "leave --listen out") {
		t.Errorf("beside --listen: %v: %s", err, out)
	}
}

// Addresses of both families can be listened on side by side, and an interface by
// its name. Check tells beforehand what is not there.
func TestServeListensInMoreThanOneWay(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--listen", "lo:0") })
	port, ok := strings.CutPrefix(s.address, "lo:")
	if !ok {
		t.Fatalf("it serves on %q", s.address)
	}
	for _, address := range []string{"127.0.0.1:" + port, "[::1]:" + port} {
		if err := healthCheck(t, address).Run(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	s.end(t, syscall.SIGTERM)
	both := startServing(t, config, func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--listen", "0.0.0.0:"+port, "--listen", "[::]:"+port)
	})
	both.end(t, syscall.SIGTERM)
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, []byte(strings.Replace(string(text), `"127.0.0.1:0"`, `"127.0.0.1:22", "nowhere0:22", "192.0.2.1:22"`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, _ := postern(t, "check", "--config", config).CombinedOutput()
	for _, want := range []string{`listen: "nowhere0:22": no such device`, `listen: "192.0.2.1:22": cannot assign requested address`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "127.0.0.1:22") {
		t.Errorf("check complains of an address that is there:\n%s", out)
	}
}
