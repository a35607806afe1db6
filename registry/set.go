package registry

import (
	"crypto/sha256"
	"iter"
	"net/netip"
	"slices"

	"golang.org/x/crypto/ssh"
)

// Set is every client, indexed. It never changes, so it may be used from any
// number of goroutines. The zero value has no client.
type Set struct {
	clients    []Client
	names      map[string]int
	keys       map[keyID]holders
	principals map[string]holders
}

// keyID stands for a public key. It is the key's SHA-256: there may be a hundred
// thousand, and keys of RSA are long.
type keyID [sha256.Size]byte

func idOf(key ssh.PublicKey) keyID { return sha256.Sum256(key.Marshal()) }

// holders are the clients that one key or principal stands for. Either one
// client holds it under any login name, or each under a login name of its own.
type holders struct {
	// first is the holder that came first; byLogin are all of them, where there are
	// more.
	first   Place
	byLogin map[string]Place
	// noTouch is whether every holder does without touch.
	noTouch bool
}

// New returns the set of the clients, in their order. Where a key or a principal
// would not say which client is meant, or a name occurs twice, the error is of
// type [Conflicts] and names every case.
func New(clients []Client) (*Set, error) {
	own := slices.Clone(clients)
	for i := range own {
		own[i] = own[i].clone()
	}
	return Share(own)
}

// Share is [New] for clients that the caller promises never to change any more, nor
// what their fields refer to: the set uses them as they are, which saves the memory
// of another hundred thousand.
func Share(clients []Client) (*Set, error) {
	b := builder{set: Set{
		clients:    clients,
		names:      make(map[string]int, len(clients)),
		keys:       make(map[keyID]holders, len(clients)),
		principals: make(map[string]holders),
	}}
	for i := range clients {
		b.add(i)
	}
	if len(b.conflicts) > 0 {
		return nil, b.conflicts
	}
	return &b.set, nil
}

// builder is a set in the making, with what speaks against it.
type builder struct {
	set       Set
	conflicts Conflicts
}

func (b *builder) add(i int) {
	c := &b.set.clients[i]
	if first, ok := b.set.names[c.Name]; ok {
		b.conflict(DuplicateName, c.Name, Place{Client: first}, Place{Client: i})
	} else {
		b.set.names[c.Name] = i
	}
	for j, k := range c.Keys {
		id := idOf(k.Public)
		h, known := b.set.keys[id]
		noTouch := k.NoTouchRequired && (!known || h.noTouch)
		if first, clash := b.join(&h, known, Place{i, j}); clash {
			b.conflict(DuplicateKey, k.Fingerprint(), first, Place{i, j})
		}
		h.noTouch = noTouch
		b.set.keys[id] = h
	}
	for j, p := range c.Principals {
		h, known := b.set.principals[p]
		if first, clash := b.join(&h, known, Place{i, j}); clash {
			b.conflict(DuplicatePrincipal, p, first, Place{i, j})
		}
		b.set.principals[p] = h
	}
}

// join adds a holder to those that are known, if any are, unless it could not be told
// from one of them, which it returns then. The empty login name stands for all, so it
// clashes with any.
func (b *builder) join(h *holders, known bool, at Place) (first Place, clash bool) {
	login := b.set.clients[at.Client].Login
	if !known {
		h.first = at
		return Place{}, false
	}
	if login == "" {
		return h.first, true
	}
	if first, clash = b.set.under(*h, login); clash {
		return first, true
	}
	if h.byLogin == nil {
		h.byLogin = map[string]Place{b.set.clients[h.first.Client].Login: h.first}
	}
	h.byLogin[login] = at
	return Place{}, false
}

func (b *builder) conflict(kind Kind, value string, first, second Place) {
	b.conflicts = append(b.conflicts, Conflict{
		Kind: kind, Value: value, First: first, Second: second,
		names: [2]string{b.set.clients[first.Client].Name, b.set.clients[second.Client].Name},
	})
}

// Clients returns every client, in the order in which [New] got them.
func (s *Set) Clients() []Client {
	all := slices.Clone(s.clients)
	for i := range all {
		all[i] = all[i].clone()
	}
	return all
}

// Sources returns the networks that clients may come from, where they may not come
// from everywhere, but for those of clients that are disabled.
func (s *Set) Sources() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for i := range s.clients {
			if s.clients[i].Disabled {
				continue
			}
			for _, network := range s.clients[i].From {
				if !yield(network) {
					return
				}
			}
		}
	}
}

// OneWriter is the folders of all rules that let one session write at a time.
func (s *Set) OneWriter() []string {
	var folders []string
	for i := range s.clients {
		for _, r := range s.clients[i].Rules {
			if r.OneWriter && r.Access.MayWrite() {
				folders = append(folders, r.Path)
			}
		}
	}
	return folders
}

// Len returns the number of clients.
func (s *Set) Len() int { return len(s.clients) }

// Client returns the client of that name.
func (s *Set) Client(name string) (Client, bool) {
	i, ok := s.names[name]
	if !ok {
		return Client{}, false
	}
	return s.clients[i].clone(), true
}

// Knows reports whether the key is a client's, and whether it may sign without
// touch. A key of several clients may only if each of them says so, because it
// is asked before the login name is certain. It identifies nobody: the key was
// merely offered.
func (s *Set) Knows(key ssh.PublicKey) (noTouch, ok bool) {
	h, ok := s.keys[idOf(key)]
	return h.noTouch, ok
}

// ByKey returns the client that the key stands for under the login name. The
// caller has proof that the key signed. An error is a [*Denial].
func (s *Set) ByKey(key ssh.PublicKey, login string) (Client, error) {
	h, known := s.keys[idOf(key)]
	if !known {
		return Client{}, &Denial{
			Code:    UnknownKey,
			Message: "no client has this key",
			Remedy:  "add the key to a client, or offer another one (ssh -o IdentitiesOnly=yes -i FILE)",
		}
	}
	place, ok := s.under(h, login)
	if !ok {
		return Client{}, wrongLogin("this key", login)
	}
	return s.clients[place.Client].clone(), nil
}

// under returns the holder for the login name.
func (s *Set) under(h holders, login string) (Place, bool) {
	only := s.clients[h.first.Client].Login
	switch {
	case only == "", h.byLogin == nil && login == only:
		return h.first, true
	case login == "":
		return Place{}, false
	}
	p, ok := h.byLogin[login]
	return p, ok
}

// ByPrincipals returns the one client that the names in a certificate stand for
// under the login name. The caller has verified the certificate. Names that
// stand for several clients are refused, not chosen from. An error is a
// [*Denial].
func (s *Set) ByPrincipals(principals []string, login string) (Client, error) {
	known, found := false, -1
	for _, name := range principals {
		h, ok := s.principals[name]
		if !ok {
			continue
		}
		known = true
		place, ok := s.under(h, login)
		if !ok {
			continue
		}
		if found >= 0 && found != place.Client {
			return Client{}, ambiguous(s.clients[found].Name, s.clients[place.Client].Name)
		}
		found = place.Client
	}
	switch {
	case found >= 0:
		return s.clients[found].clone(), nil
	case known:
		return Client{}, wrongLogin("this certificate", login)
	}
	return Client{}, &Denial{
		Code:    UnknownPrincipal,
		Message: "no client has a principal of this certificate",
		Remedy:  "add one of its principals to a client, or have it signed for one (ssh-keygen -n)",
	}
}
