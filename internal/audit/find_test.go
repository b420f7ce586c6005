package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// record writes lines with these request ids, each with some weight.
func recordOf(t *testing.T, ids []string, weight int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(Config{File: path})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		pad := strings.Repeat("x", (i*137)%maxMember)
		if weight == 0 {
			pad = ""
		}
		if _, err := l.Record(t.Context(), Event{Event: EventToken, Outcome: Refused, RequestID: id, ClientID: pad, Scope: pad}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every line is found, wherever the blocks that are read begin and end.
func TestFind(t *testing.T) {
	var ids []string
	for i := range 700 {
		ids = append(ids, fmt.Sprintf("REQUEST%04d", i))
	}
	path := recordOf(t, ids, 1)
	info, err := os.Stat(path)
	if err != nil || info.Size() < 2*maxLine {
		t.Fatalf("the file has %d bytes, too few to be read in blocks", info.Size())
	}
	for i := 0; i < len(ids); i += 7 {
		id := ids[i]
		line, err := FindIn(t.Context(), path, id)
		if err != nil || !bytes.Contains(line, []byte(`"request_id":"`+id+`"`)) || bytes.ContainsRune(line, '\n') {
			t.Fatalf("%s: %q, %v", id, line, err)
		}
	}
	for name, id := range map[string]string{"of nobody": "REQUEST9999", "part of one": "REQUEST00", "empty": "", "too long": strings.Repeat("x", 4<<20), "with a quote": `REQUEST0001"`, "a pattern": "REQUEST....", "a line end": "REQUEST0001\n"} {
		if line, err := FindIn(t.Context(), path, id); !errors.Is(err, ErrNoLine) {
			t.Errorf("%s: %q, %v", name, line, err)
		}
	}
}

// An id in another member, where a peer may have put it, is not the request's.
func TestFindIsNotFooled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(Config{File: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{
		{RequestID: "THEONE", Scope: "first"},
		{RequestID: "ANOTHER", ClientID: `x","request_id":"THEONE`, Scope: "THEONE"},
	} {
		e.Event, e.Outcome = EventToken, Refused
		if _, err := l.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// What is no line of ours, and what is being written.
	fmt.Fprintf(f, "%s\n%s", `{"request_id":"THEONE"}`, `{"version":1,"seq":4,"prev":"`+strings.Repeat("0", 64)+`","request_id":"THEONE"`)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	line, err := FindIn(t.Context(), path, "THEONE")
	if err != nil || !bytes.Contains(line, []byte(`"scope":"first"`)) {
		t.Errorf("%q, %v", line, err)
	}
}

// A reader that is slow can be given up, and what is no file says so.
func TestFindEnds(t *testing.T) {
	path := recordOf(t, []string{"A"}, 0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FindIn(ended, path, "A"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := FindIn(t.Context(), filepath.Dir(path), "A"); !errors.Is(err, ErrStream) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := FindIn(t.Context(), path+".none", "A"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzFind: in whatever bytes, what is found is a line with the id.
func FuzzFind(f *testing.F) {
	f.Add([]byte("{\"version\":1,\"seq\":1,\"prev\":\""+strings.Repeat("0", 64)+"\",\"time\":\"2026-12-01T12:00:00.000000Z\",\"request_id\":\"A\"}\n"), "A")
	f.Add([]byte(`,"request_id":"A"`+"\n"), "A")
	f.Fuzz(func(t *testing.T, data []byte, id string) {
		line, err := Find(t.Context(), bytes.NewReader(data), int64(len(data)), id)
		if err == nil && (!bytes.Contains(data, line) || !ofRequest(line, id)) {
			t.Errorf("found %q", line)
		}
	})
}
