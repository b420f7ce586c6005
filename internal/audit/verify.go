package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A Report is what Verify found. After an error it covers the lines before the
// bad one.
type Report struct {
	Lines uint64 // also the seq of the last line
	// Head is the digest of the last line. Nothing in the file vouches for
	// that line; of no line at all it is 64 zeros. Who wants to see that it was changed or that the end of the
	// file was cut off keeps Lines and Head somewhere else.
	Head string
}

// A BadLine is the error of Verify when the file is not as it was written.
type BadLine struct {
	Line uint64 // the first bad line, counted from 1
	What string
}

func (b *BadLine) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.What) }

// Verify reads a whole file and checks that each line is one of this package's,
// that seq counts up from 1 and that prev is the digest of the line before. The
// error is a *BadLine, or the reader's.
//
// A wrong prev can mean a change in the line that has it or in the one before.
// The line after tells which: if it still vouches for the line with the wrong
// prev, that line is whole, and the one before is the bad one.
func Verify(r io.Reader) (Report, error) {
	var (
		report  Report
		lines   = bufio.NewReaderSize(r, maxLine)
		head    = zeros()
		suspect *BadLine // the line before the one whose prev was wrong
	)
	bad := func(n uint64, what string) (Report, error) {
		report.Lines = n - 1
		return report, &BadLine{n, what}
	}
	for n := uint64(1); ; n++ {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return report, fmt.Errorf("audit: verify: %w", err)
		}
		whole := err == nil
		var (
			seq  uint64
			prev []byte
		)
		if whole {
			line = line[:len(line)-1]
			seq, prev, whole = readLine(line)
		}
		linked := whole && bytes.Equal(prev, head[:])

		switch {
		case suspect != nil && whole && !linked:
			return bad(n-1, "its prev is not the digest of the line before, nor does the line after it have its digest")
		case suspect != nil:
			return bad(suspect.Line, suspect.What)
		case err == io.EOF && len(line) == 0:
			report.Head = string(head[:])
			return report, nil
		case err == io.EOF:
			return bad(n, "it has no end: a write was cut short, or is going on")
		case err != nil:
			return bad(n, "it is longer than any audit line")
		case !whole:
			return bad(n, "it is not an audit line")
		case seq != n:
			return bad(n, fmt.Sprintf("its seq is %d", seq))
		case !linked && n == 1:
			return bad(n, "its prev is not 64 zeros")
		case !linked:
			suspect = &BadLine{n - 1, fmt.Sprintf("the prev of line %d is the digest of another line", n)}
		default:
			report.Lines = n
		}
		head = digest(line)
	}
}
