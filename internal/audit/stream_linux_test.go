package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two tests need a process of their own: this binary, started again.
const childEnv = "SVIDGATE_AUDIT_TEST_CHILD"

func TestMain(m *testing.M) {
	task, path, _ := strings.Cut(os.Getenv(childEnv), ":")
	switch task {
	case "":
		os.Exit(m.Run())
	case "limit":
		exit(childAtItsLimit(path))
	case "stdout":
		exit(childOnStandardOutput())
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, task string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+task)
	return cmd
}

// The kernel cuts a write short at the limit, as it does on a disk that fills
// up.
func TestAU6ShortWriteOfTheKernel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if out, err := child(t, "limit:"+path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := linesOf(t, path)
	if got := events(lines); !strings.HasSuffix(got, "token resumed token") || strings.Count(got, "resumed") != 1 {
		t.Errorf("lines %s", got)
	}
	verified(t, path)
}

func childAtItsLimit(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	l, err := Open(Config{File: path})
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: before.Max}); err != nil {
		return err
	}
	ctx, e := context.Background(), granted("r")
	for {
		_, err = l.Record(ctx, e)
		if err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("the error at the limit is %w", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != l.tip.size || info.Size() < 500 {
		return fmt.Errorf("%d bytes are left, %d are whole lines: %w", info.Size(), l.tip.size, err)
	}
	if l.Healthy() == nil {
		return errors.New("healthy at the limit")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if _, err := l.Record(ctx, e); err != nil {
		return err
	}
	return errors.Join(l.Healthy(), l.Close())
}

func TestStandardOutput(t *testing.T) {
	out, err := child(t, "stdout").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Closing the Log leaves standard output open.
	audit, rest, ok := bytes.Cut(out, []byte("still open\n"))
	report, err := Verify(bytes.NewReader(audit))
	if !ok || len(rest) != 0 || err != nil || report.Lines != 3 {
		t.Errorf("%+v, %v: %s", report, err, out)
	}
}

// A reader of standard output that goes away must not take the server with it.
func TestAU6StandardOutputWithoutAReader(t *testing.T) {
	cmd := child(t, "stdout")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &said
	err = cmd.Run()
	w.Close()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(said.String(), "audit_unavailable") {
		t.Errorf("%v: %s", err, said.String())
	}
}

func childOnStandardOutput() error {
	l, err := Open(Config{File: "-"})
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := l.Record(context.Background(), granted("r")); err != nil {
			return err
		}
	}
	if err := l.Close(); err != nil {
		return err
	}
	_, err = fmt.Println("still open")
	return err
}

func TestAU6DevFull(t *testing.T) {
	l := open(t, Config{File: "/dev/full", Fsync: FsyncEvery})
	if err := l.Healthy(); err != nil {
		t.Errorf("before the first event: %v", err)
	}
	for range 2 {
		_, err := l.Record(t.Context(), granted("r"))
		unavailable(t, err)
		if !errors.Is(err, syscall.ENOSPC) || !errors.Is(l.Healthy(), syscall.ENOSPC) {
			t.Errorf("Record says %v, Healthy %v", err, l.Healthy())
		}
	}
	twin := open(t, Config{File: "/dev/null", Fsync: FsyncEvery})
	if record(t, twin, granted("r")) != 1 || twin.Healthy() != nil {
		t.Errorf("/dev/null: %v", twin.Healthy())
	}
	closed(t, twin)
}

func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{File: path}); err == nil || !strings.Contains(err.Error(), "nobody reads it") {
		t.Fatalf("without a reader: %v", err)
	}
	reader := openFIFO(t, path)
	l := open(t, Config{File: path})
	record(t, l, granted("r"))
	record(t, l, granted("r"))
	lines := bufio.NewReader(reader)
	var got []byte
	for range 2 {
		got = append(got, readFIFO(t, lines)...)
	}
	if report, err := Verify(bytes.NewReader(got)); err != nil || report.Lines != 2 {
		t.Errorf("%+v, %v", report, err)
	}

	reader.Close()
	_, err := l.Record(t.Context(), granted("lost"))
	unavailable(t, err)
	if !errors.Is(l.Healthy(), syscall.EPIPE) {
		t.Errorf("Healthy says %v", l.Healthy())
	}
	// A new reader, and nobody asks for a token: the probe brings it back.
	reader = openFIFO(t, path)
	defer reader.Close()
	line := readFIFO(t, bufio.NewReader(reader))
	members := decoded(t, string(line))
	if members["event"] != "resumed" || members["seq"] != 3.0 || members["failed_events"] != 1.0 {
		t.Errorf("the first line for the new reader is %s", line)
	}
	if report, err := Verify(bytes.NewReader(append(got, line...))); err != nil || report.Lines != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	for deadline := time.Now().Add(5 * time.Second); l.Healthy() != nil; {
		if time.Now().After(deadline) {
			t.Fatal(l.Healthy())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A FIFO that takes part of a line: the part is ended, and the next line is
// whole.
func TestFIFOTakesPartOfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader := openFIFO(t, path)
	defer reader.Close()
	f, regular, err := openFile(path)
	if err != nil || regular {
		t.Fatal(regular, err)
	}
	weak := &weakFile{File: f, room: 40}
	l := newLog(Config{}, weak, false)
	l.start()
	defer l.Close()
	_, err = l.Record(t.Context(), granted("lost"))
	unavailable(t, err)
	weak.set(func(f *weakFile) { f.room = -1 })
	record(t, l, granted("next"))

	lines := bufio.NewReader(reader)
	if part := readFIFO(t, lines); len(part) != 41 {
		t.Errorf("the part of a line is %q", part)
	}
	whole := append(readFIFO(t, lines), readFIFO(t, lines)...)
	if report, err := Verify(bytes.NewReader(whole)); err != nil || report.Lines != 2 {
		t.Errorf("%+v, %v: %s", report, err, whole)
	}
}

// Nobody empties the FIFO: a deadline ends a write to it, and recordTimeout one that
// has none.
func TestAFIFOThatNobodyEmpties(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader := openFIFO(t, path)
	defer reader.Close()
	l := open(t, Config{File: path})
	until := func(want error) {
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err := l.Record(ctx, granted("r"))
			cancel()
			if errors.Is(err, want) {
				unavailable(t, err)
				return
			}
		}
	}
	until(os.ErrDeadlineExceeded)
	if l.Healthy() == nil {
		t.Error("healthy with a FIFO that takes nothing")
	}
	stuck := make(chan error)
	go func() {
		_, err := l.Record(context.Background(), granted("r"))
		stuck <- err
	}()
	until(errWaiting)
	unavailable(t, <-stuck) // by recordTimeout
	if err := l.Close(); err != nil {
		t.Errorf("Close says %v", err)
	}
}

func openFIFO(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// readFIFO reads a line, also where no writer has come yet.
func readFIFO(t *testing.T, r *bufio.Reader) []byte {
	t.Helper()
	var line []byte
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		part, err := r.ReadBytes('\n')
		line = append(line, part...)
		if err == nil {
			return line
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("no line came, only %q", line)
	return nil
}

func document(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "audit-record.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEveryMemberIsDocumented(t *testing.T) {
	text := document(t)
	names := []string{"version", "seq", "prev", "time", "node", "failed_events", "lost_bytes", "lost_sha256"}
	for _, name := range memberOf {
		names = append(names, name)
	}
	for _, name := range names {
		row := false
		for line := range strings.Lines(text) {
			cells := strings.Split(line, "|")
			row = row || len(cells) > 2 && strings.Contains(cells[1], "`"+name+"`")
		}
		if !row {
			t.Errorf("docs/audit-record.md has no row for %s", name)
		}
	}
}

// The shell script of the document finds what Verify finds.
func TestVerifyByHand(t *testing.T) {
	_, script, _ := strings.Cut(document(t), "```sh\n")
	script, _, ok := strings.Cut(script, "```")
	if !ok {
		t.Fatal("the document has no script")
	}
	whole := chain(t, 4)
	report, err := Verify(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name, want string
		data       []byte
		fails      bool
	}{
		{"whole", fmt.Sprintf("4 lines, head %s\n", report.Head), whole, false},
		{"a line changed", "line 3 does not follow from the line before\n", bytes.Replace(whole, []byte(`"r1"`), []byte(`"x1"`), 1), true},
		{"a seq changed", "line 2 does not follow from the line before\n", bytes.Replace(whole, []byte(`"seq":2`), []byte(`"seq":9`), 1), true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
			cmd.Dir = t.TempDir()
			if err := os.WriteFile(filepath.Join(cmd.Dir, "audit.jsonl"), row.data, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.CombinedOutput()
			if string(out) != row.want || (err != nil) != row.fails {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
