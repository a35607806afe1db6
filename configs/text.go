package configs

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// badText returns what keeps a text from being a name, a path or a key, and
// what to do about it; nothing where it is fine. What cannot be seen in a
// listing could be mistaken for something else, so it is refused.
func badText(text string) (message, remedy string) {
	if text == "" {
		return "is empty", "write a value, or remove the line"
	}
	for _, r := range text {
		switch {
		case r == '\n':
			return "has more than one line", "write it on one line; several belong in items of their own"
		case !unicode.IsPrint(r), r == unicode.ReplacementChar: // which stands for a broken one
			return fmt.Sprintf("holds the character %U, which cannot be printed", r), "remove it"
		}
	}
	if strings.TrimSpace(text) != text {
		return "begins or ends with a space", "remove the space"
	}
	return "", ""
}

// badName returns what keeps a text from being a login name or a principal.
func badName(text string) (message, remedy string) {
	if strings.ContainsRune(text, ' ') {
		return fmt.Sprintf("%q holds a space", text), "write names as items of their own, without spaces"
	}
	if len(text) > maxName {
		return fmt.Sprintf("the name is longer than %d bytes", maxName), "use a shorter one"
	}
	return "", ""
}

const (
	// maxName bounds login names and principals: no system has longer ones.
	maxName = 255
	// maxPath is PATH_MAX of Linux without the terminating NUL.
	maxPath = 4095
)

// badPath returns what keeps a text from being the path of a file or folder
// that is compared by its spelling.
func badPath(path string) (message, remedy string) {
	switch clean := filepath.Clean(path); {
	case !filepath.IsAbs(path):
		return fmt.Sprintf("%q is not an absolute path", path), "write the whole path, beginning with /"
	case clean == "/":
		return fmt.Sprintf("%q is the root of the file system", path), "name a folder below it"
	case clean != path:
		return fmt.Sprintf("%q is not written plainly", path), "write " + clean
	case len(path) > maxPath:
		return fmt.Sprintf("the path is longer than %d bytes", maxPath), "use a shorter one"
	}
	return "", ""
}
