package gateway

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postern/sandbox"
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
	carried *atomic.Int64
	// heard gets what the child was given; nil where nobody listens.
	heard func([]byte)
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
			if i.heard != nil {
				i.heard(buffer[:written])
			}
			if open = failure == nil; !open {
				i.to.Close()
			}
		}
		if err != nil {
			return
		}
	}
}

// outlets carry the child's two output streams to the client. What the child
// wrote on standard error before it wrote on standard output is shown first: an
// rsync client ends at the message on the one that says so, and would never show
// the reason on the other.
type outlets struct {
	out, complaints *outlet
	// order is held while something is read and written.
	order sync.Mutex
	// word is what the gateway has to say as soon as no line is unfinished on
	// standard error, and inLine says that one is.
	word   string
	inLine bool
	// shown is how much of standard error the client has had time to show.
	shown    int64
	patience patience
}

// outlet is one of the two streams.
type outlet struct {
	server  *Server
	from    *os.File
	to      io.Writer
	carried *atomic.Int64
	// deaf says that the client takes no more. What comes is then read into
	// nothing, so that the child is not held up on its way out.
	deaf bool

	mu    sync.Mutex
	ended bool
}

func (s *session) newOutlets(p *sandbox.Process) *outlets {
	return &outlets{
		out:        &outlet{server: s.server, from: p.Stdout, to: s.channel, carried: &s.carried.out},
		complaints: &outlet{server: s.server, from: p.Stderr, to: s.channel.Stderr(), carried: &s.carried.err},
		patience:   patience{settle: s.settle, start: time.Now()},
	}
}

// carryOut carries standard output until it ends.
func (o *outlets) carryOut() {
	o.out.carry(func(fd uintptr, buffer []byte) (int, error) {
		o.order.Lock()
		defer o.order.Unlock()
		n, err := readNow(fd, buffer)
		if n > 0 {
			if o.forwardComplaints() {
				o.patience.wait()
			}
			o.out.write(buffer[:n])
		}
		return n, err
	})
}

// carryComplaints carries standard error until it ends.
func (o *outlets) carryComplaints() {
	o.complaints.carry(func(fd uintptr, buffer []byte) (int, error) {
		o.order.Lock()
		defer o.order.Unlock()
		n, err := readNow(fd, buffer)
		o.complain(buffer[:max(n, 0)])
		return n, err
	})
}

// forwardComplaints forwards what waits on standard error now, and reports
// whether there was anything since it was asked last. It looks once: a child that
// floods it must not hold up its output for good.
func (o *outlets) forwardComplaints() bool {
	raw, err := o.complaints.from.SyscallConn()
	if err != nil {
		return false // closed; nothing waits
	}
	buffer, back := o.complaints.server.buffer()
	defer back()
	// Not Read, which would wait for the goroutine that waits for more.
	_ = raw.Control(func(fd uintptr) {
		if n, err := readNow(fd, buffer); err == nil {
			o.complain(buffer[:n])
		}
	})
	carried := o.complaints.carried.Load()
	fresh := carried > o.shown
	o.shown = carried
	return fresh
}

// complain hands on what the child wrote on standard error.
func (o *outlets) complain(data []byte) {
	if len(data) == 0 {
		return
	}
	o.complaints.write(data)
	o.inLine = data[len(data)-1] != '\n'
	o.speak()
}

// interject says a line to the client, between two lines of the child: a borg takes
// lines of JSON there.
func (o *outlets) interject(line string) {
	o.order.Lock()
	defer o.order.Unlock()
	o.word = line
	o.speak()
}

// speak says what there is to say, if that is possible now.
func (o *outlets) speak() {
	if o.word == "" || o.inLine || o.complaints.deaf {
		return
	}
	// It is not the child's, and not counted as such. The client has left where
	// it fails.
	_, _ = io.WriteString(o.complaints.to, o.word)
	o.word = ""
}

// readNow reads what is there. It returns [unix.EAGAIN] when there is nothing
// yet; the gateway's ends of the pipes do not block.
func readNow(fd uintptr, buffer []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), buffer)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// childEnded tells both that only what is left will come.
func (o *outlets) childEnded() {
	o.out.childEnded()
	o.complaints.childEnded()
}

// carry calls forward whenever there may be something to read, until the stream
// ends. After the child's end somebody else may still hold the stream: then it
// ends once nothing has come for the grace.
func (o *outlet) carry(forward func(fd uintptr, buffer []byte) (int, error)) {
	raw, err := o.from.SyscallConn()
	if err != nil {
		return
	}
	buffer, back := o.server.buffer()
	defer back()
	for {
		last := o.arm()
		var n int
		var failure error
		err := raw.Read(func(fd uintptr) bool {
			n, failure = forward(fd, buffer)
			return !errors.Is(failure, unix.EAGAIN)
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !last:
			continue
		case err != nil || failure != nil || n == 0:
			return
		}
	}
}

// write hands data to the client.
func (o *outlet) write(data []byte) {
	if len(data) == 0 || o.deaf {
		return
	}
	n, err := o.to.Write(data)
	o.carried.Add(int64(n))
	o.deaf = err != nil
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
