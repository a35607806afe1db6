package registry

import (
	"fmt"
	"strings"
)

// Kind says what two clients share that only one may have.
type Kind string

// The kinds of conflict.
const (
	DuplicateName      Kind = "name"
	DuplicateKey       Kind = "key"
	DuplicatePrincipal Kind = "principal"
)

// Place is where a key or principal stands in the clients that [New] got.
type Place struct {
	// Client is the index of the client.
	Client int
	// Item is the index in its Keys or Principals; 0 for a name.
	Item int
}

// Conflict is one name, key or principal that does not say which client is
// meant.
type Conflict struct {
	Kind Kind
	// Value is the name, the principal, or the fingerprint of the key.
	Value string
	// First and Second are the two places, in the order of the clients.
	First, Second Place

	names [2]string
}

// Error says what occurs twice and in which clients.
func (c Conflict) Error() string {
	if c.First.Client == c.Second.Client {
		return fmt.Sprintf("%s %q occurs twice in client %q", c.Kind, c.Value, c.names[0])
	}
	if c.Kind == DuplicateName {
		return fmt.Sprintf("two clients have the name %q", c.Value)
	}
	return fmt.Sprintf("%s %q is in client %q and in client %q, and the login name does not tell them apart",
		c.Kind, c.Value, c.names[0], c.names[1])
}

// Conflicts is every conflict that [New] found. It is an error.
type Conflicts []Conflict

// Error returns one line for each conflict.
func (cs Conflicts) Error() string {
	lines := make([]string, len(cs))
	for i, c := range cs {
		lines[i] = c.Error()
	}
	return strings.Join(lines, "\n")
}
