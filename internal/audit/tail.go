package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// A tail is how a file ends.
type tail struct {
	tip  tip    // zero when the file has no whole line
	torn []byte // what stands behind the last newline
}

var errForeign = errors.New("the last line is not an audit line: the chain is not continued on it; move the file away, or restore its end")

// readTail reads the end of a file, at most twice the longest line however long
// the file is. It looks at the last line only; Verify looks at all.
func readTail(r io.ReaderAt, size int64) (tail, error) {
	window := make([]byte, min(size, 2*maxLine))
	if _, err := r.ReadAt(window, size-int64(len(window))); err != nil {
		return tail{}, err
	}
	newline := bytes.LastIndexByte(window, '\n')
	end := tail{torn: window[newline+1:]}
	if len(end.torn) > maxLine || !isTorn(end.torn) {
		return tail{}, errForeign
	}
	if newline < 0 {
		return end, nil
	}
	before := bytes.LastIndexByte(window[:newline], '\n')
	last := window[before+1 : newline]
	seq, _, ok := readLine(last)
	if !ok {
		return tail{}, errForeign
	}
	end.tip = tip{seq: seq, prev: digest(last), size: size - int64(len(end.torn))}
	return end, nil
}

// readLine checks that a line, without its newline, is one of ours and returns
// seq and prev. Of the other members it checks only that they are JSON in
// printable ASCII.
func readLine(line []byte) (seq uint64, prev []byte, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(headVersion))
	if !ok {
		return 0, nil, false
	}
	comma := bytes.IndexByte(rest, ',')
	if comma < 1 {
		return 0, nil, false
	}
	number := string(rest[:comma])
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || number[0] == '0' {
		return 0, nil, false
	}
	rest, ok = bytes.CutPrefix(rest[comma:], []byte(headPrev))
	if !ok || len(rest) < digestLen {
		return 0, nil, false
	}
	prev, rest = rest[:digestLen], rest[digestLen:]
	for _, c := range prev {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return 0, nil, false
		}
	}
	if !bytes.HasPrefix(rest, []byte(headTime)) || !json.Valid(line) {
		return 0, nil, false
	}
	for _, c := range line {
		if c < 0x20 || c > 0x7e {
			return 0, nil, false
		}
	}
	return seq, prev, true
}
