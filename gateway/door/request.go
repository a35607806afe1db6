package door

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"postern/internal/durable"
)

const (
	// requestsName is the folder in the gateway's state for what commands ask.
	requestsName = "unban"
	// requestsAtOnce bounds how many are read at once.
	requestsAtOnce = 1000
	// maxRequest is far longer than a request is.
	maxRequest = 1 << 10
)

// request asks for the penalties of a network to be lifted; of all without one.
type request struct {
	Network netip.Prefix `json:"network,omitzero"`
	All     bool         `json:"all,omitempty"`
}

// Unban asks the gateway of a state folder to lift the penalties that concern a
// network; all of them where the network is not valid. The request is on the disk
// when Unban returns. A gateway that runs looks for it every second, another one
// when it starts.
func Unban(folder string, network netip.Prefix) error {
	requests := filepath.Join(folder, requestsName)
	if err := makeFolder(requests); err != nil {
		return err
	}
	text, err := json.Marshal(request{Network: network, All: !network.IsValid()})
	if err != nil {
		return err
	}
	return durable.Create(filepath.Join(requests, rand.Text()+".json"), text, 0o600)
}

// makeFolder makes a folder where there is none. A link would let whoever can write
// the state have root write elsewhere.
func makeFolder(path string) error {
	err := durable.Mkdir(path, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder; move it away", path)
	}
	return err
}

// obey does what is asked for, and returns the files that asked. What asks for
// nothing is among them, so that it is not read again.
func (k *Keeper) obey() (done []string, err error) {
	f, err := os.Open(filepath.Join(k.folder, requestsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(requestsAtOnce)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	err = nil
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue // one that is being written
		}
		path := filepath.Join(f.Name(), name)
		r, wrong := readRequest(path)
		switch {
		case wrong != nil:
			err = errors.Join(err, wrong)
		case r.All:
			k.door.lift(netip.Prefix{})
		case r.Network.IsValid():
			k.door.lift(r.Network)
		}
		done = append(done, path)
	}
	return done, err
}

// readRequest reads a request. Nothing that somebody put there in its place can make
// it wait or read without end.
func readRequest(path string) (r request, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return r, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRequest))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}
