package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
	"postern/policy"
	"postern/registry"
)

// usualLogin is the login name that is assumed where any will do.
const usualLogin = "backup"

// identify says which client the question is about, and fills in what becomes of
// its key. It returns nil where the key is not let in. An error is a question
// that has no answer.
func identify(set *registry.Set, trust gateway.Trust, q question, typedLogin string, now time.Time, e *explained) (*registry.Client, error) {
	key, clients, err := findSubject(set, q.subject)
	if err != nil {
		return nil, err
	}
	login, err := e.chooseLogin(q.login, typedLogin, clients)
	if err != nil {
		return nil, err
	}
	address, err := e.chooseAddress(q.from, key, clients)
	if err != nil {
		return nil, err
	}
	e.about(key, clients)
	if key == nil && len(clients) == 0 {
		e.refuseKey(&registry.Denial{Code: registry.UnknownKey, Message: fmt.Sprintf("no client has the key %s", q.subject),
			Remedy: "register it: postern client add NAME --key FILE --rsync FOLDER"}, nil)
		return nil, nil
	}
	if key == nil {
		client := clients[0]
		e.assume("a certificate for %s is shown and holds", strings.Join(client.Principals, " or "))
		return e.admit(client, client.Admit(address, now))
	}
	who, err := gateway.Identify(set, trust, gateway.Peer{Key: key, Login: login, Address: address}, now)
	if err != nil {
		return e.admit(first(clients), err)
	}
	return e.admit(who.Client, nil)
}

// admit fills in who the client is, and returns it unless the error says that it
// is not let in.
func (e *explained) admit(c registry.Client, err error) (*registry.Client, error) {
	e.Client, e.File = c.Name, c.Where
	var denial *registry.Denial
	switch {
	case errors.As(err, &denial):
		e.refuseKey(denial, &c)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &c, nil
}

func first(clients []registry.Client) registry.Client {
	if len(clients) == 0 {
		return registry.Client{}
	}
	return clients[0]
}

// refuseKey fills in why a key is not let in, and the line that would change
// that.
func (e *explained) refuseKey(d *registry.Denial, c *registry.Client) {
	e.Decision = policy.Deny.String()
	e.Code, e.Reason, e.Remedy = d.Code, d.Message, d.Remedy
	if c == nil || c.Where == "" {
		return
	}
	switch d.Code {
	case registry.Address:
		var networks strings.Builder
		for _, n := range c.From {
			fmt.Fprintf(&networks, "%q, ", n)
		}
		e.Line = fmt.Sprintf("from: [%s%q]", networks.String(), e.Address)
		e.Into = c.Where + ", in place of from"
	case registry.Disabled:
		e.Line, e.Into = "disabled: false", c.Where
	}
}

// about fills in what the key is.
func (e *explained) about(key ssh.PublicKey, clients []registry.Client) {
	if key == nil {
		return
	}
	e.Key = ssh.FingerprintSHA256(key)
	if cert, ok := key.(*ssh.Certificate); ok {
		e.Key = fmt.Sprintf("%s, certificate %q of %s", ssh.FingerprintSHA256(cert.Key), cert.KeyId, ssh.FingerprintSHA256(cert.SignatureKey))
		return
	}
	for _, c := range clients {
		for _, k := range c.Keys {
			if k.Fingerprint() == e.Key {
				e.Comment = k.Comment
			}
		}
	}
}

// findSubject finds what the first argument of explain names: the key, where
// there is one, and the clients that have it.
func findSubject(set *registry.Set, subject string) (ssh.PublicKey, []registry.Client, error) {
	if c, ok := set.Client(subject); ok {
		if len(c.Keys) == 0 {
			return nil, []registry.Client{c}, nil
		}
		return c.Keys[0].Public, []registry.Client{c}, nil
	}
	if strings.HasPrefix(subject, "SHA256:") {
		key, clients := holders(set, subject)
		return key, clients, nil
	}
	key, err := readKey(subject)
	if err != nil {
		return nil, nil, err
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		return key, namedIn(set, cert), nil
	}
	_, clients := holders(set, ssh.FingerprintSHA256(key))
	return key, clients, nil
}

// holders returns the key with the fingerprint and the clients that have it.
func holders(set *registry.Set, fingerprint string) (ssh.PublicKey, []registry.Client) {
	var key ssh.PublicKey
	var clients []registry.Client
	for _, c := range set.Clients() {
		i := slices.IndexFunc(c.Keys, func(k registry.Key) bool { return k.Fingerprint() == fingerprint })
		if i >= 0 {
			key, clients = c.Keys[i].Public, append(clients, c)
		}
	}
	return key, clients
}

// namedIn returns the clients that have a principal of the certificate.
func namedIn(set *registry.Set, cert *ssh.Certificate) []registry.Client {
	return slices.DeleteFunc(set.Clients(), func(c registry.Client) bool {
		return !slices.ContainsFunc(c.Principals, func(p string) bool { return slices.Contains(cert.ValidPrincipals, p) })
	})
}

// readKey reads a public key or a certificate, as text or from a file.
func readKey(text string) (ssh.PublicKey, error) {
	line := text
	if !looksLikeKey(text) {
		lines, err := keyLines(text)
		if errors.Is(err, os.ErrNotExist) {
			return nil, usagef("%q is no client, no fingerprint (SHA256:...), no public key and no file; see postern client list", text)
		}
		if err != nil {
			return nil, err
		}
		line = lines[0]
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, usagef("%q is not a public key: %w", text, err)
	}
	return key, nil
}

// chooseLogin says which login name counts: the one that was asked for, the one
// that the command line was typed with, or the only one that can be meant.
func (e *explained) chooseLogin(asked, typed string, clients []registry.Client) (string, error) {
	switch {
	case asked != "":
		e.Login = asked
	case typed != "":
		e.Login = typed
	case len(clients) > 1:
		var names []string
		for _, c := range clients {
			names = append(names, fmt.Sprintf("%s (%s)", c.Login, c.Name))
		}
		return "", usagef("the key belongs to several clients; give one of their login names with --login: %s", strings.Join(names, ", "))
	case first(clients).Login != "":
		e.Login = clients[0].Login
		e.assume("the client logs in as %q; --login NAME for another", e.Login)
	default:
		e.Login = usualLogin
		e.assume("the client logs in as %q; --login NAME for another", e.Login)
	}
	return e.Login, nil
}

// chooseAddress says where the client comes from: the address that was asked for,
// or one that its file allows.
func (e *explained) chooseAddress(asked string, key ssh.PublicKey, clients []registry.Client) (netip.Addr, error) {
	if asked != "" {
		address, err := netip.ParseAddr(asked)
		if err != nil {
			return address, usagef("--from %q is not an IP address", asked)
		}
		e.Address = address.String()
		return address, nil
	}
	if cert, ok := key.(*ssh.Certificate); ok && cert.CriticalOptions["source-address"] != "" {
		return netip.Addr{}, usagef("the certificate is for %s only; give an address with --from", cert.CriticalOptions["source-address"])
	}
	if from := first(clients).From; len(from) > 0 {
		e.assume("the client comes from an address that it may come from, such as %s; --from ADDRESS for another", from[0].Addr())
		return from[0].Addr(), nil
	}
	if key != nil {
		e.assume("the address does not matter to this key; --from ADDRESS to see")
	}
	return anyAddress(), nil
}
