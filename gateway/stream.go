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
	// take waits until some of so many bytes may flow, and returns how many.
	take func(n int) int
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
		for rest := buffer[:n]; len(rest) > 0 && open; {
			piece := rest[:i.take(len(rest))]
			rest = rest[len(piece):]
			open = i.give(piece)
		}
		if err != nil {
			return
		}
	}
}

// give hands data to the child, and reports whether it takes more.
func (i *inlet) give(data []byte) bool {
	written, err := i.to.Write(data)
	i.carried.Add(int64(written))
	if i.heard != nil {
		i.heard(data[:written])
	}
	if err != nil {
		i.to.Close()
	}
	return err == nil
}

// outlets carry the child's two output streams to the client. What the child
// wrote on standard error before it wrote on standard output is shown first: an
// rsync client ends at the message on the one that says so, and would never show
// the reason on the other.
type outlets struct {
	out, complaints *outlet
	// order is held while something is written, and for complaints from when they
	// are read.
	order sync.Mutex
	// word is what the gateway has to say as soon as no line is unfinished on
	// standard error, and inLine says that one is.
	word   string
	inLine bool
	// concluded says that the gateway has nothing more to say.
	concluded bool
	// take waits until some of so many bytes may flow, and returns how many. It is
	// not called under order: complaints do not wait for data.
	take func(n int) int
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

func (s *session) newOutlets(p *sandbox.Process, take func(n int) int) *outlets {
	return &outlets{
		take:       take,
		out:        &outlet{server: s.server, from: p.Stdout, to: s.channel, carried: &s.carried.out},
		complaints: &outlet{server: s.server, from: p.Stderr, to: s.channel.Stderr(), carried: &s.carried.err},
		patience:   patience{settle: s.settle, start: time.Now()},
	}
}

// carryOut carries standard output until it ends.
func (o *outlets) carryOut() {
	o.out.carry(readNow, func(data []byte) {
		for len(data) > 0 {
			piece := data[:o.take(len(data))]
			data = data[len(piece):]
			o.pay(o.deliver(piece))
		}
	})
}

// deliver writes a piece of standard output, behind the complaints that came before
// it; it returns how many bytes those were.
func (o *outlets) deliver(piece []byte) (complaints int) {
	o.order.Lock()
	defer o.order.Unlock()
	complaints, fresh := o.forwardComplaints()
	if fresh {
		o.patience.wait()
	}
	o.out.write(piece)
	return complaints
}

// pay waits until as many bytes may flow as did already.
func (o *outlets) pay(n int) {
	for n > 0 {
		n -= o.take(n)
	}
}

// carryComplaints carries standard error until it ends.
func (o *outlets) carryComplaints() {
	o.complaints.carry(func(fd uintptr, buffer []byte) (int, error) {
		o.order.Lock()
		defer o.order.Unlock()
		n, err := readNow(fd, buffer)
		o.complain(buffer[:max(n, 0)])
		return n, err
	}, func(data []byte) { o.pay(len(data)) })
}

// forwardComplaints forwards what waits on standard error now, which is so many
// bytes, and reports whether there was anything since it was asked last. It looks
// once: a child that floods it must not hold up its output for good.
func (o *outlets) forwardComplaints() (now int, fresh bool) {
	raw, err := o.complaints.from.SyscallConn()
	if err != nil {
		return 0, false // closed; nothing waits
	}
	buffer, back := o.complaints.server.buffer()
	defer back()
	// Not Read, which would wait for the goroutine that waits for more.
	_ = raw.Control(func(fd uintptr) {
		if n, err := readNow(fd, buffer); err == nil {
			o.complain(buffer[:n])
			now = n
		}
	})
	carried := o.complaints.carried.Load()
	fresh = carried > o.shown
	o.shown = carried
	return now, fresh
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
	if o.concluded {
		return
	}
	o.word = line
	o.speak()
}

// conclude says a line to the client at once, since its child ends. Two must not
// write to one stream at the same time.
func (o *outlets) conclude(line string) {
	o.order.Lock()
	defer o.order.Unlock()
	o.concluded, o.word = true, ""
	// The client has left where it fails.
	_, _ = io.WriteString(o.complaints.to, line)
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

// carry calls read whenever there may be something to read, and deliver with what
// was read, until the stream ends. After the child's end somebody else may still
// hold the stream: then it ends once nothing has come for the grace.
func (o *outlet) carry(read func(fd uintptr, buffer []byte) (int, error), deliver func(data []byte)) {
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
			n, failure = read(fd, buffer)
			return !errors.Is(failure, unix.EAGAIN)
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !last:
			continue
		case err != nil || failure != nil || n == 0:
			return
		}
		deliver(buffer[:n])
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
