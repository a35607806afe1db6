// Postern is an SSH server for a NAS that opens for backups and nothing else.
//
// This package is the command line: it reads flags, files and signals, puts the
// parts together and prints. It decides nothing.
package main

import (
	"os"

	"postern/sandbox"
)

func main() {
	// The same binary is also the helper that turns into a session's child,
	// and the remote shell that explain gives to rsync and borg.
	sandbox.Main(os.Args)
	if status, is := captureMain(os.Args, os.Stdin); is {
		os.Exit(status)
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
