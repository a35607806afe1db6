package configs

import (
	"errors"
	"os/user"
	"strconv"
	"testing"

	"postern/policy"
)

// testUsers is a user database as hosts have it.
func testUsers() users {
	known := []*user.User{
		{Username: "root", Uid: "0", Gid: "0"},
		{Username: "toor", Uid: "0", Gid: "100"},
		{Username: "alice", Uid: "1000", Gid: "100"},
		{Username: "admin", Uid: "1024", Gid: "0"},
		{Username: "broken", Uid: "-2", Gid: "100"},
	}
	return users{
		byName: func(name string) (*user.User, error) {
			for _, u := range known {
				if u.Username == name {
					return u, nil
				}
			}
			return nil, user.UnknownUserError(name)
		},
		byID: func(uid string) (*user.User, error) {
			for _, u := range known {
				if u.Uid == uid {
					return u, nil
				}
			}
			n, err := strconv.Atoi(uid)
			if err != nil {
				return nil, err
			}
			return nil, user.UnknownUserIdError(n)
		},
	}
}

func TestRunAs(t *testing.T) {
	for text, want := range map[string]policy.User{
		"root":                  {},
		"alice":                 {UID: 1000, GID: 100},
		"1000":                  {UID: 1000, GID: 100},
		"1000:5":                {UID: 1000, GID: 5},
		"77:78":                 {UID: 77, GID: 78},
		"4294967294:4294967294": {UID: 4294967294, GID: 4294967294},
	} {
		if got, f := testUsers().parse(text); f.message != "" || got != want {
			t.Errorf("%q is %v (%s), want %v", text, got, f.message, want)
		}
	}
}

// TestRunAsIsRootByWordAlone holds that nothing but the word root makes a child
// root, or gives it the group of root.
func TestRunAsIsRootByWordAlone(t *testing.T) {
	for _, text := range []string{
		"0", "00", "0:0", "0:100", "00:100", "toor", "1000:0", "1000:00", "admin", "1024", "4294967296:100", "4294967296", "-0", "+0:100",
		"4294967295:100", "100:4294967295", "1000:", ":100", "1000:100:0", "1000:users", "alice:100", "alice:root", "broken", "nobody else",
		"Root", "ROOT", "0x0", "1e3", "bob", "78",
	} {
		if got, f := testUsers().parse(text); f.message == "" || f.remedy == "" {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestRunAsOfThisHost(t *testing.T) {
	if _, err := user.Lookup("nobody"); err != nil {
		t.Skip("needs a user nobody")
	}
	byName, f := hostUsers().parse("nobody")
	if f.message != "" || byName.UID == 0 || byName.GID == 0 {
		t.Fatalf("nobody is %v (%s)", byName, f.message)
	}
	byID, f := hostUsers().parse(strconv.FormatUint(uint64(byName.UID), 10))
	if f.message != "" || byID != byName {
		t.Errorf("by number %v (%s), by name %v", byID, f.message, byName)
	}
	if got, f := hostUsers().parse("no-such-user-here"); f.message == "" {
		t.Errorf("a user that there is not is %v", got)
	}
}

func TestRunAsWithoutDatabase(t *testing.T) {
	failing := func(string) (*user.User, error) { return nil, errors.New("input/output error") }
	if got, f := (users{failing, failing}).parse("alice"); f.message != `the user "alice" cannot be looked up: input/output error` {
		t.Errorf("alice is %v (%s)", got, f.message)
	}
	if got, f := (users{failing, failing}).parse("1000:100"); f.message != "" || got != (policy.User{UID: 1000, GID: 100}) {
		t.Errorf("numbers are %v (%s), want them without a database", got, f.message)
	}
}
