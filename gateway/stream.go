package gateway

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// streamBuffer is what is moved at once: measured, larger ones gain
	// nothing and smaller ones lose up to a quarter.
	streamBuffer = 256 << 10
	// inputBuffer is what is read ahead while secluded arguments are read;
	// larger reads pass it by.
	inputBuffer = 4 << 10
)

// buffer lends a buffer; back gives it back.
func (s *Server) buffer() (b []byte, back func()) {
	lent := s.buffers.Get().(*[streamBuffer]byte)
	return lent[:], func() { s.buffers.Put(lent) }
}

// inlet carries the client's data to the child's standard input.
type inlet struct {
	server  *Server
	to      *os.File
	carried atomic.Int64
}

// carry goes on until the client has no more data. When the child no longer
// takes any it reads on into nothing: a client that is left with a full window
// would not read its output either.
func (i *inlet) carry(from io.Reader) {
	buffer, back := i.server.buffer()
	defer back()
	defer i.to.Close()
	for open := true; ; {
		n, err := from.Read(buffer)
		if n > 0 && open {
			written, failure := i.to.Write(buffer[:n])
			i.carried.Add(int64(written))
			if open = failure == nil; !open {
				i.to.Close()
			}
		}
		if err != nil {
			return
		}
	}
}

// outlet carries one of the child's output streams to the client.
type outlet struct {
	server  *Server
	from    *os.File
	to      io.Writer
	carried atomic.Int64

	mu    sync.Mutex
	ended bool
}

// carry goes on until the stream ends; when the client takes no more, into
// nothing, so that the child is not held up on its way out. After the child's
// end somebody else may still hold the stream: then it ends once nothing has
// come for the grace.
func (o *outlet) carry() {
	buffer, back := o.server.buffer()
	defer back()
	for open := true; ; {
		last := o.arm()
		n, err := o.from.Read(buffer)
		if n > 0 && open {
			written, failure := o.to.Write(buffer[:n])
			o.carried.Add(int64(written))
			open = failure == nil
		}
		if err != nil && (last || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return
		}
	}
}

// arm gives the next read its limit, if it has one.
func (o *outlet) arm() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		o.limit()
	}
	return o.ended
}

// childEnded lets the reads that follow have a limit, and the one that waits.
func (o *outlet) childEnded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.limit()
}

// limit cannot fail on a pipe; on a closed one the read fails by itself.
func (o *outlet) limit() {
	_ = o.from.SetReadDeadline(time.Now().Add(o.server.config.KillGrace))
}
