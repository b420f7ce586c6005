package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func markOf(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, n)) }

// proofRecord writes a line a second, every third of them with a proof, of lengths
// that put the ends of blocks anywhere.
func proofRecord(t *testing.T, lines int) (path string, began time.Time) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "audit.jsonl")
	began = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	now := began
	l, err := Open(Config{File: path, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		now = began.Add(time.Duration(i) * time.Second)
		e := Event{Event: EventToken, Outcome: Refused, ClientID: strings.Repeat("x", (i*137)%maxMember), Scope: `,"proof":"` + strings.Repeat("ab", 32) + `"`}
		if i%3 == 0 {
			e.Proof = fmt.Sprintf("%x", markOf(i))
		}
		if _, err := l.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path, began
}

// AK-10: every proof since a time is told, with the time of its line, and none twice;
// nobody's words are taken for one.
func TestProofs(t *testing.T) {
	const lines = 2000
	path, began := proofRecord(t, lines)
	info, err := os.Stat(path)
	if err != nil || info.Size() < 3*maxLine {
		t.Fatalf("the file has %d bytes, too few to be read in blocks", info.Size())
	}
	for _, since := range []int{-5, 0, 1, 700, 1000, lines - 120, lines - 1, lines, lines + 100} {
		told := map[[32]byte]time.Time{}
		err := ProofsIn(t.Context(), path, began.Add(time.Duration(since)*time.Second), func(mark [32]byte, at time.Time) error {
			if _, twice := told[mark]; twice {
				t.Error("a proof is told twice")
			}
			told[mark] = at
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range lines {
			at, ok := told[markOf(i)]
			if i%3 != 0 && ok || i%3 == 0 && i >= since && !ok {
				t.Fatalf("since line %d: line %d is told: %t", since, i, ok)
			}
			if ok && !at.Equal(began.Add(time.Duration(i)*time.Second)) {
				t.Fatalf("line %d is told as of %s", i, at)
			}
		}
		if len(told) > lines/3+1 {
			t.Errorf("since line %d: %d proofs told", since, len(told))
		}
	}
}

// Only the end of a long record is read.
func TestProofsReadsTheEndOnly(t *testing.T) {
	path, began := proofRecord(t, 2000)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	long := &counting{ReaderAt: bytes.NewReader(data)}
	n := 0
	if err := Proofs(t.Context(), long, int64(len(data)), began.Add(1990*time.Second), func([32]byte, time.Time) error { n++; return nil }); err != nil || n < 3 {
		t.Fatalf("%d proofs, %v", n, err)
	}
	if long.read > 5*maxLine {
		t.Errorf("%d of %d bytes were read", long.read, len(data))
	}
}

type counting struct {
	io.ReaderAt
	read int
}

func (c *counting) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.read += n
	return n, err
}

func TestProofsOfOddRecords(t *testing.T) {
	none := func([32]byte, time.Time) error { return errors.New("a proof was told") }
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		want       error
	}{
		{"an empty file", write("empty", ""), nil},
		{"a torn line alone", write("torn", `{"version":1,"seq":1,"proof":"`+strings.Repeat("ab", 32)+`"`), nil},
		{"a proof that is too short", write("short", `{"version":1,"seq":1,"prev":"`+strings.Repeat("0", 64)+`","time":"2026-07-01T12:00:00.000000Z","proof":"ab"}`+"\n"), nil},
		{"a proof that is no hex", write("hex", `{"version":1,"seq":1,"prev":"`+strings.Repeat("0", 64)+`","time":"2026-07-01T12:00:00.000000Z","proof":"`+strings.Repeat("zz", 32)+`"}`+"\n"), nil},
		{"a proof without time", write("timeless", `{"version":1,"seq":1,"proof":"`+strings.Repeat("ab", 32)+`"}`+"\n"), nil},
		{"standard output", "-", ErrStream},
		{"a FIFO", fifo, ErrStream},
		{"no file", filepath.Join(dir, "none"), os.ErrNotExist},
	} {
		if err := ProofsIn(t.Context(), c.path, now, none); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// What says that it is enough ends it; so does its context.
	path, began := proofRecord(t, 10)
	enough := errors.New("enough")
	if err := ProofsIn(t.Context(), path, began, func([32]byte, time.Time) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ProofsIn(ctx, path, began, none); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A record that would take too long to read back is not read at all.
func TestProofsOfTooMuch(t *testing.T) {
	young := []byte(`{"version":1,"seq":1,"prev":"` + strings.Repeat("0", 64) + `","time":"2026-07-01T12:00:00.000000Z","proof":"` + strings.Repeat("ab", 32) + `"}` + "\n")
	r := repeated{young}
	err := Proofs(t.Context(), r, maxReadBack+8*maxLine, time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), func([32]byte, time.Time) error {
		return errors.New("a proof was told")
	})
	if !errors.Is(err, ErrTooMuch) {
		t.Errorf("%v", err)
	}
}

// A repeated line, for ever.
type repeated struct{ line []byte }

func (r repeated) ReadAt(p []byte, at int64) (int, error) {
	for i := 0; i < len(p); {
		i += copy(p[i:], r.line[(at+int64(i))%int64(len(r.line)):])
	}
	return len(p), nil
}

// Any bytes: no panic, and the same answer twice.
func FuzzProofs(f *testing.F) {
	f.Add([]byte(`{"version":1,"seq":1,"prev":"`+strings.Repeat("0", 64)+`","time":"2026-07-01T12:00:00.000000Z","proof":"`+strings.Repeat("ab", 32)+`"}`+"\n"), int64(0))
	f.Add([]byte("\n\n\n"), int64(1))
	f.Fuzz(func(t *testing.T, data []byte, since int64) {
		ask := func() (all [][32]byte, err error) {
			err = Proofs(t.Context(), bytes.NewReader(data), int64(len(data)), time.Unix(since, 0), func(mark [32]byte, _ time.Time) error {
				all = append(all, mark)
				return nil
			})
			return all, err
		}
		first, err := ask()
		second, again := ask()
		if len(first) != len(second) || (err == nil) != (again == nil) || len(first) > bytes.Count(data, []byte("\n")) {
			t.Fatalf("%d, %v and %d, %v", len(first), err, len(second), again)
		}
	})
}
