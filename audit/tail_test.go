package audit_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// rest reads a tail to its end, and returns the numbers.
func rest(t *testing.T, tail *audit.Tail) (numbers []uint64) {
	t.Helper()
	for {
		r, err := tail.Next()
		if errors.Is(err, io.EOF) {
			return numbers
		}
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, r.Number)
	}
}

func wantNumbers(t *testing.T, got []uint64, first, last uint64) {
	t.Helper()
	var want []uint64
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %d to %d", got, first, last)
	}
}

// A tail gets each record once and in order, whatever files they are in, and wherever
// it begins.
func TestTail(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 2000 })
	tail := k.trail.Tail(0)
	defer tail.Close()
	var got []uint64
	for n := range 20 {
		k.session(n)
		got = append(got, rest(t, tail)...)
	}
	wantNumbers(t, got, 1, uint64(len(got)))
	for _, from := range []uint64{0, 1, 7, 30, uint64(len(got)) - 1, uint64(len(got)), uint64(len(got)) + 5} {
		late := k.trail.Tail(from)
		wantNumbers(t, rest(t, late), from+1, uint64(len(got)))
		late.Close()
	}
}

func TestTailIsWoken(t *testing.T) {
	k := keep(t)
	tail := k.trail.Tail(0)
	defer tail.Close()
	for n := range 5 {
		grows, other := k.trail.Grows(), k.trail.Grows()
		rest(t, tail)
		select {
		case <-grows:
			t.Error("woken for nothing")
		default:
		}
		k.session(n)
		<-grows
		<-other
		if len(rest(t, tail)) == 0 {
			t.Error("woken, and nothing is there")
		}
	}
}

// What is gone or cannot be read is passed over.
func TestTailOfAHurtTrail(t *testing.T) {
	for name, hurt := range map[string]func(k *keeping, files []string){
		"removed":   func(k *keeping, files []string) { os.Remove(filepath.Join(k.dir, files[1])) },
		"no zstd":   func(k *keeping, files []string) { os.WriteFile(filepath.Join(k.dir, files[1]), []byte("x"), 0o600) },
		"cut":       func(k *keeping, files []string) { os.Truncate(filepath.Join(k.dir, files[1]), 100) },
		"no record": func(k *keeping, files []string) { k.put(files[1], []byte("{}\n[]\nx\n")) },
		"far number": func(k *keeping, files []string) {
			k.put(files[1], []byte(`{"level":"info","time":"2026-10-18T01:04:05.060Z","number":9999999,"before":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","message":"x"}`+"\n"))
		},
		"one line": func(k *keeping, files []string) { k.put(files[1], []byte(strings.Repeat("x", 2<<20)+"\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			k := keep(t, func(o *audit.Options) { o.FileSize = 2000 })
			for n := range 20 {
				k.session(n)
			}
			k.close()
			k.open()
			hurt(k, k.files())
			tail := k.trail.Tail(0)
			defer tail.Close()
			got := rest(t, tail)
			gap := 0
			for i := 1; i < len(got); i++ {
				if got[i] != got[i-1]+1 {
					gap++
				}
			}
			// An opening writes a handful of records.
			if last := got[len(got)-1]; gap != 1 || got[0] != 1 || last < k.trail.Began() || last > k.trail.Began()+10 {
				t.Errorf("%d gaps in %v", gap, got)
			}
		})
	}
}

func TestTrailSaysWhereItBegan(t *testing.T) {
	k := keep(t)
	k.session(1)
	if k.trail.Began() != 1 {
		t.Errorf("began at %d", k.trail.Began())
	}
	k.close()
	had := k.sound().Last
	k.wait(time.Hour)
	k.open()
	if k.trail.Began() != had+1 {
		t.Errorf("began at %d behind %d", k.trail.Began(), had)
	}
}
