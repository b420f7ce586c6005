package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// chain is a file of n lines, written by a Log.
func chain(t testing.TB, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, Config{File: path})
	for i := range n {
		record(t, l, granted(fmt.Sprintf("r%d", i)))
	}
	closed(t, l)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// AU-3: whatever byte is changed, the line that has it is
// named. Only the last line has nobody to vouch for it: there the head differs.
func TestAU3FlippedByteIsNamed(t *testing.T) {
	whole := chain(t, 4)
	original, err := Verify(bytes.NewReader(whole))
	if err != nil || original.Lines != 4 {
		t.Fatalf("%+v, %v", original, err)
	}
	for at := range whole {
		line := uint64(bytes.Count(whole[:at], []byte{'\n'}) + 1)
		for _, flip := range []byte{0x01, 0x20} {
			changed := bytes.Clone(whole)
			changed[at] ^= flip
			report, err := Verify(bytes.NewReader(changed))
			bad, ok := errors.AsType[*BadLine](err)
			switch {
			case line < 4 && (!ok || bad.Line != line || report.Lines != line-1 || report.Head != ""):
				t.Fatalf("byte %d, in line %d, changed by %#x: %+v, %v", at, line, flip, report, err)
			case line == 4 && err == nil && report.Head == original.Head:
				t.Fatalf("byte %d, in the last line, changed by %#x: not even the head differs", at, flip)
			case line == 4 && err != nil && (!ok || bad.Line < 3):
				t.Fatalf("byte %d, in the last line, changed by %#x: %v", at, flip, err)
			}
		}
	}
}

func TestAU3EditedFiles(t *testing.T) {
	lines := slices.Collect(bytes.Lines(chain(t, 5)))
	other := slices.Collect(bytes.Lines(bytes.ReplaceAll(chain(t, 5), []byte(`"r0"`), []byte(`"x0"`))))
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	rows := []struct {
		name string
		data []byte
		line uint64 // 0 for an accepted file
		what string
	}{
		{"whole", join(lines...), 0, ""},
		{"empty", nil, 0, ""},
		{"first line alone", lines[0], 0, ""},
		{"first line removed", join(lines[1:]...), 1, "seq is 2"},
		{"third line removed", join(lines[0], lines[1], lines[3], lines[4]), 3, "seq is 4"},
		{"second line twice", join(lines[0], lines[1], lines[1], lines[2]), 3, "seq is 2"},
		{"two lines swapped", join(lines[0], lines[2], lines[1], lines[3]), 2, "seq is 3"},
		{"a line of another chain", join(lines[0], other[1], lines[2], lines[3]), 2, "nor does the line after"},
		{"one line changed", join(bytes.Replace(lines[0], []byte(`"r0"`), []byte(`"x0"`), 1), lines[1], lines[2]), 1, "the prev of line 2"},
		{"an empty line between", join(lines[0], []byte("\n"), lines[1]), 2, "not an audit line"},
		{"a foreign line between", join(lines[0], []byte("{}\n"), lines[1]), 2, "not an audit line"},
		{"last line without newline", bytes.TrimSuffix(join(lines...), []byte("\n")), 5, "no end"},
		{"half a last line", join(lines[0], lines[1][:40]), 2, "no end"},
		{"an endless line", join(lines[0], bytes.Repeat([]byte("x"), maxLine+1)), 2, "longer than"},
		{"first prev is not zeros", bytes.Replace(lines[0], []byte("0000"), []byte("0001"), 1), 1, "not 64 zeros"},
		{"seq with a leading zero", bytes.Replace(lines[0], []byte(`"seq":1`), []byte(`"seq":01`), 1), 1, "not an audit line"},
		{"digest in upper case", bytes.Replace(lines[0], []byte("0000"), []byte("000A"), 1), 1, "not an audit line"},
		{"another version", bytes.Replace(lines[0], []byte(`"version":1`), []byte(`"version":2`), 1), 1, "not an audit line"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			report, err := Verify(bytes.NewReader(row.data))
			if row.line == 0 {
				if err != nil || report.Lines != uint64(bytes.Count(row.data, []byte("\n"))) {
					t.Fatalf("%+v, %v", report, err)
				}
				return
			}
			bad, ok := errors.AsType[*BadLine](err)
			if !ok || bad.Line != row.line || !strings.Contains(bad.Error(), row.what) || report.Lines != row.line-1 {
				t.Errorf("%+v, %v; want line %d: %s", report, err, row.line, row.what)
			}
		})
	}
}

// The end of a file can be cut off unseen; Lines and Head, noted before, show it.
func TestTheHeadShowsACutEnd(t *testing.T) {
	whole := chain(t, 5)
	before, _ := Verify(bytes.NewReader(whole))
	cut := whole[:bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1]
	after, err := Verify(bytes.NewReader(cut))
	if err != nil || after.Lines != 4 || after.Head == before.Head {
		t.Errorf("%+v, %v", after, err)
	}
}

func TestVerifyHandsOnTheReadersError(t *testing.T) {
	f, err := os.Open(t.TempDir()) // a folder cannot be read
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Verify(f); err == nil || errors.As(err, new(*BadLine)) {
		t.Errorf("the error is %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	whole := chain(f, 3)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := Verify(bytes.NewReader(data))
		again, errAgain := Verify(bytes.NewReader(data))
		if report != again || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("two answers: %+v %v, %+v %v", report, err, again, errAgain)
		}
		if err == nil && report.Lines != uint64(bytes.Count(data, []byte("\n"))) {
			t.Fatalf("%d lines verified of %d", report.Lines, bytes.Count(data, []byte("\n")))
		}
		// Open continues no file whose last line Verify could not read.
		if end, tailErr := readTail(bytes.NewReader(data), int64(len(data))); len(data) > 0 && err == nil {
			if tailErr != nil || end.tip.seq != report.Lines || string(end.tip.prev[:]) != report.Head || len(end.torn) != 0 {
				t.Fatalf("Verify says %+v, readTail %+v %v", report, end.tip, tailErr)
			}
		}
	})
}
