package main

import (
	"errors"
	"slices"
	"strings"
)

// rsyncCalls are all calls of an rsync client.
func rsyncCalls() []call {
	return slices.Concat(optionCalls(rsyncOptions), wholeCalls(rsyncWhole), nameCalls())
}

// rsyncHelp returns every spelling of every option that the help text lists.
func rsyncHelp(text string) ([]string, error) {
	_, list, ok := strings.Cut(text, "\nOptions\n")
	if !ok {
		return nil, errors.New("no list of options")
	}
	var spellings []string
	for entry := range strings.Lines(list) {
		if !strings.HasPrefix(entry, "-") {
			continue
		}
		left, _, _ := strings.Cut(entry, "  ")
		for spelling := range strings.SplitSeq(left, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(spelling), "=")
			name, _, _ = strings.Cut(name, " ")
			if name != "--no-OPTION" {
				spellings = append(spellings, name)
			}
		}
	}
	if len(spellings) < 100 {
		return nil, errors.New("the list of options is too short to be read right")
	}
	return spellings, nil
}
