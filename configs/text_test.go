package configs

import (
	"strings"
	"testing"
)

func TestBadEncodings(t *testing.T) {
	for name, content := range map[string]string{
		"Latin-1":                     "login: \xfcber\n",
		"UTF-16":                      "\xff\xfel\x00o\x00",
		"a second byte order mark":    "\ufeff\ufeffkeys: []\n",
		"C1 control character":        "login: a\u0085b\n",
		"overlong UTF-8":              "login: a\xc0\xafb\n",
		"UTF-8 of half a surrogate":   "login: a\xed\xa0\x80b\n",
		"byte order mark in the text": "login: a\ufeffb\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client("laptop", "keys: ["+goodKey+"]\n"+content)
			if cfg, err := w.load(); err == nil {
				t.Errorf("loaded as %+v", cfg.Clients)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", strings.Repeat("#", 1<<20+1))
	_, err := w.load()
	if got, want := w.problems(err), "# want: the file is larger than 1 MiB\n# remedy: check that it is the right file\n"; got != want {
		t.Errorf("problems\n%s", got)
	}
}

// TestCostlyFiles feeds files that would take the YAML library minutes, or its
// whole stack.
func TestCostlyFiles(t *testing.T) {
	for name, test := range map[string]struct {
		pattern string
		bytes   int
	}{
		"deep lists":             {"[", maxFile / 4},
		"deep mappings":          {"{a: ", maxFile / 4},
		"deep dashes":            {"- ", maxFile / 4},
		"many keys":              {"a: 1\n", maxFile / 4},
		"many documents":         {"---\n", maxFile / 4},
		"a quote":                {"\"", maxFile / 4},
		"keys below the bound":   {"a: 1\n", maxTokens * 5 / 3},
		"nulls below the bound":  {"a:\n", maxTokens * 3 / 2},
		"items below the bound":  {"-\n", maxTokens * 2},
		"blocks below the bound": {"a: |\n", maxTokens * 5 / 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client("laptop", strings.Repeat(test.pattern, test.bytes/len(test.pattern)))
			if _, err := w.load(); err == nil {
				t.Error("loaded")
			}
		})
	}
}

func TestPrivateKeysAreNotShown(t *testing.T) {
	const secret = "c2VjcmV0IG1hdGVyaWFs"
	for name, content := range map[string]string{
		"OpenSSH, in a block": "keys:\n  - |\n    -----BEGIN OPENSSH PRIVATE KEY-----\n    " + secret + "\n",
		"OpenSSH, unindented": "keys:\n-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret + "\n-----END OPENSSH PRIVATE KEY-----\n",
		"PEM":                 "keys: ['-----BEGIN RSA PRIVATE KEY----- " + secret + "']\n",
		"the middle of one":   "keys: [b3BlbnNzaC1rZXktdjEAAAAABG5vbmU" + secret + "]\n",
		"PuTTY":               "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n" + secret + "\n",
		"RFC 4716":            "keys: ['---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----', " + secret + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client("laptop", content)
			_, err := w.load()
			problems, _ := err.(Problems)
			if len(problems) != 1 || problems[0].Message != privateKeyMessage || problems[0].Line == 0 {
				t.Errorf("problems %v", err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Error("the secret is shown")
			}
		})
	}
	if _, faults := parseKey("-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret); len(faults) != 1 || faults[0].message != privateKeyMessage {
		t.Errorf("faults %v", faults)
	}
}
