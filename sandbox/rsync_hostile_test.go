package sandbox_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// What travels in the oldest protocol that has all that is needed here, by the
// names of rsync's sources (rsync.h). In it the client's words are not wrapped.
const (
	hostileProtocol = 29
	hasLongName     = 1 << 6
	isTransfer      = 1 << 15
	hasBasisType    = 1 << 11
	hasOtherName    = 1 << 12
	basisIsFuzzy    = 0x83
	done29          = 0xffffffff
)

// hostile is a client that pushes, and keeps to no rule. It hears nothing of
// what the server answers.
type hostile struct {
	words []byte
	// entries are in the list so far.
	entries uint32
	outside string
	// pause is where it waits until the server has made a file.
	pause   int
	waitFor string
}

func (h *hostile) number(n uint32)      { h.words = binary.LittleEndian.AppendUint32(h.words, n) }
func (h *hostile) text(s string)        { h.words = append(h.words, s...) }
func (h *hostile) small(values ...byte) { h.words = append(h.words, values...) }

// entry adds one to the list of files. A link has a target.
func (h *hostile) entry(name string, mode uint32, size int, target string) {
	h.entries++
	h.small(hasLongName)
	h.number(uint32(len(name)))
	h.text(name)
	h.number(uint32(size))
	h.number(uint32(sourceTime.Unix()))
	h.number(mode)
	if mode&unix.S_IFMT == unix.S_IFLNK {
		h.number(uint32(len(target)))
		h.text(target)
	}
}

func (h *hostile) folder(name string)   { h.entry(name, unix.S_IFDIR|0o755, 0, "") }
func (h *hostile) file(name string)     { h.entry(name, unix.S_IFREG|0o644, 7, "") }
func (h *hostile) link(name, to string) { h.entry(name, unix.S_IFLNK|0o777, len(to), to) }

// listed ends the list of files, and says that there were no errors.
func (h *hostile) listed() {
	h.small(0)
	h.number(0)
}

// await holds what follows back until the server has made a file.
func (h *hostile) await(name string) { h.pause, h.waitFor = len(h.words), name }

// say sends everything to a server that works in a folder.
func (h *hostile) say(w io.Writer, server string) error {
	if _, err := w.Write(h.words[:h.pause]); err != nil {
		return err
	}
	for deadline := time.Now().Add(5 * time.Second); h.pause > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(filepath.Join(server, h.waitFor)); err == nil {
			break
		}
	}
	_, err := w.Write(h.words[h.pause:])
	return err
}

// behind ends the list with a file in a folder that is none, and sends it. rsync
// aborts at that file, but not before it has made all links, and what comes
// until then it takes.
func (h *hostile) behind(folder string) {
	const links = 1000
	for i := range links {
		h.link(fmt.Sprint("aa", links+i), "x")
	}
	h.file(folder + "/new")
	h.listed()
	h.await(fmt.Sprint("aa", links))
	h.send(h.entries - 1)
}

// send answers a request for a file that nobody has made, with these contents.
func (h *hostile) send(index uint32) {
	h.number(index)
	h.small(isTransfer&0xff, isTransfer>>8)
	h.sums(0, 0, 0)
	h.number(7)
	h.text("forged\n")
	h.finish()
}

// copyOf lets the server take a file's contents from another of its files, as
// if it had asked whether the two are alike.
func (h *hostile) copyOf(index uint32, other string, length uint32) {
	h.number(index)
	flags := isTransfer | hasBasisType | hasOtherName
	h.small(byte(flags&0xff), byte(flags>>8), basisIsFuzzy, byte(len(other)))
	h.text(other)
	h.sums(1, length, length)
	h.number(^uint32(0)) // the first block
	h.finish()
}

func (h *hostile) sums(count, block, remainder uint32) {
	h.number(count)
	h.number(block)
	h.number(2) // the length of a sum
	h.number(remainder)
}

// finish ends a file, with a checksum that is wrong.
func (h *hostile) finish() {
	h.number(0)
	h.text(strings.Repeat("x", 16))
}

// pushHostile runs a server that believes to have a client of its own kind.
func (a *arena) pushHostile(t *testing.T, s starter, o sandbox.Order, args []string, speak func(*hostile)) string {
	t.Helper()
	h := &hostile{outside: a.outside}
	h.number(hostileProtocol)
	speak(h)
	for range 4 {
		h.number(done29)
	}
	words := strings.Fields(a.remote(t, o))
	cmd := s.run(t, words[0], append(append(words[1:], "x", "rsync", "--server"), args...)...)
	cmd.WaitDelay = 10 * time.Second
	// The pipe stays open: a server that has read its client's end drops
	// what it was doing.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	complaint := new(strings.Builder)
	cmd.Stderr = complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	if err := h.say(stdin, a.server); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
	answer, err := io.ReadAll(stdout)
	stdin.Close()
	var exit *exec.ExitError
	if err2 := cmd.Wait(); err2 != nil && !errors.As(err2, &exit) {
		err = errors.Join(err, err2)
	}
	if err != nil {
		t.Error(err)
	}
	return complaint.String() + string(answer)
}
