// Package usage counts what folders hold, for limits that nobody else holds: neither
// the data of a session (it can be compressed, be copied on this host, be all holes),
// nor the file system (its quotas are of users, and several clients can share one)
// says how much a folder grows.
//
// What counts is what the file system has set aside (st_blocks), as du tells it: a
// hole costs nothing, a file with several names counts once, a folder counts too, and
// files that share their blocks (reflinks) count each. Other file systems below the
// folder do not count.
package usage
