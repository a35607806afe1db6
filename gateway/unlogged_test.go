package gateway_test

import "testing"

// A record says where an rsync ended well without having told of anything, and only
// there.
func TestUnloggedIsOnRecord(t *testing.T) {
	const logs = `for a; do case $a in --log-file=*) echo began > "${a#*=}";; esac; done; `
	for program, unlogged := range map[string]any{":": true, "exit 1": nil, logs + ":": nil, logs + "exit 1": nil} {
		w := serve(t, script(t, program))
		w.run(w.client(), w.push())
		if got := w.wait("session ended")["unlogged"]; got != unlogged {
			t.Errorf("%q: unlogged is %v, want %v", program, got, unlogged)
		}
	}
}
