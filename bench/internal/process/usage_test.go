package process

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4194304 100 0 0 0 250 50 7 8 20 0 5 0 12345 1000000 300 18446744073709551615 1 1 0 0 0"
	want := Usage{CPU: 3 * time.Second, RSS: 300 * int64(os.Getpagesize())}
	for _, name := range []string{"(svidgate)", "(a) b (c)", "()"} { // a program's name may look like anything
		if got, err := parseStat([]byte("42 " + name + rest)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "42 (svidgate", "42 (svidgate) S 1 2", "42 (svidgate) S 1 2 3 0 -1 4194304 100 0 0 0 x 50 7 8 20 0 5 0 12345 1000000 300"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	if got, err := UsageOf(os.Getpid()); err != nil || got.RSS <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := UsageOf(-1); err == nil {
		t.Errorf("of no process: %+v", got)
	}
}

func TestReady(t *testing.T) {
	for _, row := range []struct {
		line         string
		ok           bool
		public, mtls string
	}{
		{"ready 127.0.0.1:1234", true, "127.0.0.1:1234", "127.0.0.1:1234"},
		{`{"level":"INFO","msg":"ready","public":"127.0.0.1:1","mtls":"127.0.0.1:2"}`, true, "127.0.0.1:1", "127.0.0.1:2"},
		{`{"level":"WARN","msg":"not ready"}`, false, "", ""},
		{`"ready" {`, false, "", ""},
		{"", false, "", ""},
	} {
		var r Ready
		if ok := r.Parse([]byte(row.line)); ok != row.ok || ok && (r.Public != row.public || r.MTLS != row.mtls) {
			t.Errorf("%q: %t, %+v", row.line, ok, r)
		}
	}
}
