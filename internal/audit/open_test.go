package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTornLastLineIsCutOffAndRecorded(t *testing.T) {
	whole := chain(t, 3)
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	rows := []struct {
		name string
		keep []byte // whole lines
		torn []byte
	}{
		{"all but the newline", whole[:last], whole[last : len(whole)-1]},
		{"half a line", whole[:last], whole[last : last+100]},
		{"one byte", whole[:last], whole[last : last+1]},
		{"zeros where data never arrived", whole, make([]byte, 4096)},
		{"a line that turns into zeros", whole[:last], append(bytes.Clone(whole[last:last+50]), make([]byte, 100)...)},
		{"a beginning that turns into zeros", whole[:last], append(bytes.Clone(whole[last:last+5]), make([]byte, 100)...)},
		{"the first line", nil, whole[:30]},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, append(bytes.Clone(row.keep), row.torn...), 0o600); err != nil {
				t.Fatal(err)
			}
			logger, said := newLogger()
			l := open(t, Config{File: path, Log: logger})
			record(t, l, granted("after"))
			closed(t, l)

			verified(t, path)
			data, _ := os.ReadFile(path)
			if !bytes.HasPrefix(data, row.keep) {
				t.Error("a whole line was lost")
			}
			lines := linesOf(t, path)
			at := bytes.Count(row.keep, []byte("\n"))
			digest := fmt.Sprintf("%x", sha256.Sum256(row.torn))
			recovered := lines[at]
			if len(lines) != at+2 || recovered["event"] != "recovered" || recovered["lost_bytes"] != float64(len(row.torn)) || recovered["lost_sha256"] != digest {
				t.Errorf("after %d whole lines: %v", at, lines[at:])
			}
			if !strings.Contains(said.String(), digest) {
				t.Errorf("the operator is told %s", said)
			}
		})
	}
}

func TestNoChainIsContinuedOnRubbish(t *testing.T) {
	whole := string(chain(t, 2))
	rows := []struct{ name, content string }{
		{"another program's log", "2026-11-21 started\n2026-11-21 stopped\n"},
		{"another JSON log", "{\"msg\":\"ready\"}\n"},
		{"another version", strings.ReplaceAll(whole, `"version":1`, `"version":2`)},
		{"a line broken in its middle", strings.Replace(whole[:len(whole)-1], `"r1"`, `"r1`, 1) + "\n"},
		{"an empty last line", whole + "\n"},
		{"zeros that end in a newline", whole + string(make([]byte, 50)) + "\n"},
		{"a document without a newline", `{"keys":[]}`},
		{"a foreign end", whole + "some text"},
		{"a foreign end behind zeros", whole + "\x00\x00some text, longer than the head of a line"},
		{"a last line longer than any", whole + headVersion + strings.Repeat("1", 2*maxLine) + "\n"},
		{"a torn line longer than any", whole + headVersion + strings.Repeat("1", maxLine)},
		{"no newline in 3 MiB", strings.Repeat("x", 3<<20)},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(Config{File: path}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "not an audit line") {
				t.Errorf("the error is %v", err)
			}
			if after, _ := os.ReadFile(path); string(after) != row.content {
				t.Error("the file was changed")
			}
		})
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	os.WriteFile(path, []byte(whole), 0o600)
	if seq := record(t, open(t, Config{File: path}), granted("r")); seq != 3 {
		t.Errorf("the accepted twin goes on with seq %d", seq)
	}
}

// A sparse file of 8 GiB: reading it all would be noticed.
func TestOpenReadsOnlyTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	whole := chain(t, 3)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const hole = 8 << 30
	if _, err := f.WriteAt(append([]byte("\n"), whole...), hole); err != nil {
		t.Fatal(err)
	}
	f.Close()
	l := open(t, Config{File: path})
	if seq := record(t, l, granted("r")); seq != 4 {
		t.Errorf("seq %d", seq)
	}
	closed(t, l)
	if info, _ := os.Stat(path); info.Size() <= hole+1+int64(len(whole)) {
		t.Errorf("size %d", info.Size())
	}
}

func TestLooserModeIsTheOwnersChoice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	record(t, open(t, Config{File: path}), granted("r"))
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}
