package policy

import "fmt"

// mended is the first rsync in which the holes are closed by which a client
// reads and writes outside the paths that it names.
var mended = version{3, 4, 3}

// String says what the kernel must give, for whoever can raise it.
func (h Hold) String() string {
	switch h {
	case Contents:
		return "Landlock or namespaces"
	case Everything:
		return "namespaces"
	}
	return "no confinement"
}

// unconfined is the refusal of what only a confined child may do.
func unconfined(message, remedy, detail string) *Refusal {
	return &Refusal{Code: "unconfined", Status: ExitRefused, Message: message, Remedy: remedy, Detail: detail}
}

// unheld refuses what rsync must not do where nothing but its arguments holds
// it: run with known holes, and work in a folder with links that lead out of it,
// which those of a client that were munged do not.
func (r *rsyncRequest) unheld() *Refusal {
	if v, ok := parseVersion(r.host.Rsync.Version); r.host.Rsync.Installed() && (!ok || v.before(mended)) && !r.host.AcceptUnconfined {
		return unconfined("the rsync of this gateway has known holes, and the gateway's kernel does not hold it",
			"ask the gateway's operator to update rsync",
			fmt.Sprintf("rsync %s is older than 3.4.3; update it, raise the confinement, or write sandbox: {i_accept_unconfined: true}", r.host.Rsync.Version))
	}
	if link := r.tree.StrayLink(r.rule.Path); link != "" {
		return &Refusal{Code: "path-symlink", Status: ExitRefused,
			Message: fmt.Sprintf("the symbolic link %q leads out of %s, and the gateway's kernel does not hold rsync there", link, r.rule.Path),
			Remedy:  "ask the gateway's operator to remove it",
			Detail:  "remove the link, or raise the confinement: postern check says how"}
	}
	return nil
}
