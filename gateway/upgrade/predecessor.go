package upgrade

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"postern/internal/unixsocket"
)

// Predecessor is a gateway that this process takes over from, or has.
type Predecessor struct {
	line  line
	watch sync.Once
	gone  chan struct{}
}

func newPredecessor(l line) *Predecessor { return &Predecessor{line: l, gone: make(chan struct{})} }

// Called returns the gateway that started this process to take over, by the value of
// the [Variable], or nil where that is empty. Whoever else sets the variable gets an
// error.
func Called(value string) (*Predecessor, error) {
	if value == "" {
		return nil, nil
	}
	if value != strconv.Itoa(Descriptor) {
		return nil, fmt.Errorf("%s is %q, which only a gateway sets that is upgraded; remove it from the environment", Variable, value)
	}
	l, err := newLine(os.NewFile(Descriptor, "inherited socket"))
	if err == nil {
		err = isParent(l.UnixConn)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is set, which only a gateway does that is upgraded; remove it from the environment: %w", Variable, err)
	}
	return newPredecessor(l), nil
}

// isParent finds out whether the other end was made by the parent of this process.
func isParent(conn *net.UnixConn) error {
	peer, err := unixsocket.Peer(conn)
	if err != nil {
		return err
	}
	if int(peer.Pid) != os.Getppid() {
		return errors.New("the socket is not that of the process which started this one")
	}
	return nil
}

// Inherit returns a gateway that the one before took over from, by its socket.
func Inherit(socket *os.File) (*Predecessor, error) {
	l, err := newLine(socket)
	if err != nil {
		return nil, err
	}
	return newPredecessor(l), nil
}

// Estate says that this process could serve, and returns what the other one leaves to
// it. The files are the caller's.
func (p *Predecessor) Estate() (*Estate, error) {
	if err := p.line.send(packet{Kind: prepared}); err != nil {
		return nil, p.lost(err)
	}
	got, err := p.line.receive()
	if err != nil {
		return nil, p.lost(err)
	}
	if got.Kind != estate || got.Estate == nil {
		return nil, fmt.Errorf("the gateway that runs says %.100q instead of what it leaves", got.Kind)
	}
	return got.Estate, nil
}

func (p *Predecessor) lost(err error) error {
	return fmt.Errorf("the gateway that started this one to take over is gone: %w", err)
}

// Ready says that this process serves.
func (p *Predecessor) Ready() error {
	if err := p.line.send(packet{Kind: ready}); err != nil {
		return p.lost(err)
	}
	return nil
}

// maxWhy bounds a reason, so that it fits into a packet.
const maxWhy = 16 << 10

// Fail says why this process will not serve.
func (p *Predecessor) Fail(why error) {
	text := why.Error()
	_ = p.line.send(packet{Kind: failed, Why: text[:min(len(text), maxWhy)]}) // its end says so as well
	p.line.Close()
}

// Stop has the other one end as at a signal.
func (p *Predecessor) Stop() { _ = p.line.send(packet{Kind: stop}) } // it fails when it has ended

// Pass tells the other one that a third one holds this end from now on, which got it
// with its estate.
func (p *Predecessor) Pass() {
	_ = p.line.send(packet{Kind: passed})
	p.line.Close()
}

// File is the socket, for an estate. The caller closes it.
func (p *Predecessor) File() (*os.File, error) { return p.line.File() }

// Gone returns a channel that is closed when the other one has ended, or when this end is
// closed. It is to be asked for once there is nothing more to be left.
func (p *Predecessor) Gone() <-chan struct{} {
	p.watch.Do(func() {
		go func() {
			defer close(p.gone)
			for {
				if _, err := p.line.receive(); err != nil {
					return
				}
			}
		}()
	})
	return p.gone
}

// Close lets go of the other one.
func (p *Predecessor) Close() { p.line.Close() }
