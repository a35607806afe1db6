// Package gateway is the SSH server: it listens, finds out who a peer is, and
// runs what policy allows.
//
// A connection is one [gliderssh.Server] of its own, which is used for its
// handshake and its channel loop and for nothing else: sessions, requests and
// identity are ours. Serving goes through these stages, each in its file:
//
//   - server.go accepts, proxied.go finds out whom a proxy connects for, knock.go
//     asks the package door whether to serve, connection.go holds what belongs to one
//     peer;
//   - offer.go looks at the keys that a peer names, identity.go and
//     certificates.go decide from the one that signed who it is;
//   - channel.go answers the requests on a channel, of which one may be an exec;
//   - session.go decides and records that one, process.go runs it, and stream.go
//     carries its data.
//
// Between the decision and the record, gate.go asks whether there is room for the
// session: by the limits of its client (bounds.go, with the package limit), and by
// those of its rules (turn.go and fill.go).
//
// Beside them, keepalive.go finds out who has gone without a word, budget.go
// bounds what a peer may ask for in vain, backlog.go keeps a peer from leaving
// goroutines of the library behind, and retire.go ends all of it.
//
// [Identify], [Decide] and [Describe] are what the server itself calls, so that a
// command that explains calls the same.
package gateway
