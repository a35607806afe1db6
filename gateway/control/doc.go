// Package control carries questions of the operator's commands to the gateways that
// run, and their answers back. What they are about is for its users to say.
//
// Each gateway has a Unix socket of its own in one folder of the state, which is named
// after its process: during an upgrade there are two. The protocol is HTTP with a
// value of JSON each way, one question on each connection.
//
// Only root and the user of the gateway are answered, whatever the modes of the folder
// and the socket came to be. What root may ask a gateway of another user is not bounded
// here. Whoever asks believes the answers of the folder's owner alone, so that a link
// in there leads root's questions to no other service.
package control
