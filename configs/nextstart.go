package configs

import "reflect"

// paths are those of the programs, whichever are named.
func (p Programs) paths() [3]string { return [3]string{p.Rsync, p.Borg, p.Borg2} }

// connection is what the key of that name says.
func (c *Config) connection() any { return []any{c.SessionsPerConnection, c.Idle, c.Door, c.Proxies} }

// NextStart returns the keys of the gateway's own file that say something else in
// files that were loaded later, and that a gateway goes by only when it starts. All
// others it goes by at once: the clients, the folder that they are in, and
// certificates.
func (c *Config) NextStart(later *Config) []string {
	var keys []string
	for _, k := range []struct {
		key        string
		then, thus any
	}{
		{"listen", c.Listen, later.Listen},
		{"state", c.State, later.State},
		{"host_keys", c.HostKeys[1:], later.HostKeys[1:]}, // the first is of the state
		{"programs", c.Programs.paths(), later.Programs.paths()},
		{"aliases", c.Programs.Aliases, later.Programs.Aliases},
		{"audit", c.Audit, later.Audit},
		{"sandbox", c.Sandbox, later.Sandbox},
		{"connection", c.connection(), later.connection()},
		{"drain", c.Drain, later.Drain},
		{"log", c.LogLevel, later.LogLevel},
	} {
		if !reflect.DeepEqual(k.then, k.thus) {
			keys = append(keys, k.key)
		}
	}
	return keys
}
