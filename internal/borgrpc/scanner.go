package borgrpc

import (
	"encoding/binary"
	"fmt"
)

// maxText is how much of a string is kept: a path of PATH_MAX fits.
const maxText = 4 << 10

// kind is what a msgpack value is, as far as it matters here.
type kind int

const (
	// unfinished is a value of which more is to come.
	unfinished kind = iota
	scalar
	isTrue
	aText
	aMap
	anArray
)

// value is the head of a map or an array, or a whole value of another kind.
type value struct {
	kind kind
	// size is the length of a text in bytes, or how many values a map, with
	// its keys, or an array has.
	size uint64
	// text is the beginning of a text.
	text string
}

// scanner finds the values in a stream that comes in pieces. The zero value is
// ready.
type scanner struct {
	// head is the beginning of a value, as much as there is of it.
	head []byte
	// left is how much of a text is to come; text is what is kept of it, and
	// size its length.
	left, size uint64
	text       []byte
	inText     bool
}

// next reads a value from p, or the part of one that is there, and returns how
// many bytes it took.
func (s *scanner) next(p []byte) (int, value, error) {
	if s.inText {
		return s.more(p)
	}
	taken := 0
	for taken < len(p) {
		s.head = append(s.head, p[taken])
		taken++
		length, err := headLength(s.head[0])
		if err != nil {
			return taken, value{}, err
		}
		if len(s.head) < length {
			continue
		}
		v := parseHead(s.head)
		s.head = s.head[:0]
		if v.kind != aText || v.size == 0 {
			return taken, v, nil
		}
		s.inText, s.left, s.size, s.text = true, v.size, v.size, s.text[:0]
		n, v, err := s.more(p[taken:])
		return taken + n, v, err
	}
	return taken, value{}, nil
}

// more reads on in a text.
func (s *scanner) more(p []byte) (int, value, error) {
	n := uint64(len(p))
	if n > s.left {
		n = s.left
	}
	if room := maxText - len(s.text); room > 0 {
		s.text = append(s.text, p[:min(n, uint64(room))]...)
	}
	if s.left -= n; s.left > 0 {
		return int(n), value{}, nil
	}
	s.inText = false
	return int(n), value{kind: aText, size: s.size, text: string(s.text)}, nil
}

// headLength is how long the head of a value is that begins with a byte, from the
// specification of msgpack. Extensions, which borg does not send, are an error.
func headLength(first byte) (int, error) {
	switch {
	case first < 0xc0 || first >= 0xe0, first == 0xc0, first == 0xc2, first == 0xc3:
		return 1, nil
	}
	switch first {
	case 0xcc, 0xd0, 0xc4, 0xd9:
		return 2, nil
	case 0xcd, 0xd1, 0xc5, 0xda, 0xdc, 0xde:
		return 3, nil
	case 0xca, 0xce, 0xd2, 0xc6, 0xdb, 0xdd, 0xdf:
		return 5, nil
	case 0xcb, 0xcf, 0xd3:
		return 9, nil
	}
	return 0, fmt.Errorf("the byte %#02x begins no value that borg sends", first)
}

// parseHead reads a whole head.
func parseHead(head []byte) value {
	switch first := head[0]; {
	case first < 0x80, first >= 0xe0:
		return value{kind: scalar}
	case first < 0x90:
		return value{kind: aMap, size: 2 * uint64(first&0x0f)}
	case first < 0xa0:
		return value{kind: anArray, size: uint64(first & 0x0f)}
	case first < 0xc0:
		return value{kind: aText, size: uint64(first & 0x1f)}
	}
	switch head[0] {
	case 0xc3:
		return value{kind: isTrue}
	case 0xc4, 0xd9, 0xc5, 0xda, 0xc6, 0xdb:
		return value{kind: aText, size: number(head[1:])}
	case 0xdc, 0xdd:
		return value{kind: anArray, size: number(head[1:])}
	case 0xde, 0xdf:
		return value{kind: aMap, size: 2 * number(head[1:])}
	}
	return value{kind: scalar}
}

// number reads 1, 2 or 4 bytes, the highest first.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	}
	return uint64(binary.BigEndian.Uint32(b))
}
