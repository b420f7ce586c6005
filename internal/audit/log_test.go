package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

func granted(id string) Event {
	return Event{Event: EventToken, Outcome: Granted, RequestID: id}
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func record(t testing.TB, l *Log, e Event) uint64 {
	t.Helper()
	seq, err := l.Record(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func closed(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// unavailable checks that err is the refusal of AU-6.
func unavailable(t testing.TB, err error) {
	t.Helper()
	var refusal *oauth.Error
	if !errors.As(err, &refusal) || refusal.Code != oauth.Unavailable || refusal.Reason != oauth.ReasonAuditUnavailable || refusal.Rule != "AU-6" || refusal.Err == nil {
		t.Fatalf("the error is %v", err)
	}
}

func verified(t testing.TB, path string) Report {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	report, err := Verify(f)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// linesOf are the members of each line of a file.
func linesOf(t testing.TB, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(data)) {
		all = append(all, decoded(t, line))
	}
	return all
}

func TestAU3ChainGoesOnAcrossRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	want := uint64(0)
	for range 3 {
		l := open(t, Config{File: path})
		for range 4 {
			want++
			if seq := record(t, l, granted("r")); seq != want {
				t.Fatalf("seq %d, want %d", seq, want)
			}
		}
		closed(t, l)
	}
	if report := verified(t, path); report.Lines != 12 || len(report.Head) != 64 {
		t.Errorf("report %+v", report)
	}
	lines := linesOf(t, path)
	if lines[0]["prev"] != strings.Repeat("0", 64) {
		t.Errorf("the first prev is %v", lines[0]["prev"])
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

func TestManyWritersMakeOneChain(t *testing.T) {
	for name, fsync := range map[string]string{"synced later": "", "fsync every": FsyncEvery} {
		t.Run(name, func(t *testing.T) {
			const callers, events = 64, 200
			each := events
			if fsync == FsyncEvery {
				each = 10
			}
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			l := open(t, Config{File: path, Fsync: fsync})
			seen := make([][]uint64, callers)
			var group sync.WaitGroup
			for c := range callers {
				group.Go(func() {
					for i := range each {
						seq, err := l.Record(t.Context(), granted(fmt.Sprintf("%d-%d", c, i)))
						if err != nil {
							t.Error(err)
							return
						}
						seen[c] = append(seen[c], seq)
					}
				})
			}
			group.Wait()
			closed(t, l)
			if report := verified(t, path); report.Lines != uint64(callers*each) {
				t.Errorf("%d lines", report.Lines)
			}
			lines := linesOf(t, path)
			for c := range seen {
				for i, seq := range seen[c] {
					if got, want := lines[seq-1]["request_id"], fmt.Sprintf("%d-%d", c, i); got != want {
						t.Fatalf("line %d holds %v, Record said %s", seq, got, want)
					}
				}
			}
		})
	}
}

func TestASecondWriterIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	first := open(t, Config{File: path})
	record(t, first, granted("r"))
	if _, err := Open(Config{File: path}); err == nil || !strings.Contains(err.Error(), "another process is writing this file") {
		t.Fatalf("the second Open says %v", err)
	}
	record(t, first, granted("r"))
	closed(t, first)
	second := open(t, Config{File: path})
	if seq := record(t, second, granted("r")); seq != 3 {
		t.Errorf("after the first closed, seq is %d", seq)
	}
}

func TestConfigIsChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	rows := []struct {
		name string
		cfg  Config
		want string
	}{
		{"no file", Config{}, "no file is named"},
		{"unknown fsync", Config{File: path, Fsync: "never"}, "fsync is"},
		{"both", Config{Fsync: "never"}, "fsync is"},
		{"a folder", Config{File: filepath.Dir(path)}, "is a directory"},
		{"no such folder", Config{File: filepath.Join(path, "x", "y")}, "no such file"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if _, err := Open(row.cfg); err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "audit: ") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	open(t, Config{File: path, Fsync: FsyncEvery})
}

func TestAUselessEventIsAFaultOfTheCaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, Config{File: path})
	for name, e := range map[string]Event{
		"AU-1 no name":         {Outcome: Granted},
		"AU-1 no outcome":      {Event: EventToken},
		"AU-1 unknown outcome": {Event: EventToken, Outcome: "maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := l.Record(t.Context(), e); !errors.Is(err, oauth.ServerError) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if seq := record(t, l, granted("r")); seq != 1 {
		t.Errorf("the first good event has seq %d", seq)
	}
	if err := l.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestRecordIsWrittenWhenItReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, Config{File: path, Node: "n1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the peer has gone: the decision is recorded all the same
	seq, err := l.Record(ctx, granted("r1"))
	if err != nil {
		t.Fatal(err)
	}
	lines := linesOf(t, path)
	if len(lines) != 1 || lines[0]["seq"] != float64(seq) || lines[0]["node"] != "n1" {
		t.Errorf("lines %v", lines)
	}
}

func TestCloseEndsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, Config{File: path})
	record(t, l, granted("r"))
	closed(t, l)
	closed(t, l) // a second call does nothing
	_, err := l.Record(t.Context(), granted("r"))
	unavailable(t, err)
	if report := verified(t, path); report.Lines != 1 {
		t.Errorf("%d lines", report.Lines)
	}
}

// newLogger collects what the Log says.
func newLogger() (*slog.Logger, *lockedBuffer) {
	b := new(lockedBuffer)
	return slog.New(slog.NewJSONHandler(b, nil)), b
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func BenchmarkRecord(b *testing.B) {
	e := Event{
		Event: EventToken, Outcome: Granted, RequestID: "01JD8Q6N3V6S9W1Y5T2R7K4M0C", Endpoint: "/token", Source: "127.0.0.1:50000",
		ClientID: "spiffe://example.org/ns/prod/sa/billing", SPIFFEID: "spiffe://example.org/ns/prod/sa/billing", TrustDomain: "example.org",
		AuthMethod: "spiffe_jwt", SVIDDigest: strings.Repeat("ab", 32), BundleSequence: 42, HasBundleSequence: true,
		GrantType: "client_credentials", Resource: "https://api.example.com/", Scope: "read write", PolicyRule: "clients",
		Txn: "0f5b7b3e6c5d4a1f", JTI: "9e107d9d372bb6826bd81d3542a419d6", KeyID: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", Binding: "x5t#S256",
		Expires: moment,
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := open(b, Config{File: filepath.Join(b.TempDir(), "audit.jsonl")})
			b.ReportAllocs()
			var group sync.WaitGroup
			per := b.N/callers + 1
			b.ResetTimer()
			for range callers {
				group.Go(func() {
					for range per {
						if _, err := l.Record(context.Background(), e); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}
