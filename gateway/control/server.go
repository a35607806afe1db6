package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// The bounds of a question. Commands ask at once, and with a few words.
const (
	maxQuestion  = 64 << 10
	maxHeader    = 4 << 10
	questionTime = 5 * time.Second
	// AnswerTime is how long an answer may take: that of a gateway which reads
	// all its files again, from a slow share.
	AnswerTime = 2 * time.Minute
	// closeTime is how long answers that are on their way hold up the end.
	closeTime = 500 * time.Millisecond
)

// Question is one that a gateway answers.
type Question struct {
	name   string
	answer func(ctx context.Context, body []byte) (any, error)
}

// On has questions of a name answered by a function, which may be called several times
// at once. An error of it is what the command reads; its context is done when the
// gateway ends.
func On[Q, A any](name string, answer func(context.Context, Q) (A, error)) Question {
	return Question{name, func(ctx context.Context, body []byte) (any, error) {
		var q Q
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			return nil, malformed{err}
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, malformed{errors.New("something follows the value")}
		}
		return answer(ctx, q)
	}}
}

// malformed is a question that is not understood.
type malformed struct{ error }

// Config is what a server answers, and to whom it reports.
type Config struct {
	// Questions are all that it answers.
	Questions []Question
	// Refused is told who connected and may not ask. Nothing was read from them.
	Refused func(Peer)
	// Panicked is told of an answer that had a fault, with the stack.
	Panicked func(cause, stack string)
}

// Server answers questions on the socket of this process. Close ends it.
type Server struct {
	config    Config
	listener  *listener
	http      *http.Server
	answering sync.WaitGroup
	// stop ends the context of the answers.
	stop func()
}

// Listen makes the socket of this process in a folder that the caller holds, answers
// on it from then on, and removes the sockets of gateways that are gone.
func Listen(folder string, config Config) (*Server, error) {
	l, err := listen(folder, os.Getpid(), config.Refused)
	if err != nil {
		return nil, err
	}
	s := newServer(l, config)
	s.start()
	return s, nil
}

func newServer(l *listener, config Config) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{config: config, listener: l, stop: stop}
	s.http = &http.Server{
		Handler: s, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadTimeout: questionTime, WriteTimeout: questionTime + AnswerTime, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // what a peer does wrong, it is told
	}
	s.http.SetKeepAlivesEnabled(false)
	return s
}

func (s *Server) start() {
	s.answering.Go(func() { _ = s.http.Serve(s.listener) }) // until the listener is closed
}

// Close removes the socket, and returns when nobody is answered any more.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // of those who do not read their answers
	}
	s.answering.Wait()
	return err
}

// Gone reports whether commands do not find the socket any more, because somebody
// removed it, or the folder. It is for the caller to close the server and listen anew.
func (s *Server) Gone() bool { return s.listener.gone() }

// failed is an answer that is none.
type failed struct {
	Error string `json:"error"`
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, answer := s.reply(w, r)
	text, err := json.Marshal(answer)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a command that has left needs no answer
}

// reply answers one question.
func (s *Server) reply(w http.ResponseWriter, r *http.Request) (status int, answer any) {
	defer func() {
		if cause := recover(); cause != nil {
			s.config.Panicked(fmt.Sprint(cause), string(debug.Stack()))
			status, answer = http.StatusInternalServerError, failed{"the gateway had a fault; see its records"}
		}
	}()
	question, ok := s.question(strings.TrimPrefix(r.URL.Path, "/"))
	switch {
	case !ok:
		return http.StatusNotFound, failed{fmt.Sprintf("this gateway knows no question %q; its version may be another one than the command's", r.URL.Path)}
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, failed{"questions are asked with POST"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		return http.StatusBadRequest, failed{err.Error()}
	}
	ctx, cancel := context.WithTimeout(r.Context(), AnswerTime)
	defer cancel()
	answer, err = question.answer(ctx, body)
	switch {
	case errors.As(err, new(malformed)):
		return http.StatusBadRequest, failed{fmt.Sprintf("the question is not understood: %v", err)}
	case err != nil:
		return http.StatusUnprocessableEntity, failed{err.Error()}
	}
	return http.StatusOK, answer
}

func (s *Server) question(name string) (Question, bool) {
	for _, q := range s.config.Questions {
		if q.name == name {
			return q, true
		}
	}
	return Question{}, false
}
