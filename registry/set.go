package registry

import (
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
	keys       map[string]*holders
	principals map[string]*holders
}

// holders are the clients that one key or principal stands for. Either one
// client holds it under any login name, or each under a login name of its own.
type holders struct {
	byLogin map[string]Place
	// first is the holder that came first.
	first Place
	// noTouch is whether every holder does without touch.
	noTouch bool
}

// New returns the set of the clients, in their order. Where a key or a principal
// would not say which client is meant, or a name occurs twice, the error is of
// type [Conflicts] and names every case.
func New(clients []Client) (*Set, error) {
	b := builder{set: Set{
		names:      make(map[string]int, len(clients)),
		keys:       make(map[string]*holders, len(clients)),
		principals: make(map[string]*holders),
	}}
	for i, c := range clients {
		b.add(i, c.clone())
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

func (b *builder) add(i int, c Client) {
	b.set.clients = append(b.set.clients, c)
	if first, ok := b.set.names[c.Name]; ok {
		b.conflict(DuplicateName, c.Name, Place{Client: first}, Place{Client: i})
	} else {
		b.set.names[c.Name] = i
	}
	for j, k := range c.Keys {
		h := b.hold(b.set.keys, string(k.Public.Marshal()), DuplicateKey, k.Fingerprint(), Place{i, j})
		h.noTouch = h.noTouch && k.NoTouchRequired
	}
	for j, p := range c.Principals {
		b.hold(b.set.principals, p, DuplicatePrincipal, p, Place{i, j})
	}
}

// hold notes that the thing under id stands for the client at place, and
// complains where that client could not be told from one before it.
func (b *builder) hold(in map[string]*holders, id string, kind Kind, value string, at Place) *holders {
	h := in[id]
	if h == nil {
		h = &holders{byLogin: make(map[string]Place, 1), noTouch: true}
		in[id] = h
	}
	login := b.set.clients[at.Client].Login
	if first, ok := h.clash(login); ok {
		b.conflict(kind, value, first, at)
		return h
	}
	if len(h.byLogin) == 0 {
		h.first = at
	}
	h.byLogin[login] = at
	return h
}

// clash returns the holder that a client with the login name could not be told
// from. The empty login name stands for all, so it clashes with any.
func (h *holders) clash(login string) (Place, bool) {
	if len(h.byLogin) == 0 {
		return Place{}, false
	}
	if login == "" {
		return h.first, true
	}
	return h.under(login)
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
	h := s.keys[string(key.Marshal())]
	if h == nil {
		return false, false
	}
	return h.noTouch, true
}

// ByKey returns the client that the key stands for under the login name. The
// caller has proof that the key signed. An error is a [*Denial].
func (s *Set) ByKey(key ssh.PublicKey, login string) (Client, error) {
	h := s.keys[string(key.Marshal())]
	if h == nil {
		return Client{}, &Denial{
			Code:    UnknownKey,
			Message: "no client has this key",
			Remedy:  "add the key to a client, or offer another one (ssh -o IdentitiesOnly=yes -i FILE)",
		}
	}
	place, ok := h.under(login)
	if !ok {
		return Client{}, wrongLogin("this key", login)
	}
	return s.clients[place.Client].clone(), nil
}

// under returns the holder for the login name.
func (h *holders) under(login string) (Place, bool) {
	if p, ok := h.byLogin[""]; ok {
		return p, true
	}
	if login == "" {
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
		h := s.principals[name]
		if h == nil {
			continue
		}
		known = true
		place, ok := h.under(login)
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
