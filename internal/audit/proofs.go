package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxReadBack bounds how much of the record's end is looked at: more than two
// minutes of any load that one file can take.
const maxReadBack = 1 << 30

// ErrTooMuch is returned when the record since a time is longer than is read back.
var ErrTooMuch = errors.New("the record of that time is too long to be read back")

// ProofsIn reads back from a file which proofs were used up since a time: see
// [Proofs]. The error is ErrStream for what is no regular file, or that of [Proofs].
func ProofsIn(ctx context.Context, path string, since time.Time, used func(mark [32]byte, at time.Time) error) error {
	if path == "-" {
		return fmt.Errorf("audit: %w", ErrStream)
	}
	info, err := os.Stat(path) // first: opening a FIFO would wait for its writer
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("audit: %w: %s", ErrStream, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	return Proofs(ctx, f, info.Size(), since, used)
}

// First names the record in a regular file by the digest of its first line, and says
// of when that is. It is empty while there is no whole line.
func First(path string) (digest string, at time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", at, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, maxLine).ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		return "", at, nil
	case err != nil:
		return "", at, fmt.Errorf("audit: %w", err)
	}
	at, _ = timeOf(line)
	return fmt.Sprintf("%x", sha256.Sum256(line)), at, nil
}

// Proofs calls used for each proof of the record's end, with the time of its line,
// from the first line that may be of the time since or later. It stops at the first
// error that used returns. ErrTooMuch means that nothing was told.
//
// More than was asked for may be told.
func Proofs(ctx context.Context, r io.ReaderAt, size int64, since time.Time, used func(mark [32]byte, at time.Time) error) error {
	start, err := lineBefore(ctx, r, size, since)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r, start, size-start), maxLine)
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF): // what stands behind the last newline is no line
			return nil
		case err != nil: // also a line that is too long to be one of ours
			return fmt.Errorf("audit: %w", err)
		case n%1024 == 0 && ctx.Err() != nil:
			return ctx.Err()
		}
		if mark, at, ok := proofOf(line); ok {
			if err := used(mark, at); err != nil {
				return err
			}
		}
	}
}

// lineBefore is where a line begins that stands behind none of the time since or
// later, or the beginning of the file. The time of a line is taken before it waits
// to be written, so a line may be older than those before it, by that wait.
func lineBefore(ctx context.Context, r io.ReaderAt, size int64, since time.Time) (int64, error) {
	block := make([]byte, 2*maxLine) // a line begins in it
	for end := size; end > 0; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if size-end > maxReadBack {
			return 0, fmt.Errorf("audit: %w", ErrTooMuch)
		}
		start := max(0, end-int64(len(block)))
		part := block[:end-start]
		if _, err := r.ReadAt(part, start); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("audit: %w", err)
		}
		if start == 0 {
			return 0, nil
		}
		if newline := bytes.IndexByte(part, '\n'); newline >= 0 {
			if at, ok := timeOf(part[newline+1:]); ok && at.Before(since.Add(-2*recordTimeout)) {
				return start + int64(newline) + 1, nil
			}
		}
		end = start + maxLine // so that a line across two blocks is whole in one
	}
	return 0, nil
}

// timeOf is the time in a line's head.
func timeOf(line []byte) (time.Time, bool) {
	at := bytes.Index(line[:min(len(line), headRoom+len(headTime))], []byte(headTime))
	if at < 0 || len(line) < at+len(headTime)+len(timeLayout) {
		return time.Time{}, false
	}
	t, err := time.Parse(timeLayout, string(line[at+len(headTime):][:len(timeLayout)]))
	return t, err == nil
}

const proofMember = `,"proof":"`

// proofOf is the proof that a line says was used up. No value can look like the
// member: a quote in it is escaped.
func proofOf(line []byte) (mark [32]byte, at time.Time, ok bool) {
	i := bytes.Index(line, []byte(proofMember))
	if i < 0 {
		return mark, at, false
	}
	hexed := line[i+len(proofMember):]
	if len(hexed) < digestLen {
		return mark, at, false
	}
	if _, err := hex.Decode(mark[:], hexed[:digestLen]); err != nil {
		return mark, at, false
	}
	at, ok = timeOf(line)
	return mark, at, ok
}
