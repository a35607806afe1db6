// Package limit keeps count of what each client has of the gateway at the moment: its
// connections, its sessions, and how fast its data flows.
//
// What the limits are is the registry's to know, and is told with each question, so
// that a change takes effect with the next one. Nothing is remembered of a client
// that has no connection.
package limit
