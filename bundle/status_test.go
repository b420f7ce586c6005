package bundle

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jwt := keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public())
		document := documentOf(t, map[string]any{"spiffe_sequence": 10, "spiffe_refresh_hint": 60},
			jwt, jwt.with(entry{"kid": nil}), jwt.with(entry{"use": "sig"}), anchorEntry(t, newAuthority(t, nil).cert))
		s := newSet(t,
			TrustDomain{Name: trustDomain(t, "z.test"), Source: &memory{answer: failing}},
			TrustDomain{Name: trustDomain(t, "a.test"), Source: holding(document)},
		)
		for _, status := range s.Status() {
			if status.Ready || !status.LastAttempt.IsZero() || status.LastError != "" || !status.NextRefresh.IsZero() || len(status.Keys) != 3 {
				t.Errorf("before the first attempt: %+v", status)
			}
		}
		started := time.Now()
		_ = s.Load(t.Context())
		time.Sleep(12 * time.Second)
		all := s.Status()
		if len(all) != 2 || all[0].TrustDomain.Name() != "a.test" || all[1].TrustDomain.Name() != "z.test" {
			t.Fatalf("not in order: %+v", all)
		}
		good, bad := all[0], all[1]
		if !good.Ready || good.Age != 12*time.Second || good.Sequence != 10 || !good.HasSequence || good.Generation == 0 || good.Origin != "memory" {
			t.Errorf("good: %+v", good)
		}
		if good.Keys[UseJWT] != 2 || good.Keys[UseWIT] != 0 || good.Keys[UseX509] != 1 {
			t.Errorf("keys: %v", good.Keys)
		}
		if len(good.LeftOut) != 1 || good.LeftOut[0].Rule != "BU-4" || len(good.Notes) != 1 || good.Notes[0].Rule != "BU-9" {
			t.Errorf("left out %v, notes %v", good.LeftOut, good.Notes)
		}
		if !good.LastAttempt.Equal(started) || good.LastError != "" || !near(good.NextRefresh.Sub(started), time.Minute) {
			t.Errorf("attempts: %+v", good)
		}
		if bad.Ready || bad.Age != 0 || bad.LastError != errSource.Error() || !bad.LastAttempt.Equal(started) || !near(bad.NextRefresh.Sub(started), time.Second) {
			t.Errorf("bad: %+v", bad)
		}
	})
}

// A recorder keeps log lines as objects, while others write more of them.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (r *recorder) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Reset()
}

func (r *recorder) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(r.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		if object["msg"] == message {
			found = append(found, object)
		}
	}
	r.Reset()
	return found
}

func TestLogBE18(t *testing.T) {
	ca := newAuthority(t, nil)
	source := &memory{origin: "https://h/b"}
	answer := func(document []byte) {
		source.set(always(Document{Bytes: document, Redirects: []string{"https://h/c"}}))
	}
	var record recorder
	s, err := NewSet(Config{
		TrustDomains: []TrustDomain{{Name: trustDomain(t, "example.org"), Source: source}},
		Log:          slog.New(slog.NewJSONHandler(&record, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	good := anchorEntry(t, ca.cert)
	seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
	for _, step := range []struct {
		name, outcome, level string
		document             []byte
		sequence             any
	}{
		{"BE-18 the first", "changed", "INFO", documentOf(t, seq(4), good), 4.0},
		{"BE-18 the same", "unchanged", "INFO", documentOf(t, seq(4), good), 4.0},
		{"BE-18 roll-back", "refused", "WARN", documentOf(t, seq(3)), nil},
		{"BE-18 malformed", "refused", "WARN", []byte(`{}`), nil},
		{"BE-18 no answer", "failed", "WARN", nil, nil},
		{"BE-18 no answer again", "failed", "WARN", nil, nil},
		{"BE-18 empty", "changed", "INFO", documentOf(t, seq(5)), 5.0},
	} {
		if source.fail(); step.document != nil {
			answer(step.document)
		}
		_ = s.Load(t.Context())
		lines := record.lines(t, "bundle fetched")
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines", step.name, len(lines))
		}
		line := lines[0]
		if line["outcome"] != step.outcome || line["level"] != step.level || line["sequence"] != step.sequence || line["trust_domain"] != "example.org" {
			t.Errorf("%s: %v", step.name, line)
		}
		if step.document != nil && (line["url"] != "https://h/b" || len(line["redirects"].([]any)) != 1) {
			t.Errorf("%s: %v", step.name, line)
		}
		if (line["error"] != nil) != (step.level == "WARN") {
			t.Errorf("%s: %v", step.name, line)
		}
	}
}

// Each left-out entry and each note is logged when it is new, not at each poll.
func TestLogOncePerChange(t *testing.T) {
	jwt := keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public())
	bad, noted := jwt.with(entry{"use": "sig"}), jwt.with(entry{"kid": nil})
	source := &memory{}
	var record recorder
	s, err := NewSet(Config{
		TrustDomains: []TrustDomain{{Name: trustDomain(t, "example.org"), Source: source}},
		Log:          slog.New(slog.NewJSONHandler(&record, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name     string
		document []byte
		message  string
		lines    int
	}{
		{"F5 an entry left out", documentOf(t, nil, jwt, bad), "bundle entry left out", 1},
		{"F5 the same bytes", documentOf(t, nil, jwt, bad), "bundle entry left out", 0},
		{"F5 another sequence", documentOf(t, map[string]any{"spiffe_sequence": 1}, jwt, bad), "bundle entry left out", 0},
		{"F5 two entries left out", documentOf(t, map[string]any{"spiffe_sequence": 2}, jwt, bad, bad), "bundle entry left out", 2},
		{"F5 none left out", documentOf(t, map[string]any{"spiffe_sequence": 3}, jwt), "bundle entry left out", 0},
		{"BU-9 a note", documentOf(t, map[string]any{"spiffe_sequence": 4}, noted), "bundle note", 1},
		{"BU-9 the same note", documentOf(t, map[string]any{"spiffe_sequence": 5}, noted), "bundle note", 0},
		{"BU-14 equal sequence", documentOf(t, map[string]any{"spiffe_sequence": 5}, jwt), "bundle accepted with a warning", 1},
		{"BU-14 higher sequence", documentOf(t, map[string]any{"spiffe_sequence": 6}, noted), "bundle accepted with a warning", 0},
		{"BU-3 nothing usable", documentOf(t, map[string]any{"spiffe_sequence": 7}), "bundle has nothing usable: every SVID of the trust domain is refused", 1},
	} {
		source.give(step.document)
		if err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if lines := record.lines(t, step.message); len(lines) != step.lines {
			t.Errorf("%s: %d lines: %v", step.name, len(lines), lines)
		}
	}
}

// A file is looked at every second; a change of it is there a second later, a
// bad one changes nothing, and only what is new is logged.
func TestSetFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "bundle.json")
		file, err := NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: file}
		var record recorder
		s, err := NewSet(Config{TrustDomains: []TrustDomain{td}, Log: slog.New(slog.NewJSONHandler(&record, nil))})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, s)
		defer stop()
		write := func(document []byte) {
			// Swapped in whole, or a look could find half of it.
			err := os.WriteFile(path+".new", document, 0o600)
			if err := errors.Join(err, os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		time.Sleep(10 * time.Minute)
		if lines := record.lines(t, "bundle fetched"); len(lines) != 1 || lines[0]["file"] != path {
			t.Errorf("a missing file is in the log %d times", len(lines))
		}

		write(jwtDocument(t, map[string]any{"spiffe_sequence": 9}, "one"))
		if !hasKey(s, td, "one") {
			t.Fatal("a new file was not read within a second")
		}
		first, _ := s.Bundle(td.Name)
		time.Sleep(time.Hour)
		confirmed, _ := s.Bundle(td.Name)
		if age := time.Since(confirmed.FetchedAt()); age > time.Second || confirmed.Generation() != first.Generation() {
			t.Errorf("an unchanged file: age %v, generation %d after %d", age, confirmed.Generation(), first.Generation())
		}
		write([]byte(`{"keys":`))
		time.Sleep(time.Minute)
		if !hasKey(s, td, "one") || s.Status()[0].LastError == "" {
			t.Error("a bad file took the bundle away, or the status does not tell")
		}
		if age := s.Status()[0].Age; age < time.Minute {
			t.Errorf("BE-15 a bad file kept the bundle young: %v", age)
		}
		write(jwtDocument(t, map[string]any{"spiffe_sequence": 1}, "two"))
		if !hasKey(s, td, "two") || hasKey(s, td, "one") {
			t.Error("BU-14 a lower sequence in a file was not taken")
		}
		write(documentOf(t, nil))
		if snapshot, err := s.Bundle(td.Name); err != nil || snapshot.Supports(UseJWT) {
			t.Errorf("BU-3 keys still hold after an empty file: %v", err)
		}
		var outcomes []string
		for _, line := range record.lines(t, "bundle fetched") {
			outcomes = append(outcomes, line["outcome"].(string))
		}
		if want := []string{"changed", "refused", "changed", "changed"}; !slices.Equal(outcomes, want) {
			t.Errorf("logged %v, want %v", outcomes, want)
		}
	})
}

// F1 over real TLS: a key that was rotated in since the last poll is there after
// one refresh, and the query of the endpoint's URL is nowhere in the log.
func TestSetWithEndpoint(t *testing.T) {
	ca := newAuthority(t, nil)
	served := make(chan []byte, 1)
	served <- jwtDocument(t, map[string]any{"spiffe_sequence": 1}, "old")
	s := newSite(t, ca, serveFrom(served), nil)
	var record recorder
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: newEndpoint(t, ca, s.URL+"/bundle?q=secret")}
	set, err := NewSet(Config{TrustDomains: []TrustDomain{td}, Log: slog.New(slog.NewJSONHandler(&record, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-served
	served <- jwtDocument(t, map[string]any{"spiffe_sequence": 2}, "new")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	snapshot, err := set.Refresh(ctx, td.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := snapshot.Key(UseJWT, "new"); !ok {
		t.Error("F1 the new key is not there")
	}
	if snapshot.TrustDomain().Name() != "example.org" {
		t.Errorf("BU-18 the trust domain is %v", snapshot.TrustDomain())
	}
	if strings.Contains(record.String(), "secret") {
		t.Errorf("BE-18 the query is in the log: %s", record.String())
	}
	if lines := record.lines(t, "bundle fetched"); len(lines) != 2 || lines[1]["url"] != td.Source.Origin() || !strings.HasPrefix(td.Source.Origin(), s.URL+"/bundle (") || lines[1]["sequence"] != 2.0 {
		t.Errorf("BE-18 %v", lines)
	}
	s.Close()
	if err := set.Load(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("BE-18 with the endpoint gone: %v", err)
	}
	if !hasKey(set, td, "new") {
		t.Error("BE-15 the bundle is gone with its endpoint")
	}
}
