package registry

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/policy"
)

// testKey returns the same key for the same number on every run.
func testKey(t testing.TB, n byte) Key {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	public, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return Key{Public: public}
}

func mustNew(t testing.TB, clients ...Client) *Set {
	t.Helper()
	set, err := New(clients)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// code returns the code of a denial, "" for none.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var denial *Denial
	if !errors.As(err, &denial) {
		t.Fatalf("error %v is a %T, want a *Denial", err, err)
	}
	if denial.Message == "" || denial.Remedy == "" {
		t.Errorf("denial %q has message %q and remedy %q", denial.Code, denial.Message, denial.Remedy)
	}
	return denial.Code
}

func TestByKey(t *testing.T) {
	alone, shared, stranger := testKey(t, 1), testKey(t, 2), testKey(t, 3)
	set := mustNew(t,
		Client{Name: "laptop", Keys: []Key{alone}},
		Client{Name: "www", Login: "www", Keys: []Key{shared}},
		Client{Name: "mail", Login: "mail", Keys: []Key{shared}},
	)
	for _, test := range []struct {
		name   string
		key    Key
		login  string
		client string
		code   string
	}{
		{"any login name", alone, "root", "laptop", ""},
		{"no login name", alone, "", "laptop", ""},
		{"one key, first login name", shared, "www", "www", ""},
		{"one key, second login name", shared, "mail", "mail", ""},
		{"one key, another login name (H3 first match)", shared, "laptop", "", WrongLogin},
		{"one key, empty login name", shared, "", "", WrongLogin},
		{"login name in another case", shared, "WWW", "", WrongLogin},
		{"a stranger under a known login name", stranger, "www", "", UnknownKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := set.ByKey(test.key.Public, test.login)
			if got := code(t, err); got != test.code || client.Name != test.client {
				t.Errorf("client %q, code %q, want %q, %q", client.Name, got, test.client, test.code)
			}
		})
	}
}

func TestByPrincipals(t *testing.T) {
	set := mustNew(t,
		Client{Name: "laptop", Principals: []string{"laptop", "alice"}},
		Client{Name: "www", Login: "www", Principals: []string{"servers"}},
		Client{Name: "mail", Login: "mail", Principals: []string{"servers"}},
	)
	for _, test := range []struct {
		name       string
		principals []string
		login      string
		client     string
		code       string
	}{
		{"one", []string{"alice"}, "x", "laptop", ""},
		{"two of one client", []string{"alice", "laptop"}, "x", "laptop", ""},
		{"a known one among unknown", []string{"bob", "alice"}, "x", "laptop", ""},
		{"told apart by the login name", []string{"servers"}, "mail", "mail", ""},
		{"wrong login name", []string{"servers"}, "alice", "", WrongLogin},
		{"of two clients", []string{"alice", "servers"}, "www", "", Ambiguous},
		{"of two clients, one ruled out by the login name", []string{"alice", "servers"}, "x", "laptop", ""},
		{"unknown", []string{"mallory"}, "www", "", UnknownPrincipal},
		{"empty name", []string{""}, "www", "", UnknownPrincipal},
		{"none (H9 empty principals)", nil, "www", "", UnknownPrincipal},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := set.ByPrincipals(test.principals, test.login)
			if got := code(t, err); got != test.code || client.Name != test.client {
				t.Errorf("client %q, code %q, want %q, %q", client.Name, got, test.client, test.code)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	key, other := testKey(t, 1), testKey(t, 2)
	fingerprint := key.Fingerprint()
	for _, test := range []struct {
		name    string
		clients []Client
		want    []string
	}{
		{"H3 one key in two clients", []Client{
			{Name: "a", Keys: []Key{other, key}}, {Name: "b", Keys: []Key{key}},
		}, []string{fmt.Sprintf(`key %q is in client "a" and in client "b", and the login name does not tell them apart`, fingerprint)}},
		{"one key, one login name", []Client{
			{Name: "a", Login: "x", Keys: []Key{key}}, {Name: "b", Login: "x", Keys: []Key{key}},
		}, []string{fmt.Sprintf(`key %q is in client "a" and in client "b", and the login name does not tell them apart`, fingerprint)}},
		{"one key, login name absent in the second", []Client{
			{Name: "a", Login: "x", Keys: []Key{key}}, {Name: "b", Keys: []Key{key}},
		}, []string{fmt.Sprintf(`key %q is in client "a" and in client "b", and the login name does not tell them apart`, fingerprint)}},
		{"one key, login name absent in the first", []Client{
			{Name: "a", Keys: []Key{key}}, {Name: "b", Login: "x", Keys: []Key{key}},
		}, []string{fmt.Sprintf(`key %q is in client "a" and in client "b", and the login name does not tell them apart`, fingerprint)}},
		{"a disabled client keeps its key", []Client{
			{Name: "a", Disabled: true, Keys: []Key{key}}, {Name: "b", Keys: []Key{key}},
		}, []string{fmt.Sprintf(`key %q is in client "a" and in client "b", and the login name does not tell them apart`, fingerprint)}},
		{"key twice in one client", []Client{
			{Name: "a", Login: "x", Keys: []Key{key, other, key}},
		}, []string{fmt.Sprintf(`key %q occurs twice in client "a"`, fingerprint)}},
		{"principal twice", []Client{
			{Name: "a", Principals: []string{"p"}}, {Name: "b", Principals: []string{"p"}},
		}, []string{`principal "p" is in client "a" and in client "b", and the login name does not tell them apart`}},
		{"name twice", []Client{
			{Name: "a"}, {Name: "a"},
		}, []string{`two clients have the name "a"`}},
		{"all of them at once", []Client{
			{Name: "a", Principals: []string{"p", "q"}}, {Name: "b", Principals: []string{"q", "p"}},
		}, []string{
			`principal "q" is in client "a" and in client "b", and the login name does not tell them apart`,
			`principal "p" is in client "a" and in client "b", and the login name does not tell them apart`,
		}},
		{"different login names are none", []Client{
			{Name: "a", Login: "a", Keys: []Key{key}}, {Name: "b", Login: "b", Keys: []Key{key}},
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.clients)
			var conflicts Conflicts
			errors.As(err, &conflicts)
			var got []string
			for _, c := range conflicts {
				got = append(got, c.Error())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("conflicts %q, want %q", got, test.want)
			}
		})
	}
}

func TestConflictsNamePlaces(t *testing.T) {
	key, other := testKey(t, 1), testKey(t, 2)
	_, err := New([]Client{
		{Name: "a", Keys: []Key{other, key}}, {Name: "b", Principals: []string{"p"}}, {Name: "c", Keys: []Key{key}},
	})
	var conflicts Conflicts
	if !errors.As(err, &conflicts) || len(conflicts) != 1 {
		t.Fatalf("error %v, want one conflict", err)
	}
	c := conflicts[0]
	if c.First != (Place{0, 1}) || c.Second != (Place{2, 0}) || err.Error() != c.Error() {
		t.Errorf("places %v and %v, error %v", c.First, c.Second, err)
	}
}

func TestKnows(t *testing.T) {
	touch, free, shared := testKey(t, 1), testKey(t, 2), testKey(t, 3)
	free.NoTouchRequired = true
	sharedFree := shared
	sharedFree.NoTouchRequired = true
	set := mustNew(t,
		Client{Name: "a", Login: "a", Keys: []Key{touch, free, sharedFree}},
		Client{Name: "b", Login: "b", Keys: []Key{shared}},
	)
	for _, test := range []struct {
		name        string
		key         Key
		noTouch, ok bool
	}{
		{"must be touched", touch, false, true},
		{"does without touch", free, true, true},
		{"H10 only one of two clients does without touch", shared, false, true},
		{"stranger", testKey(t, 4), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			noTouch, ok := set.Knows(test.key.Public)
			if noTouch != test.noTouch || ok != test.ok {
				t.Errorf("noTouch %v, ok %v", noTouch, ok)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	expires := time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC)
	networks := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fe80::/10")}
	mapped := []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	for _, test := range []struct {
		name   string
		client Client
		addr   string
		now    time.Time
		code   string
	}{
		{"no conditions", Client{}, "203.0.113.9", expires, ""},
		{"in the network", Client{From: networks}, "192.168.1.7", expires, ""},
		{"H7 IPv4 mapped into IPv6", Client{From: networks}, "::ffff:192.168.1.7", expires, ""},
		{"a zone does not matter", Client{From: networks}, "fe80::1%eth0", expires, ""},
		{"outside the network", Client{From: networks}, "192.168.2.7", expires, Address},
		{"H7 mapped, outside", Client{From: networks}, "::ffff:10.0.0.1", expires, Address},
		{"IPv4-compatible IPv6 is not IPv4", Client{From: networks}, "::192.168.1.7", expires, Address},
		{"IPv4 to an IPv6 list", Client{From: mapped}, "192.168.1.7", expires, Address},
		{"everything of IPv4", Client{From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, "::ffff:1.2.3.4", expires, ""},
		{"last instant", Client{Expires: expires}, "10.0.0.1", expires.Add(-1), ""},
		{"first instant too late", Client{Expires: expires}, "10.0.0.1", expires, Expired},
		{"disabled", Client{Disabled: true}, "10.0.0.1", expires, Disabled},
		{"disabled is said first", Client{Disabled: true, Expires: expires, From: networks}, "10.0.0.1", expires, Disabled},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := code(t, test.client.Admit(netip.MustParseAddr(test.addr), test.now)); got != test.code {
				t.Errorf("code %q, want %q", got, test.code)
			}
		})
	}
	t.Run("no address at all", func(t *testing.T) {
		if got := code(t, Client{From: networks}.Admit(netip.Addr{}, expires)); got != Address {
			t.Errorf("code %q, want %q", got, Address)
		}
	})
}

func TestDenialText(t *testing.T) {
	err := Client{Name: "laptop", Disabled: true}.Admit(netip.MustParseAddr("10.0.0.1"), time.Time{})
	if want := `client "laptop" is disabled; postern client enable laptop`; err == nil || err.Error() != want {
		t.Errorf("denial %v, want %q", err, want)
	}
}

func TestSetCannotBeChanged(t *testing.T) {
	original := []Client{{
		Name: "a", Keys: []Key{testKey(t, 1)}, Principals: []string{"p"},
		From:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Rules: []policy.Rule{{Tool: policy.Rsync, Path: "/volume1/a", Access: policy.ReadOnly}},
	}}
	set := mustNew(t, original...)
	spoil := func(c Client) {
		c.Keys[0] = testKey(t, 9)
		c.Principals[0] = "mallory"
		c.From[0] = netip.MustParsePrefix("0.0.0.0/0")
		c.Rules[0].Access = policy.ReadWrite
	}
	byName, _ := set.Client("a")
	byKey, _ := set.ByKey(testKey(t, 1).Public, "")
	byPrincipal, _ := set.ByPrincipals([]string{"p"}, "")
	for _, c := range []Client{original[0], set.Clients()[0], byName, byKey, byPrincipal} {
		spoil(c)
	}
	c, ok := set.Client("a")
	if !ok || c.Keys[0].Fingerprint() != testKey(t, 1).Fingerprint() || c.Principals[0] != "p" ||
		c.From[0].Bits() != 8 || c.Rules[0].Access != policy.ReadOnly {
		t.Errorf("the set's client became %+v", c)
	}
}

func TestSetNames(t *testing.T) {
	set := mustNew(t, Client{Name: "b"}, Client{Name: "a"})
	if set.Len() != 2 || set.Clients()[0].Name != "b" {
		t.Errorf("clients %v", set.Clients())
	}
	if _, ok := set.Client("c"); ok {
		t.Error("a client that does not exist was found")
	}
}

func TestStore(t *testing.T) {
	store := NewStore(nil)
	if store.Load().Len() != 0 {
		t.Error("an empty store has clients")
	}
	if _, err := store.Load().ByKey(testKey(t, 1).Public, ""); code(t, err) != UnknownKey {
		t.Error("an empty store knows a key")
	}
	one, two := mustNew(t, Client{Name: "a"}), mustNew(t, Client{Name: "a"}, Client{Name: "b"})
	store.Swap(one)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 1000 {
				if set := store.Load(); set != one && set != two {
					t.Error("a set that nobody stored")
				}
			}
		})
	}
	store.Swap(two)
	readers.Wait()
	if store.Load() != two {
		t.Error("the second set is not there")
	}
	store.Swap(nil)
	if store.Load().Len() != 0 {
		t.Error("nil did not empty the store")
	}
}

func BenchmarkByKey(b *testing.B) {
	clients := make([]Client, 200)
	for i := range clients {
		clients[i] = Client{Name: fmt.Sprint(i), Keys: []Key{testKey(b, byte(i))}}
	}
	set := mustNew(b, clients...)
	key := testKey(b, 7).Public
	for b.Loop() {
		if _, err := set.ByKey(key, "backup"); err != nil {
			b.Fatal(err)
		}
	}
}

// A rule that lets nothing in has no writer.
func TestOneWriter(t *testing.T) {
	rule := func(path string, one bool, access policy.Access) policy.Rule {
		return policy.Rule{Tool: policy.Rsync, Path: path, OneWriter: one, Access: access}
	}
	set := mustNew(t,
		Client{Name: "a", Rules: []policy.Rule{rule("/a", true, policy.ReadWrite), rule("/b", false, policy.ReadWrite)}},
		Client{Name: "b", Disabled: true, Rules: []policy.Rule{rule("/c", true, policy.ReadOnly), rule("/d", true, policy.WriteOnly)}},
	)
	if got := set.OneWriter(); !slices.Equal(got, []string{"/a", "/d"}) {
		t.Errorf("folders %q", got)
	}
}
