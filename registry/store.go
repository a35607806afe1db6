package registry

import "sync/atomic"

// Store holds the set of the moment. Readers never wait, and see the old set or
// the new one, never a mixture.
type Store struct {
	set atomic.Pointer[Set]
}

// NewStore returns a store that holds the set; nil stands for no clients.
func NewStore(set *Set) *Store {
	s := new(Store)
	s.Swap(set)
	return s
}

// Load returns the set of the moment, never nil.
func (s *Store) Load() *Set { return s.set.Load() }

// Swap replaces the set; nil stands for no clients. Sessions that run keep the
// client they began with: ending them is the caller's.
func (s *Store) Swap(set *Set) {
	if set == nil {
		set = new(Set)
	}
	s.set.Store(set)
}
