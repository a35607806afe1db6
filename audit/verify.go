package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Verdict is what [Verify] found.
type Verdict struct {
	// Files and Records are how many were read; First and Last are the numbers
	// of the records at both ends.
	Files   int    `json:"files"`
	Records uint64 `json:"records"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	// Bytes is how long the records are together.
	Bytes int64 `json:"bytes"`
	// Signed is the last record that a signature vouches for. What comes after
	// it could have been cut off or made up by whoever can write the files.
	Signed uint64 `json:"signed"`
	// Fault is the first thing that is wrong, and nil where nothing is.
	Fault *Fault `json:"fault,omitempty"`
}

// Fault is a place where a trail is not as it was written.
type Fault struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	// Number is that of the record which is the first that is wrong.
	Number uint64 `json:"number,omitempty"`
	// What says what is wrong with it.
	What string `json:"what"`
}

// Error returns the place and what is wrong there.
func (f *Fault) Error() string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	if f.Number > 0 {
		return fmt.Sprintf("%s: record %d %s", place, f.Number, f.What)
	}
	return place + ": " + f.What
}

// Verify reads the whole trail in a folder, which may be a copy, and returns what
// it found. known are checkpoints that somebody kept elsewhere. progress, which
// may be nil, gets the number of bytes after each file. An error is a folder that
// cannot be read; what is wrong with the trail is in the verdict.
func Verify(dir string, key ed25519.PublicKey, known []Checkpoint, progress func(int64)) (Verdict, error) {
	for tries := 1; ; tries++ {
		v, err := verify(dir, key, known, progress)
		if tries == maxTries || !errors.Is(err, fs.ErrNotExist) {
			return v, err
		}
		if _, gone := os.Stat(dir); gone != nil {
			return v, err
		}
	}
}

// maxTries is how often a trail is read whose gateway removes old files meanwhile.
const maxTries = 10

func verify(dir string, key ed25519.PublicKey, known []Checkpoint, progress func(int64)) (Verdict, error) {
	// The head comes first: files that are begun after it are not missed.
	head, headless := Head(dir)
	files, err := someFiles(dir)
	if err != nil {
		return Verdict{}, err
	}
	v := &verifier{key: key, known: map[uint64]string{}}
	if headless != nil && !errors.Is(headless, fs.ErrNotExist) {
		return Verdict{}, fmt.Errorf("%s: %w", headName, headless)
	}
	if headless == nil {
		known = append(known[:len(known):len(known)], head)
	}
	for _, c := range known {
		if !c.Verify(key) {
			return v.verdict, fmt.Errorf("the checkpoint of record %d is not signed by the key of this trail", c.Number)
		}
		v.known[c.Number], v.ahead = c.Hash, max(v.ahead, c.Number)
	}
	for i, f := range files {
		if err := v.vouched(f, i == len(files)-1); err != nil || v.wrong() {
			return v.verdict, err
		}
		if progress != nil {
			progress(v.verdict.Bytes)
		}
	}
	v.end(files[len(files)-1])
	if !v.wrong() {
		v.verdict.Fault = v.index
	}
	return v.verdict, nil
}

// verifier walks along a chain.
type verifier struct {
	key     ed25519.PublicKey
	known   map[uint64]string
	ahead   uint64 // the last record that a checkpoint knows
	last    link
	at      Fault // where the last record stands
	kept    uint64
	verdict Verdict
	// each says that every signature is looked at. One vouches for all records
	// before it, so the last one of a file does, unless it is wrong.
	each   bool
	newest []byte // the last record with a signature
	// index is the first index that is wrong. What is wrong with a record counts
	// more.
	index *Fault
}

// fault notes the first thing that is wrong.
func (v *verifier) fault(at Fault, format string, args ...any) {
	if !v.wrong() {
		at.What = fmt.Sprintf(format, args...)
		v.verdict.Fault = &at
	}
}

func (v *verifier) wrong() bool { return v.verdict.Fault != nil }

// vouched walks along one file, and a second time, to find the first record that
// is wrong, where its last signature does not hold.
func (v *verifier) vouched(f file, last bool) error {
	before := *v
	v.newest = nil
	if err := v.file(f, last); err != nil || v.wrong() || v.newest == nil || v.vouches(v.newest, v.verdict.Signed) {
		return err
	}
	*v = before
	v.each = true
	return v.file(f, last)
}

// file walks along one file.
func (v *verifier) file(f file, last bool) error {
	at := Fault{File: filepath.Base(f.path)}
	p, err := f.pages()
	if err != nil {
		return err
	}
	defer p.close()
	v.verdict.Files++
	index, err := readIndex(f.path)
	indexed := p.table != nil && !errors.Is(err, fs.ErrNotExist)
	var made indexer
	for steps := range inOrder(upTo(0, p.count()), func(page int) steps { return stepsOf(p, page, indexed) }) {
		for _, s := range steps.all {
			at.Line++
			v.record(at, f, s)
		}
		at.Number = v.last.number + 1
		if steps.err != nil {
			v.fault(at, "cannot be read: %v", steps.err)
		}
		if steps.unfinished && !last {
			// In the last file a gateway is at it, or cuts it off when it starts.
			v.fault(at, "cannot be read: the last line is not finished")
		}
		if v.wrong() {
			return nil
		}
		made.add(steps.terms)
	}
	if indexed && v.index == nil && (err != nil || !bytes.Equal(index, made.text(p.table))) {
		v.index = &Fault{File: filepath.Base(indexPath(f.path)), What: "is not the index of its file, and can hide records from readers: remove it; the gateway makes it anew"}
	}
	return nil
}

// steps are the records of a page, and what an index tells of them.
type steps struct {
	all        []step
	unfinished bool
	terms      terms
	err        error
}

// step is a record: its line and what the chain asks of it.
type step struct {
	line   []byte
	number uint64
	before []byte
	ok     bool
	hash   [sha256.Size]byte
}

// stepsOf reads the records of a page, and its terms where an index is there to
// compare them with.
func stepsOf(p *pages, page int, indexed bool) steps {
	var found steps
	lines, _, err := p.read(page)
	found.err = err
	for line := range bytes.Lines(lines) {
		if line[len(line)-1] != '\n' {
			found.unfinished = true
			break
		}
		s := step{line: line, hash: hashOf(line)}
		s.number, s.before, s.ok = linkOf(line)
		found.all = append(found.all, s)
	}
	if indexed {
		found.terms = termsOf(lines)
	}
	return found
}

// record takes the next step.
func (v *verifier) record(at Fault, f file, s step) {
	at.Number = s.number
	switch {
	case v.wrong():
		return
	case !s.ok:
		at.Number = v.last.number + 1
		v.fault(at, "was changed: it is no record of a trail")
	case v.last.number == 0:
		v.begin(at, f, s)
	case s.number > v.last.number+1:
		at.Number = v.last.number + 1
		v.fault(at, "is missing, and %d after it", s.number-v.last.number-2)
	case s.number <= v.last.number:
		v.fault(at, "was put in: it comes after record %d", v.last.number)
	case !sameHash(s.before, v.last.hash):
		v.at.Number = v.last.number
		v.fault(v.at, "was changed, or put in place of the one that was written")
	}
	if v.wrong() {
		return
	}
	v.last, v.at = link{s.number, s.hash}, at
	v.verdict.Records++
	v.verdict.Last = s.number
	v.verdict.Bytes += int64(len(s.line))
	v.sign(at, s.line)
}

// sameHash compares a hash as records write it.
func sameHash(text []byte, hash [32]byte) bool {
	var written [43]byte
	base64.RawStdEncoding.Encode(written[:], hash[:])
	return string(text) == string(written[:])
}

func encode(hash [32]byte) string { return base64.RawStdEncoding.EncodeToString(hash[:]) }

// begin takes the first step. A trail begins with record 1, or where the files
// before were no longer kept; that begins with a checkpoint, which sign looks at.
func (v *verifier) begin(at Fault, f file, s step) {
	v.verdict.First = s.number
	switch {
	case s.number != f.first:
		v.fault(at, "stands where record %d should", f.first)
	case s.number == 1 && string(s.before) != encode(link{}.hash):
		v.fault(at, "was changed: nothing comes before it")
	}
}

// signed is what is read of a record that signs the one before it, or tells from
// where on the trail is kept.
type signed struct {
	Before    string `json:"before"`
	Through   uint64 `json:"through"`
	Hash      string `json:"hash"`
	SignedAt  string `json:"signed_at"`
	Signature string `json:"signature"`
	First     uint64 `json:"first"`
}

// sign holds a record against the signatures: its own where it is a checkpoint,
// and those that are known from elsewhere.
func (v *verifier) sign(at Fault, line []byte) {
	if hash, ok := v.known[v.last.number]; ok && hash != encode(v.last.hash) {
		v.fault(at, "is not the one that a checkpoint was signed for: it or one before it was changed, and the chain made anew")
		return
	}
	switch {
	case endsLike(line, checkpointEvent):
		if v.each && !v.vouches(line, v.last.number-1) {
			v.fault(at, "has no signature of this trail's key: it or one before it was changed, and the chain made anew")
			return
		}
		v.newest, v.verdict.Signed = line, v.last.number-1
	case v.verdict.Records == 1 && v.verdict.First != 1:
		v.fault(at, "is the first, and no checkpoint: the records before it were removed")
	case endsLike(line, shortenedEvent):
		var s signed
		if err := json.Unmarshal(line, &s); err != nil {
			v.fault(at, "was changed: %v", err)
		}
		v.kept = s.First
	}
}

// vouches reports whether a record is a checkpoint of the trail's key for the record
// before it, which has the number.
func (v *verifier) vouches(line []byte, number uint64) bool {
	var s signed
	if err := json.Unmarshal(line, &s); err != nil {
		return false
	}
	c := Checkpoint{Number: s.Through, Hash: s.Hash, Time: s.SignedAt, Signature: s.Signature}
	return s.Through == number && s.Hash == s.Before && c.Verify(v.key)
}

// endsLike reports whether a record has a name, which stands last.
func endsLike(line []byte, event string) bool {
	ending := `"message":"` + event + "\"}\n"
	return len(line) > len(ending) && string(line[len(line)-len(ending):]) == ending
}

// end looks at both ends of what was read.
func (v *verifier) end(last file) {
	switch first := v.verdict.First; {
	case first > max(v.kept, 1):
		v.fault(Fault{File: filepath.Base(last.path), Number: max(v.kept, 1)}, "is missing, and all up to %d: the beginning was cut off", first-1)
	case v.ahead > v.last.number:
		v.fault(Fault{File: filepath.Base(last.path), Number: v.last.number + 1}, "is missing, and all up to %d at least: the end was cut off", v.ahead)
	case v.verdict.Signed < v.ahead:
		v.verdict.Signed = v.ahead
	}
}
