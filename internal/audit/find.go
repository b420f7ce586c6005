package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// ErrNoLine is returned when no line has the request id.
var ErrNoLine = errors.New("no line of the audit record has this request id")

// ErrStream is returned for what is no regular file.
var ErrStream = errors.New("the record is a stream, of which nothing can be read again")

const requestMember = `"request_id":"`

// maxRequestID bounds what is searched for; the server's own have 26 bytes.
const maxRequestID = 128

// FindIn finds a line in a file: see [Find].
func FindIn(ctx context.Context, path, requestID string) ([]byte, error) {
	info, err := os.Stat(path) // first: opening a FIFO would wait for its writer
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("audit: %w: %s", ErrStream, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	return Find(ctx, f, info.Size(), requestID)
}

// Find returns the last line with this request id, without its newline. It
// searches from the end, a block at a time, so that memory stays the same however
// long the record is; ctx ends it between two blocks. The error is ErrNoLine, or
// the reader's.
//
// It does not check the chain: see [Verify].
func Find(ctx context.Context, r io.ReaderAt, size int64, requestID string) ([]byte, error) {
	if requestID == "" || len(requestID) > maxRequestID {
		return nil, ErrNoLine
	}
	// As the member's value ends: whether it is that member, the line is asked.
	needle := appendQuoted(nil, requestID, maxRequestID)[1:]
	block := make([]byte, maxLine+len(needle))
	for end := size; end > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := max(0, end-maxLine)
		// A needle may begin in this block and end in the one read before.
		part := block[:min(size, end+int64(len(needle))-1)-start]
		if _, err := r.ReadAt(part, start); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("audit: %w", err)
		}
		for _, at := range slices.Backward(allOf(part, needle)) {
			if at >= len(requestMember) && !bytes.HasSuffix(part[:at], []byte(requestMember)) {
				continue // another member's value, or its end
			}
			line, err := lineAround(r, size, start+int64(at))
			if err != nil || line != nil && ofRequest(line, requestID) {
				return line, err
			}
		}
		end = start
	}
	return nil, ErrNoLine
}

// allOf are the places where a needle begins. Searching forward is far faster than
// backward.
func allOf(b, needle []byte) (found []int) {
	for from := 0; ; {
		at := bytes.Index(b[from:], needle)
		if at < 0 {
			return found
		}
		found = append(found, from+at)
		from += at + 1
	}
}

// lineAround is the line in which an offset lies; nil when it is none of ours.
func lineAround(r io.ReaderAt, size, at int64) ([]byte, error) {
	start := max(0, at-maxLine)
	window := make([]byte, min(size, at+maxLine)-start)
	if _, err := r.ReadAt(window, start); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	inside := int(at - start)
	begin := bytes.LastIndexByte(window[:inside], '\n') + 1
	length := bytes.IndexByte(window[inside:], '\n')
	if length < 0 { // the last line; being written, it is none yet
		length = len(window) - inside
	}
	line := window[begin : inside+length]
	if _, _, ok := readLine(line); !ok {
		return nil, nil
	}
	return line, nil
}

func ofRequest(line []byte, requestID string) bool {
	var members struct {
		RequestID string `json:"request_id"`
	}
	return json.Unmarshal(line, &members) == nil && members.RequestID == requestID
}
