package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

const (
	// standInName is the name under which the program plays ssh. Rsync adds
	// options of its own for a remote shell of this name, so no other does.
	standInName = "ssh"
	// recordVariable names the file that the stand-in writes.
	recordVariable = "CAPTURE_RECORD"
	// sshOptionsWithValue are the letters of ssh(1)'s options that take one.
	sshOptionsWithValue = "BbcDEeFIiJLlmOopQRSWw"
)

// standIn plays ssh: it writes the command that the far side would get to the
// file record, what follows on input where rsync sends its arguments there,
// and hangs up. It returns the exit status.
func standIn(args []string, record string, input io.Reader) int {
	words, err := remoteWords(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		return 1
	}
	items := []string{strings.Join(words, " ")}
	if argumentsFollow(words) {
		more, err := readItems(input)
		if err != nil {
			fmt.Fprintln(os.Stderr, "capture:", err)
			return 1
		}
		items = append(items, more...)
	}
	if err := os.WriteFile(record, []byte(strings.Join(items, "\x00")), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		return 1
	}
	return 0
}

// remoteWords returns the words after the host, which ssh joins by blanks.
func remoteWords(args []string) ([]string, error) {
	for i := 0; i < len(args); i++ {
		option := args[i]
		if !strings.HasPrefix(option, "-") || option == "-" {
			return args[i+1:], nil
		}
		if at := strings.IndexAny(option[1:], sshOptionsWithValue); at == len(option)-2 {
			i++
		}
	}
	return nil, fmt.Errorf("no host in %q", args)
}

// argumentsFollow reports whether the command is an rsync that sends its
// arguments on standard input: a plain one always holds a lone dot.
func argumentsFollow(words []string) bool {
	return slices.Contains(words, "--server") && !slices.Contains(words, ".")
}

// readItems reads items that end in NUL up to an empty one.
func readItems(input io.Reader) ([]string, error) {
	reader := bufio.NewReader(input)
	var items []string
	for {
		item, err := reader.ReadString(0)
		if err != nil {
			return nil, fmt.Errorf("arguments on standard input: %w", err)
		}
		if item == "\x00" {
			return items, nil
		}
		items = append(items, item[:len(item)-1])
	}
}
