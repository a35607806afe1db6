// Capture writes down the command lines that stock clients really send.
//
// It runs the real rsync and borg once for each option of their manuals, with
// a stand-in for ssh that records its arguments and hangs up. The stand-in is
// this same program under the name ssh, first on the clients' PATH, so that
// the clients are called exactly as a user calls them. Nothing is sent over a
// network and no remote program runs.
//
// The test data of package policy is made by
//
//	go run ./internal/capture \
//	    --rsync 3.5.0=/usr/bin/rsync --rsync 3.2.7=bin/rsync-3.2.7/usr/bin/rsync \
//	    --borg 1.2.4=/usr/bin/borg --out policy/testdata/corpus
//
// from the root of the module, after .ci/packages test has fetched the older
// rsync. The result is the same each time: it is sorted and holds nothing of
// the machine or the folders that it was made in. The format is described in
// policy/testdata/corpus/README.md.
//
// It fails when the help text of a client lists an option or a subcommand that
// no table here calls, when a call that should reach the remote host does not,
// and when a binary is not of the version that the flag says.
package main
