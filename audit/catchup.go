package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// follow goes on in the file that another gateway began, if it did, and returns how
// many bytes of an unfinished record it cut off. What this gateway waits for in the
// files before is on the disk then, whatever became of the other one.
func (s *store) follow() (cut int64, err error) {
	files, err := listFiles(s.dir)
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("the files in %s are gone", s.dir)
	}
	last := files[len(files)-1]
	if last.path == s.file.Name() {
		return 0, nil
	}
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if err := s.syncBetween(files); err != nil {
		return 0, err
	}
	// Another store, so that this one stays as it is where that fails.
	next := &store{dir: s.dir}
	if cut, err = next.resume(files, sharing); err == nil && next.file == nil {
		err = fmt.Errorf("%s is closed", last.path)
	}
	if err != nil {
		if next.file != nil {
			next.file.Close()
		}
		return 0, err
	}
	before := s.file
	s.file, s.day, s.size, s.last, s.held = next.file, next.day, next.size, next.last, 0
	s.wrote()
	s.synced = max(s.synced, last.first-1)
	return cut, before.Close()
}

// sharing has nothing against a file that others write.
func sharing(*os.File) error { return nil }

// syncBetween has everything from the file of the store on be on the disk, but for the
// last file.
func (s *store) syncBetween(files []file) error {
	if err := s.file.Sync(); err != nil {
		return err
	}
	for _, f := range files[:len(files)-1] {
		if f.compressed || f.path <= s.file.Name() {
			continue // a compressed one is on the disk
		}
		if err := syncFile(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// readOn takes in what another gateway added to the file, and returns how many bytes of
// an unfinished record it cut off: whoever wrote that does not live any more.
func (s *store) readOn() (cut int64, err error) {
	info, err := s.file.Stat()
	if err != nil || info.Size() == s.size {
		return 0, err
	}
	whole, err := unfinished(s.file, info.Size())
	switch {
	case err != nil:
		return 0, err
	case whole < s.size:
		return 0, fmt.Errorf("%s: the end was cut off", s.file.Name())
	case whole > s.size:
		if err := s.readLast(whole); err != nil {
			return 0, err
		}
	}
	if whole == info.Size() {
		return 0, nil
	}
	s.held = 0 // it is given back with the rest
	return info.Size() - whole, errors.Join(s.file.Truncate(whole), s.file.Sync())
}

// readLast goes on behind the record that ends at a place in the file.
func (s *store) readLast(end int64) error {
	start, err := unfinished(s.file, end-1)
	if err != nil {
		return err
	}
	line := make([]byte, end-start)
	if _, err := s.file.ReadAt(line, start); err != nil {
		return err
	}
	number, _, ok := linkOf(line)
	if !ok {
		return fmt.Errorf("%s: the last line is no record of a trail; see postern audit verify", s.file.Name())
	}
	s.last, s.size = link{number, hashOf(line)}, end
	s.wrote()
	return nil
}
