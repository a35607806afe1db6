package sender

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postern/audit"
)

// counted is a connection that knows how many bytes its peer has taken.
type counted struct {
	*net.TCPConn
	written atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// taken returns how many of the written bytes the peer's system has confirmed.
func (c *counted) taken() (int64, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	waiting, failed := 0, error(nil)
	err = raw.Control(func(fd uintptr) { waiting, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return c.written.Load() - int64(waiting), errors.Join(err, failed)
}

// stream is a connection whose writing can end before its reading does.
type stream interface {
	net.Conn
	CloseWrite() error
}

// unread is how much the system of a server may have confirmed that the server itself
// never read: what Linux grows the buffer of a connection to (tcp_rmem), and more.
const unread = 8 << 20

// grain is how exactly that is known.
const grain = 64 << 10

// wire is a way to a syslog server. The protocol confirms nothing. A record is taken
// for one that arrived when the system of the server has confirmed its bytes, and
// the connection stood for some time more. Where it then ends otherwise than by the
// server closing it, which a server does that has read all, what it may not have
// read has not arrived after all.
type wire struct {
	conn stream
	raw  *counted
	host string
	pace pace
	gone chan error
	// reading is the goroutine that notices that the server closes.
	reading sync.WaitGroup

	// last was sent and got has arrived.
	last, got uint64
	// next is what comes next to have arrived, and since when it is waited for.
	next  mark
	since time.Time
	// taken are the bytes that the server's system had confirmed when it did so
	// last.
	taken int64
	moved time.Time
	// marks are what has arrived, from the one on before which nothing can be
	// unread.
	marks []mark
}

// mark is a record, and where it ends in the stream.
type mark struct {
	number uint64
	end    int64
}

func newWire(conn stream, raw *counted, host string, p pace, from uint64) *wire {
	w := &wire{conn: conn, raw: raw, host: host, pace: p, gone: make(chan error, 1), last: from, got: from, marks: []mark{{from, 0}}}
	w.reading.Go(func() {
		_, err := io.Copy(io.Discard, conn)
		if err == nil {
			err = errClosed
		}
		w.gone <- err
	})
	return w
}

var errClosed = errors.New("the server closed the connection")

func (w *wire) lost() <-chan error { return w.gone }

func (w *wire) send(r audit.Record) error {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.pace.patience)); err != nil {
		return err
	}
	if _, err := w.conn.Write(frame(w.host, r)); err != nil {
		return w.why(err)
	}
	w.last = r.Number
	return nil
}

// why returns what the server said, if it did, instead of the failure to write that
// came of it.
func (w *wire) why(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the server has taken nothing for %s", w.pace.patience)
	}
	select {
	case said := <-w.gone:
		if errors.Is(err, unix.ECONNRESET) && errors.Is(said, errClosed) {
			// Of a reset the system tells whoever asks first, and the other that
			// the stream has ended.
			return err
		}
		return said
	case <-time.After(w.pace.settle):
		return err
	}
}

func (w *wire) arrived() (uint64, error) {
	now := time.Now()
	switch {
	case w.next.number <= w.got:
		if w.last > w.got {
			w.next, w.since, w.moved = mark{w.last, w.raw.written.Load()}, now, now
		}
	case now.Sub(w.since) >= w.pace.settle:
		taken, err := w.raw.taken()
		switch {
		case err != nil:
			return w.got, err
		case taken >= w.next.end:
			w.settled(w.next)
		case taken > w.taken:
			w.taken, w.moved = taken, now
		case now.Sub(w.moved) >= w.pace.patience:
			return w.got, w.why(os.ErrDeadlineExceeded)
		}
	}
	return w.got, nil
}

// settled notes that a record has arrived.
func (w *wire) settled(m mark) {
	w.got = m.number
	if m.end >= w.marks[len(w.marks)-1].end+grain {
		w.marks = append(w.marks, m)
	}
	for len(w.marks) > 1 && w.marks[1].end <= m.end-unread {
		w.marks = w.marks[1:]
	}
}

// finish ends the stream. A server that then ends its own has read all of it.
func (w *wire) finish() error {
	select {
	case err := <-w.gone:
		return err
	default:
	}
	// What fails here ends the reading too.
	_, _ = w.conn.CloseWrite(), w.raw.CloseWrite()
	if err := <-w.gone; !errors.Is(err, errClosed) {
		return err
	}
	w.got = w.last
	return nil
}

func (w *wire) ended(err error) uint64 {
	if err == nil || errors.Is(err, errClosed) {
		return w.got
	}
	return w.marks[0].number
}

// close does without the farewell of TLS, for which a server that hangs would have to
// be waited for.
func (w *wire) close() {
	_ = w.raw.Close()
	w.reading.Wait()
}
