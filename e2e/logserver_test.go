package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// logServer is a syslog server by TCP that keeps what it gets.
type logServer struct {
	address  string
	listener net.Listener
	all      sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	lines  map[uint64]string
	faults []error
}

// verbLogServer: log-server start|stop|whole. The first start sets LOGS to the
// server's URL; a later one takes the same port. whole waits until the server has
// each record of the trail as it stands there.
func verbLogServer(ts *testscript.TestScript, w *world, args []string) error {
	if w.logs == nil {
		w.logs = &logServer{address: "127.0.0.1:0", lines: map[uint64]string{}}
	}
	switch args[0] {
	case "start":
		if err := w.logs.start(); err != nil {
			return err
		}
		ts.Setenv("LOGS", "tcp://"+w.logs.address)
		return nil
	case "stop":
		return w.logs.stop()
	case "whole":
		return w.logs.whole(w.path("gw/state/audit"))
	}
	return fmt.Errorf("no log-server %s", args[0])
}

func (l *logServer) start() error {
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return err
	}
	l.listener, l.address = listener, listener.Addr().String()
	l.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.conns = append(l.conns, conn)
			l.mu.Unlock()
			l.all.Go(func() { l.serve(conn) })
		}
	})
	return nil
}

func (l *logServer) serve(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		digits, err := r.ReadString(' ')
		if err != nil {
			return
		}
		length, err := strconv.Atoi(strings.TrimSpace(digits))
		text := make([]byte, max(length, 0))
		if err == nil {
			if _, err := io.ReadFull(r, text); err != nil {
				return
			}
		}
		_, line, _ := strings.Cut(string(text), " - {")
		line = "{" + line
		number, err := numberOf(line)
		l.mu.Lock()
		l.lines[number] = line
		if err != nil {
			l.faults = append(l.faults, fmt.Errorf("no message: %q: %w", text, err))
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func numberOf(line string) (uint64, error) {
	var record struct{ Number uint64 }
	err := json.Unmarshal([]byte(line), &record)
	return record.Number, err
}

// stop ends the server as a kill does, and returns what was wrong.
func (l *logServer) stop() error {
	if l.listener != nil {
		l.listener.Close()
	}
	l.mu.Lock()
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.all.Wait()
	return errors.Join(l.faults...)
}

// whole waits until what was in the trail when it was called is on the server.
func (l *logServer) whole(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no trail in %s: %w", dir, err)
	}
	want := map[uint64]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if line, whole := strings.CutSuffix(line, "\n"); whole {
				number, err := numberOf(line)
				if err != nil {
					return err
				}
				want[number] = line
			}
		}
	}
	return until(func() (bool, string) {
		l.mu.Lock()
		got := maps.Clone(l.lines)
		l.mu.Unlock()
		for number, line := range want {
			if got[number] != line {
				return false, fmt.Sprintf("record %d is\n%s, and the log server has\n%s", number, line, got[number])
			}
		}
		return true, ""
	})
}
