package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

const (
	attackVerb  = "attack"
	gatewayVerb = "gateway"
	// containerVerb runs a program in what is like a container that forbids
	// namespaces.
	containerVerb = "container"
	// crowdVerb runs a program in a namespace of users that may have no other
	// below it, and fullVerb is the second step of that.
	crowdVerb = "crowd"
	fullVerb  = "full"
	// unpackVerb is a program that unpacks itself.
	unpackVerb = "unpack"
	// allWord has the attacker try everything.
	allWord = "all"
)

// play takes the parts of other programs: of the attacker, and of a gateway that
// is another user than the tests.
func play(args []string) {
	if len(args) < 2 {
		return
	}
	switch words := args[2:]; {
	case args[1] == attackVerb:
		os.Exit(beAttacker(words))
	case args[1] == unpackVerb && len(words) == 1:
		unpack(args[0], filepath.Join(words[0], "x"))
		os.Exit(0)
	case args[1] == logVerb && len(words) == 1:
		os.Exit(scribble(words[0]))
	case args[1] == remoteVerb && len(words) > 2:
		// After the name of the host.
		os.Exit(remote(words[0], words[2:]))
	case args[1] == gatewayVerb && len(words) == 1:
		os.Exit(beGateway(words[0], sandbox.Start))
	case args[1] == gatewayVerb && len(words) == 2:
		os.Exit(beGateway(words[0], func(self string, o sandbox.Order) (*sandbox.Process, error) {
			abi, _ := strconv.Atoi(words[1])
			return sandbox.StartWithABI(self, o, abi)
		}))
	case args[1] == containerVerb && len(words) > 0:
		os.Exit(becomeAfter(sandbox.LikeAContainer, words))
	case args[1] == crowdVerb && len(words) > 0:
		os.Exit(beCrowd(args[0], words))
	case args[1] == fullVerb && len(words) > 0:
		os.Exit(becomeAfter(func() error { return os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0) }, words))
	}
}

// becomeAfter becomes a program after something else was done.
func becomeAfter(first func() error, words []string) int {
	err := first()
	if err == nil {
		words[0], err = exec.LookPath(words[0])
	}
	if err == nil {
		err = unix.Exec(words[0], words, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func beCrowd(self string, words []string) int {
	cmd := exec.Command(self, append([]string{fullVerb}, words...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	everyone := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: everyone, GidMappings: everyone, GidMappingsEnableSetgroups: true,
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return cmd.ProcessState.ExitCode()
}

func beAttacker(words []string) int {
	switch {
	case len(words) == 0:
		return 0
	case words[0] == allWord:
		return attackAll(words[1])
	case tryAlone(words[0], words[1:]):
		return 0
	}
	return 1
}

// attackAll reads the numbers of its victims, and prints what succeeded for each
// of them. Only the first is attacked with what does not concern processes.
func attackAll(base string) int {
	var victims []int
	if err := json.NewDecoder(os.Stdin).Decode(&victims); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	successes := make([][]string, len(victims))
	for v, victim := range victims {
		for _, c := range chapters {
			for _, a := range c.attacks {
				if (v == 0 || c.title == processes) && a.try(worldOf(base, c.place(a), victim)) == nil {
					successes[v] = append(successes[v], a.name)
				}
			}
		}
	}
	json.NewEncoder(os.Stdout).Encode(successes)
	return 0
}

// worldOf is what the attack with a place finds.
func worldOf(base, place string, victim int) world {
	return world{
		rule: filepath.Join(base, "rule"), outside: filepath.Join(base, "outside", place), inside: filepath.Join(base, "rule", place),
		through: filepath.Join(base, "rule", "link", place), program: filepath.Join(base, "program"),
		socket: filepath.Join(base, "socket"), name: "@" + base,
		other: victim,
	}
}

// unpack copies the program and says so if the copy runs.
func unpack(from, to string) {
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o700)
	}
	if err == nil {
		err = runs(nil, to, attackVerb)
	}
	if err == nil {
		fmt.Fprint(os.Stdout, "ran")
	}
}

// beGateway starts the order in the argument, and passes its output on.
func beGateway(text string, start func(string, sandbox.Order) (*sandbox.Process, error)) int {
	if text == "probe" {
		json.NewEncoder(os.Stdout).Encode(sandbox.Probe(self))
		return 0
	}
	var o sandbox.Order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if o.Log == logWord {
		path, remove, err := sandbox.LogPlace(o.Most)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer remove()
		o.Log = path
		o.Args = slices.Clone(o.Args)
		for i, word := range o.Args {
			o.Args[i] = strings.ReplaceAll(word, logWord, path)
		}
	}
	p, err := start(self, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(p.Stdin, os.Stdin)
		p.Stdin.Close()
	}()
	go io.Copy(os.Stderr, p.Stderr)
	if p.Log != nil {
		defer p.Log.Close()
		io.Copy(os.Stdout, p.Log)
	}
	io.Copy(os.Stdout, p.Stdout)
	return p.Wait().Status
}
