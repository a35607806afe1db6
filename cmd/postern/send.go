package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"postern/audit/sender"
	"postern/configs"
)

// destinations are where records go beside the trail, or a [finding] that keeps one
// from being used.
func destinations(c *configs.Config, stdout io.Writer) ([]sender.Destination, error) {
	var all []sender.Destination
	for _, d := range c.Audit.Send {
		to, err := destination(d, stdout)
		if err != nil {
			return nil, mistake(c.Path, fmt.Sprintf("audit.send: %s: %v", d.Kind, err), sendRemedy(d))
		}
		all = append(all, to)
	}
	return all, nil
}

func destination(d configs.Destination, stdout io.Writer) (sender.Destination, error) {
	switch d.Kind {
	case configs.Journald:
		return sender.Journald()
	case configs.Stdout:
		return sender.Stdout(stdout), nil
	}
	return sender.Syslog{Address: d.Address, TLS: d.TLS, CA: d.CA, Certificate: d.Certificate, Key: d.Key}.Destination()
}

func sendRemedy(d configs.Destination) string {
	if d.Kind == configs.Journald {
		return "remove journald from audit.send, or name stdout or a syslog server instead"
	}
	return "name a file in PEM that the gateway can read, or remove its key"
}

// checkSending looks at where records go: what must be there on this host, and who
// could have them sent elsewhere.
func checkSending(c *configs.Config) []finding {
	var all []finding
	if _, err := destinations(c, io.Discard); err != nil {
		all = append(all, asFinding(c.Path, err))
	}
	for _, d := range c.Audit.Send {
		for _, path := range []string{d.CA, d.Certificate, d.Key} {
			target, err := filepath.EvalSymlinks(path)
			if path == "" || err != nil {
				continue
			}
			all = append(all, checkOwners(target, "can have records go elsewhere")...)
			if info, err := os.Stat(target); err == nil && path == d.Key && info.Mode().Perm()&0o007 != 0 {
				all = append(all, mistake(target, "everybody can read or use the key of audit.send", "chmod o-rwx "+target))
			}
		}
	}
	return all
}
