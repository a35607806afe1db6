package sender

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"postern/audit"
)

// journalSocket is where journald takes records in its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).
const journalSocket = "/run/systemd/journal/socket"

// Journald returns the journald of this host, or an error where there is none.
func Journald() (Destination, error) { return journaldAt(journalSocket) }

func journaldAt(socket string) (Destination, error) {
	info, err := os.Stat(socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is not there: this host has no journald", socket)
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is no socket", socket)
	}
	return journald{socket}, nil
}

type journald struct{ socket string }

func (journald) String() string { return "journald" }

func (j journald) open(_ context.Context, p pace, from uint64) (way, error) {
	// Not connected: such a socket sends no descriptors in Go.
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &journal{direct{from}, conn, &net.UnixAddr{Name: j.socket, Net: "unixgram"}, p.patience}, nil
}

// journal is a way to journald.
type journal struct {
	direct
	conn     *net.UnixConn
	to       *net.UnixAddr
	patience time.Duration
}

func (j *journal) send(r audit.Record) error {
	entry := entryOf(r)
	if err := j.conn.SetWriteDeadline(time.Now().Add(j.patience)); err != nil {
		return err
	}
	_, err := j.conn.WriteToUnix(entry, j.to)
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		err = j.sendFile(entry)
	}
	if err == nil {
		j.got = r.Number
	}
	return err
}

// sendFile hands over an entry that is too long for a datagram, in memory that can
// no longer change.
func (j *journal) sendFile(entry []byte) error {
	fd, err := unix.MemfdCreate("postern record", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "postern record")
	defer file.Close()
	if _, err := file.Write(entry); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	_, _, err = j.conn.WriteMsgUnix(nil, unix.UnixRights(int(file.Fd())), j.to)
	return err
}

func (j *journal) close() { _ = j.conn.Close() }

// entryOf is a record as journald takes it. Each value goes with its length, so that
// none can forge a field.
func entryOf(r audit.Record) []byte {
	var entry []byte
	for _, field := range []struct{ key, value string }{
		{"MESSAGE", summary(r)}, {"PRIORITY", strconv.Itoa(severity(r.Level))}, {"SYSLOG_IDENTIFIER", appName},
		{"SYSLOG_FACILITY", strconv.Itoa(facility)}, {"POSTERN_EVENT", r.Event}, {"POSTERN_NUMBER", strconv.FormatUint(r.Number, 10)},
		{"POSTERN_CLIENT", r.Client}, {"POSTERN_SESSION", r.Session}, {"POSTERN_RECORD", string(r.Line)},
	} {
		if field.value == "" {
			continue
		}
		entry = append(append(entry, field.key...), '\n')
		entry = binary.LittleEndian.AppendUint64(entry, uint64(len(field.value)))
		entry = append(append(entry, field.value...), '\n')
	}
	return entry
}

// summary is a record in a few words, which may be shown on a terminal.
func summary(r audit.Record) string {
	text := r.Event
	for _, word := range []string{r.Client, r.Verdict, r.Why} {
		if word != "" {
			text += ": " + word
		}
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}
