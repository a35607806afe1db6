package sender

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postern/internal/durable"
)

// position is how far a destination was sent the trail, kept in a file beside it.
type position struct {
	path string
	// number is the last record that arrived, and saved what the file says.
	number, saved uint64
	savedAt       time.Time
}

// notInName is what a file's name has no place for.
var notInName = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// openPosition reads how far a destination came, or begins before the record began.
// So does one that knows of records that the trail lost, as it can in a power cut:
// their numbers are given anew.
func openPosition(dir, destination string, began uint64) (*position, error) {
	p := &position{path: filepath.Join(dir, "sent."+notInName.ReplaceAllString(destination, "_")), number: began - 1}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		p.saved = math.MaxUint64 // nothing is
		p.save()
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.saved, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s does not say how far the trail was sent; remove it to begin with what comes now", p.path)
	}
	p.number = min(p.saved, p.number)
	return p, nil
}

// save writes the position down. What fails is tried again the next time; until then
// a restart sends more than it need.
func (p *position) save() {
	p.savedAt = time.Now()
	if p.saved != p.number && durable.Write(p.path, fmt.Appendf(nil, "%d\n", p.number), 0o600) == nil {
		p.saved = p.number
	}
}
