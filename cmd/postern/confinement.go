package main

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"postern/configs"
	"postern/sandbox"
)

// ability tells how the kernel of this host can hold the children of whoever
// runs this command.
func ability() sandbox.Ability { return sandbox.Probe("/proc/self/exe") }

// confinement is how the kernel holds the children of a gateway with this
// configuration: the strongest that the host gives, and no more than is asked
// for at most. It is an error where that is less than what is required.
func confinement(c configs.Sandbox, host sandbox.Ability) (sandbox.Level, error) {
	given := host.Level
	if c.Most != "" {
		most, err := sandbox.ParseLevel(c.Most)
		if err != nil {
			return given, err
		}
		given = common(given, most)
	}
	if c.Require == "" {
		if given == sandbox.None {
			return given, fmt.Errorf("this host gives no confinement, so whatever a hole in rsync or borg can do, a client can; %swrite sandbox: {require: none} to accept that",
				raising(host))
		}
		return given, nil
	}
	require, err := sandbox.ParseLevel(c.Require)
	if err == nil && !given.Includes(require) {
		err = fmt.Errorf("sandbox.require is %q, and this host gives %q; %srequire less", require, given, raising(host))
	}
	return given, err
}

// common is what two levels have both.
func common(a, b sandbox.Level) sandbox.Level {
	switch {
	case a.Includes(b):
		return b
	case b.Includes(a):
		return a
	}
	return sandbox.None
}

// raising says what would raise the confinement of a host, in front of what else
// can be done.
func raising(host sandbox.Ability) string {
	if len(host.Hints) == 0 {
		return ""
	}
	return "do one of these: " + strings.Join(host.Hints, "; ") + "; or "
}

// borgHostID is the name of the gateway in the locks of repositories, by which
// borg knows one that a crash left behind for its own. It goes with the host key:
// as long-lived as the gateway's state, and no other gateway's.
func borgHostID(key ssh.PublicKey) string {
	return fmt.Sprintf("postern@%.8x", sha256.Sum256(key.Marshal()))
}
