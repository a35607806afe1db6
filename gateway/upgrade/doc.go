// Package upgrade has a new process of a gateway take over from one that runs, whose
// sessions go on in it.
//
// The old one starts the new one, which inherits a socket, the [Descriptor], and learns
// of that by the variable [Variable] of its environment alone. On it they speak so, a
// value of JSON in each packet:
//
//	new: prepared   it has read its files, and could serve
//	old: estate     here are the listening sockets, and what else is needed
//	new: ready      it serves, from now on
//	new: failed     it will not, and why; any time before
//
// and later, for as long as both live:
//
//	new: stop       end as at a signal
//	new: passed     a third one has taken over, and holds the other end from now on
//
// The end of the new one before it is ready leaves the old one as it was. Descriptors
// travel with the packets. Neither side believes more than that the other is a gateway:
// they are the same program of the same user.
package upgrade

// Variable is the name of the variable by which a process learns that it is to take over,
// and Descriptor is its value: the socket.
const (
	Variable   = "POSTERN_TAKES_OVER"
	Descriptor = 3
)
