package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"postern/internal/unixsocket"
)

const (
	// maxPacket is far above what any packet is: some names of addresses.
	maxPacket = 64 << 10
	// maxFiles is what the kernel passes on with one packet (SCM_MAX_FD).
	maxFiles = 253
)

// The kinds of packets.
const (
	prepared = "prepared"
	estate   = "estate"
	ready    = "ready"
	failed   = "failed"
	stop     = "stop"
	passed   = "passed"
)

// packet is what one process says to the other.
type packet struct {
	Kind   string  `json:"kind"`
	Why    string  `json:"why,omitempty"`
	Estate *Estate `json:"estate,omitempty"`
}

// Estate is what a gateway leaves to the one that takes over. Each part has a file that
// travels beside it.
type Estate struct {
	// Sockets are the listening ones.
	Sockets []Socket `json:"sockets"`
	// Trail is what the trail is shared by.
	Trail []*os.File `json:"-"`
	// Older are the sockets of gateways that this one took over from, and that go
	// on.
	Older []*os.File `json:"-"`
	// Trails and Olders are how many there are.
	Trails int `json:"trails"`
	Olders int `json:"olders"`
}

// Socket is a listening one.
type Socket struct {
	// Asked is what the files or flags said, and Name where it is. Asked is empty
	// for one that systemd handed over.
	Asked string   `json:"asked"`
	Name  string   `json:"name"`
	File  *os.File `json:"-"`
}

// files are those that travel, in their order.
func (e *Estate) files() []*os.File {
	var all []*os.File
	for _, s := range e.Sockets {
		all = append(all, s.File)
	}
	return append(append(all, e.Trail...), e.Older...)
}

// take gives the files that came to the parts.
func (e *Estate) take(files []*os.File) error {
	if e.Trails < 0 || e.Olders < 0 || len(files) != len(e.Sockets)+e.Trails+e.Olders {
		return fmt.Errorf("%d descriptors came, and not one for each of %d sockets and %d others", len(files), len(e.Sockets), e.Trails+e.Olders)
	}
	for i := range e.Sockets {
		e.Sockets[i].File = files[i]
	}
	files = files[len(e.Sockets):]
	e.Trail, e.Older = files[:e.Trails], files[e.Trails:]
	return nil
}

// line is one end of the socket between two gateways.
type line struct{ *net.UnixConn }

// ends are those of a new line.
func ends() (mine line, theirs *os.File, err error) {
	both, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return line{}, nil, err
	}
	theirs = os.NewFile(uintptr(both[1]), "socket of another gateway")
	if mine, err = newLine(os.NewFile(uintptr(both[0]), "socket to another gateway")); err != nil {
		theirs.Close()
	}
	return mine, theirs, err
}

// newLine makes a line of a socket, which it closes.
func newLine(f *os.File) (line, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return line{}, err
	}
	l, ok := conn.(*net.UnixConn)
	if !ok {
		return line{}, errors.Join(fmt.Errorf("%s is no local socket", f.Name()), conn.Close())
	}
	return line{l}, nil
}

// send says something. A packet for which there is no room at once is an error: who does
// not read does not count.
func (l line) send(p packet) error {
	var rights []byte
	if p.Estate != nil {
		p.Estate.Trails, p.Estate.Olders = len(p.Estate.Trail), len(p.Estate.Older)
		var numbers []int
		for _, f := range p.Estate.files() {
			n, err := number(f)
			if err != nil {
				return err
			}
			numbers = append(numbers, n)
		}
		if len(numbers) > maxFiles {
			return fmt.Errorf("%d descriptors are more than %d, which can be passed on at once", len(numbers), maxFiles)
		}
		rights = unix.UnixRights(numbers...)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, _, err = l.WriteMsgUnix(text, rights, nil)
	return err
}

// number is the descriptor of a file. [os.File.Fd] could have reads of it block, and so
// those of the other processes that have it open.
func number(f *os.File) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(fd uintptr) { n = int(fd) })
	return n, err
}

// receive waits for what the other one says; its end is [io.EOF].
func (l line) receive() (packet, error) {
	text, rights := make([]byte, maxPacket), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, size, _, _, err := l.ReadMsgUnix(text, rights)
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF // it ended before it had read everything
	}
	if err != nil {
		return packet{}, err
	}
	files, err := filesOf(rights[:size])
	if err != nil {
		return packet{}, err
	}
	var p packet
	err = json.Unmarshal(text[:n], &p)
	if err == nil && p.Estate != nil {
		err = p.Estate.take(files)
	}
	if err != nil || p.Estate == nil {
		for _, f := range files {
			f.Close()
		}
	}
	return p, err
}

// filesOf returns the files that came with a packet.
func filesOf(rights []byte) ([]*os.File, error) {
	numbers, err := unixsocket.Descriptors(rights)
	var all []*os.File
	for _, n := range numbers {
		unix.CloseOnExec(n)
		all = append(all, os.NewFile(uintptr(n), "inherited"))
	}
	return all, err
}
