package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"
)

// maxAnswer bounds an answer: that of ten thousand sessions is a tenth of it.
const maxAnswer = 64 << 20

// ErrNone says that no gateway runs.
var ErrNone = errors.New("no gateway runs")

// Reply is the answer of one gateway.
type Reply[A any] struct {
	// PID is its process, by its own number.
	PID    int
	Answer A
}

// Ask puts a question to every gateway that listens in a folder, and returns their
// answers in the order of their processes, those of the others also where one fails.
// The error is [ErrNone] where there is none, and wraps [fs.ErrPermission] where this
// user may not ask.
func Ask[A any](ctx context.Context, path, name string, question any) ([]Reply[A], error) {
	text, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	folder, err := openFolder(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	pids, err := sockets(folder)
	if err != nil {
		return nil, err
	}
	answers, failures := make([]*A, len(pids)), make([]error, len(pids))
	var asking sync.WaitGroup
	for i, pid := range pids {
		asking.Go(func() { answers[i], failures[i] = askOne[A](ctx, folder, pid, name, text) })
	}
	asking.Wait()
	var replies []Reply[A]
	for i, answer := range answers {
		if answer != nil {
			replies = append(replies, Reply[A]{pids[i], *answer})
		}
	}
	err = errors.Join(failures...)
	if err == nil && len(replies) == 0 {
		err = ErrNone
	}
	return replies, err
}

// askOne asks one gateway. Both results are nil where nobody listens any more.
func askOne[A any](ctx context.Context, folder *os.File, pid int, name string, question []byte) (*A, error) {
	conn, err := dial(folder, pid)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the gateway %d: %w", pid, innermost(err))
	}
	defer conn.Close()
	if err := believable(conn, folder); err != nil {
		return nil, fmt.Errorf("ask the gateway %d: %w", pid, err)
	}
	answer := new(A)
	if err := exchange(ctx, conn, name, question, answer); err != nil {
		return nil, fmt.Errorf("ask the gateway %d: %w", pid, err)
	}
	return answer, nil
}

// believable returns an error unless the folder's owner listens there.
func believable(conn net.Conn, folder *os.File) error {
	owner, _, err := ownerOf(folder)
	if err != nil {
		return err
	}
	peer, err := peerOf(conn)
	if err != nil {
		return err
	}
	if peer.UID != owner {
		return fmt.Errorf("uid %d answers there, and %s belongs to uid %d; remove the socket", peer.UID, folder.Name(), owner)
	}
	return nil
}

// exchange asks on a connection, and takes in the answer.
func exchange(ctx context.Context, conn net.Conn, name string, question []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, questionTime+AnswerTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://postern/"+name, bytes.NewReader(question))
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it does not answer; see its log, and whether it was stopped: %w", err)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxAnswer:
		return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	case response.StatusCode != http.StatusOK:
		return refusalOf(text)
	}
	return json.Unmarshal(text, answer)
}

// refusalOf is what a gateway said instead of an answer.
func refusalOf(text []byte) error {
	var f failed
	if err := json.Unmarshal(text, &f); err != nil || f.Error == "" {
		return errors.New("it answers, but not as a gateway does")
	}
	return errors.New(strings.Map(visible, f.Error))
}

// visible has a terminal obey nothing that a gateway said.
func visible(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}
