package configs

import (
	"slices"
	"strings"
	"testing"
)

// TestSandboxCombinations goes through every pair of levels. Whatever is
// accepted, none is only the least where it was asked for by name.
func TestSandboxCombinations(t *testing.T) {
	levels := []string{"", "none", "landlock", "namespaces", "full"}
	accepted := map[string]string{ // require and most as written, and require as it is meant
		" ": "", " full": "", " landlock": "landlock", " namespaces": "namespaces",
		"none ": "none", "none none": "none", "none landlock": "none", "none namespaces": "none", "none full": "none",
		"landlock ": "landlock", "landlock landlock": "landlock", "landlock full": "landlock",
		"namespaces ": "namespaces", "namespaces namespaces": "namespaces", "namespaces full": "namespaces",
		"full ": "full", "full full": "full",
	}
	for _, require := range levels {
		for _, most := range levels {
			var keys []string
			for key, level := range map[string]string{"require": require, "most": most} {
				if level != "" {
					keys = append(keys, key+": "+level)
				}
			}
			slices.Sort(keys)
			cfg, err := newWorld(t, "sandbox: {"+strings.Join(keys, ", ")+"}").load()
			want, ok := accepted[require+" "+most]
			switch {
			case ok && err != nil:
				t.Errorf("require %q, most %q: %v", require, most, err)
			case ok && cfg.Sandbox != Sandbox{Require: want, Most: most}:
				t.Errorf("require %q, most %q is %+v", require, most, cfg.Sandbox)
			case !ok && err == nil:
				t.Errorf("require %q, most %q is taken for %+v", require, most, cfg.Sandbox)
			}
		}
	}
}

func TestSandboxAcceptsUnconfinedAtNoneAlone(t *testing.T) {
	cfg := newWorld(t, "sandbox: {i_accept_unconfined: true, require: none}").mustLoad()
	if !cfg.Sandbox.AcceptUnconfined {
		t.Error("it is not accepted")
	}
	for _, rest := range []string{"", ", require: landlock", ", require: namespaces", ", require: full", ", most: landlock"} {
		if cfg, err := newWorld(t, "sandbox: {i_accept_unconfined: true"+rest+"}").load(); err == nil {
			t.Errorf("%q is taken for %+v", rest, cfg.Sandbox)
		}
	}
}
