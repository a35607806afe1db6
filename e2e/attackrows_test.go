package e2e

// Where an attack is refused before any process starts, and by which code.
var (
	// atNone is for options that follow links, and names that nobody saw.
	atNone = map[string]string{none: "unconfined"}
	// strayAtNone is for folders with links that lead out.
	strayAtNone = map[string]string{none: "path-symlink"}
	// belowNamespaces is for what sets modes and times behind a link.
	belowNamespaces = map[string]string{none: "unconfined", landlock: "unconfined"}
	// linkBelowNamespaces is for folders to be written behind a link.
	linkBelowNamespaces = map[string]string{none: "path-symlink", landlock: "path-symlink"}
)

// The versions in which an attack works.
var (
	anyRsync  = []string{oldRsync, newRsync}
	oldAlone  = []string{oldRsync}
	newAlone  = []string{newRsync}
	mine      = map[string]string{"x": "mine", "y": "mine"}
	neighbour = map[string]string{"out": "-> ../k2", "leads": "-> ../k2/secret", "x": "mine"}
)

func attacks() []attack {
	pushed := map[string]string{"out/planted": "planted"}
	twin := map[string]string{"aux": "-> ../k2", "secret": "THE WORDS OF ANOTHER CLIENT"}
	return []attack{
		{row: "B20", class: "links copied as what they lead to", nas: neighbour, args: []string{"-aL", "k1:", "got/"}, refused: atNone, harms: anyRsync},
		{row: "B20", class: "links to folders followed", nas: neighbour, args: []string{"-ak", "k1:", "got/"}, refused: atNone, harms: anyRsync},
		{row: "B20", class: "unsafe links followed", nas: neighbour, args: []string{"-a", "--copy-unsafe-links", "k1:", "got/"}, refused: atNone, harms: anyRsync},
		{row: "B20", class: "link of /proc followed", nas: map[string]string{"magic": "-> /proc/self/rootNAS/k2"}, args: []string{"-ak", "k1:", "got/"}, refused: atNone, harms: anyRsync},
		{row: "B10", class: "list of names through a link", nas: neighbour, args: []string{"-a", "--files-from=:leads", "k1:", "got/"}, refused: atNone, harms: anyRsync},
		{row: "B21", class: "links to folders kept", nas: neighbour, src: pushed, args: []string{"-aK", "SRC/", "k1:"}, refused: belowNamespaces, harms: oldAlone},
		{row: "B22", class: "no implied folders", nas: neighbour, src: pushed, args: []string{"-aR", "--no-implied-dirs", "SRC/./out/planted", "k1:"}, refused: belowNamespaces, harms: oldAlone},
		{row: "B27", class: "temporary files behind a link", nas: neighbour, src: pushed, args: []string{"-a", "--temp-dir=out", "SRC/out/", "k1:"}, refused: linkBelowNamespaces, harms: anyRsync},
		{row: "B28", class: "backups behind a link", nas: neighbour, src: map[string]string{"x": "more than mine"}, args: []string{"-ab", "--backup-dir=out", "SRC/", "k1:"}, refused: linkBelowNamespaces, harms: anyRsync},
		{row: "B29", class: "backups behind a link of the same transfer", nas: map[string]string{"x": "mine"}, src: map[string]string{"aux": "-> ../k2", "x": "more than mine"},
			args: []string{"-ab", "--backup-dir=aux", "SRC/", "k1:"}, refused: atNone, harms: anyRsync},
		{row: "B29", class: "backups in a folder behind a link of the same transfer", nas: map[string]string{"sub/x": "mine"}, src: map[string]string{"aux": "-> ../k2", "sub/x": "more than mine"},
			args: []string{"-ab", "--backup-dir=aux", "SRC/", "k1:"}, refused: atNone, harms: anyRsync},
		{row: "B30", class: "twin linked behind a link", nas: map[string]string{"aux": "-> ../k2"}, src: twin, args: []string{"-a", "--link-dest=aux", "SRC/", "k1:"}, refused: strayAtNone, harms: anyRsync},
		{row: "B30", class: "twin copied behind a link", nas: map[string]string{"aux": "-> ../k2"}, src: twin, args: []string{"-a", "--copy-dest=aux", "SRC/", "k1:"}, refused: strayAtNone, harms: anyRsync},
		{row: "B30", class: "twin linked behind a link of the same transfer", src: twin, args: []string{"-a", "--link-dest=aux", "SRC/", "k1:"}, refused: atNone, harms: anyRsync},
		{row: "B30", class: "twin copied behind a link of the same transfer", src: twin, args: []string{"-a", "--copy-dest=aux", "SRC/", "k1:"}, refused: atNone, harms: anyRsync},
		{row: "C10", class: "pull through a link", nas: neighbour, args: []string{"-a", "k1:out/", "got/"}, refused: everywhere("path-symlink"), harms: anyRsync},
		{row: "C10", class: "push through a link", nas: neighbour, src: pushed, args: []string{"-a", "SRC/out/", "k1:out/"}, refused: everywhere("path-symlink"), harms: anyRsync},
		{row: "D1", class: "rules behind a link", nas: map[string]string{"linked": "-> ../k2/rules", "x": "mine", "y": "mine"}, args: []string{"-a", "-f:-s linked", "k1:", "got/"}, refused: strayAtNone, harms: anyRsync, missed: "x"},
		{row: "D1", class: "rules in the folder above", nas: mine, args: []string{"-a", "-f:-s ../rules", "k1:", "got/"}, harms: newAlone, missed: "x"},
		{row: "D1", class: "rules in all folders above", nas: mine, args: []string{"-a", "-f:- /rules", "k1:", "got/"}, harms: anyRsync, missed: "x", residual: true},
		{row: "D2", class: "secret behind a link, taken for a rule", nas: neighbour, args: []string{"-a", "-f:s leads", "k1:", "got/"}, refused: strayAtNone, harms: oldAlone},
		{row: "D2", class: "secret in a folder above, taken for a rule", nas: mine, args: []string{"-a", "-f:s /secret", "k1:", "got/"}, harms: oldAlone, residual: true},
		{row: "D3", class: "names inside the protocol", nas: neighbour, src: map[string]string{"list": "out/secret\n"}, args: []string{"-a", "--files-from=SRC/list", "k1:", "got/"}, refused: atNone, harms: anyRsync},
	}
}

// everywhere is for what is refused whatever holds the child.
func everywhere(code string) map[string]string {
	return map[string]string{none: code, landlock: code, namespaces: code, full: code}
}
