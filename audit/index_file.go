package audit

import (
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// index returns the index of a file that is open, and whether there is one that fits.
// One that does not is of another file, or damaged, and [Verify] says so.
func (f file) index(p *pages) (index, bool) {
	text, err := readIndex(f.path)
	if p.table == nil || err != nil {
		return nil, false
	}
	return parseIndex(text, p.table)
}

// readIndex returns the text of the index of a file.
func readIndex(file string) ([]byte, error) {
	packed, err := os.ReadFile(indexPath(file))
	if err != nil {
		return nil, err
	}
	d, err := unpacker()
	if err != nil {
		return nil, err
	}
	return d.DecodeAll(packed, nil)
}

// writeIndex puts an index beside its file.
func writeIndex(file string, text []byte) error {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return writeWhole(indexPath(file), func(to io.Writer) error {
		_, err := to.Write(z.EncodeAll(text, nil))
		return err
	})
}

// reindex gives a compressed file an index where it has none that fits. One that was
// compressed as a whole gets none.
func (f file) reindex() error {
	p, err := f.pages()
	if err != nil {
		return err
	}
	defer p.close()
	if _, fits := f.index(p); fits || p.table == nil {
		return nil
	}
	var x indexer
	for lines, err := range p.all() {
		if err != nil {
			return err
		}
		x.add(termsOf(lines))
	}
	return writeIndex(f.path, x.text(p.table))
}

// temporary marks a file that is not finished.
const temporary = ".tmp"

// writeWhole writes a file that whoever reads the folder finds whole, or not.
func writeWhole(path string, write func(io.Writer) error) error {
	to, err := os.OpenFile(path+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(write(to), to.Sync(), to.Close())
	if err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(path+temporary))
	}
	return err
}
