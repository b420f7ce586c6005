package bundle

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An operator's fetch is there at once, whatever was planned or used up, and what
// it did is told.
func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		stop := run(t, s)
		defer stop()
		before, _ := s.Bundle(td.Name)
		change, err := s.Fetch(t.Context(), td.Name, FetchOptions{})
		if after, _ := s.Bundle(td.Name); err != nil || !change.Changed || change.Before != before || change.After != after || change.Warning != "" || !hasKey(s, td, "new") {
			t.Errorf("%+v, %v", change, err)
		}
		if change, err = s.Fetch(t.Context(), td.Name, FetchOptions{}); err != nil || change.Changed || change.After == nil {
			t.Errorf("unchanged: %+v, %v", change, err)
		}
		if source.count() != 3 {
			t.Errorf("BE-17 %d fetches", source.count())
		}
		// It used up nothing of the allowance.
		mustRefresh(t, s, td)
		if source.count() != 4 {
			t.Error("BE-17 the operator's fetch used up the allowance")
		}
		source.fail()
		kept := change.After
		if change, err = s.Fetch(t.Context(), td.Name, FetchOptions{}); !errors.Is(err, errSource) || change.After != nil || change.Changed || change.Before == nil || !change.Before.Same(kept) {
			t.Errorf("BE-15 a failed one: %+v, %v", change, err)
		}
		if status := s.Status()[0]; status.Failures != 1 || !hasKey(s, td, "new") {
			t.Errorf("BE-15 status %+v", status)
		}
	})
}

// Operators, polls and requests never ask a source at the same time.
func TestFetchWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asking := 0
		document := jwtDocument(t, nil, "a")
		source := &memory{answer: func(context.Context) (Document, error) {
			mu.Lock()
			if asking++; asking > 1 {
				t.Error("two at the same time")
			}
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			asking--
			mu.Unlock()
			return Document{Bytes: document}, nil
		}}
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source, Refresh: Refresh{Min: time.Second, Max: time.Second}}
		s := newSet(t, td)
		stop := run(t, s)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = s.Fetch(t.Context(), td.Name, FetchOptions{}) })
			wg.Go(func() { _, _ = s.Peek(t.Context(), td.Name) })
			wg.Go(func() { _, _ = s.Refresh(t.Context(), td.Name) })
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Peek(ctx, td.Name); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that cannot wait: %v", err)
		}
		stop()
		time.Sleep(time.Minute) // a fetch on demand goes on without its caller
	})
}

// A fetch that its operator gave up puts off no poll.
func TestFetchGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		planned := s.Status()[0].NextRefresh
		source.set(hanging)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := s.Fetch(ctx, td.Name, FetchOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if status := s.Status()[0]; !status.NextRefresh.Equal(planned) || status.Failures != 0 {
			t.Errorf("BE-13 status %+v", status)
		}
	})
}

// F8, BU-14: an older bundle is refused; the operator's word takes it, and the
// comparison goes on from there.
func TestF8RollBack(t *testing.T) {
	seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
	var record recorder
	source := holding(jwtDocument(t, seq(9), "nine"))
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
	s := logged(t, &record, td)
	mustLoad(t, s)
	steps := []struct {
		name     string
		sequence int
		older    bool
		taken    bool
		alarm    string
	}{
		{"F8 lower", 4, false, false, "offers an older bundle"},
		{"F8 lower by one", 8, false, false, "offers an older bundle"},
		{"BU-14 lower, by the operator's word", 4, true, true, ""},
		{"BU-14 the comparison was reset", 5, false, true, ""},
		{"F8 lower than after the reset", 4, false, false, "offers an older bundle"},
		{"BU-14 higher, by the operator's word", 6, true, true, ""},
		{"BU-14 equal, by the operator's word", 6, true, true, "its sequence did not"},
		{"BU-14 lower ends the conflict, by the operator's word", 5, true, true, ""},
	}
	for i, step := range steps {
		kid := strings.Repeat("k", i+1)
		source.give(jwtDocument(t, seq(step.sequence), kid))
		change, err := s.Fetch(t.Context(), td.Name, FetchOptions{AcceptOlder: step.older})
		if refused, ok := errors.AsType[*DocumentError](err); ok == step.taken || ok && refused.Rule != "BU-14" || hasKey(s, td, kid) != step.taken {
			t.Fatalf("%s: %v", step.name, err)
		}
		before, _ := change.Before.Sequence()
		if warned := step.taken && uint64(step.sequence) <= before; (change.Warning != "") != warned {
			t.Errorf("%s: warning %q", step.name, change.Warning)
		}
		alarms := s.Status()[0].Alarm
		if step.alarm == "" && len(alarms) != 0 || step.alarm != "" && !raised(s.Status()[0], step.alarm) {
			t.Errorf("%s: alarms %q", step.name, alarms)
		}
	}
	if n := len(record.lines(t, "bundle accepted with a warning")); n != 3 {
		t.Errorf("BU-14 %d warnings in the log", n)
	}
}

// To look is not to take.
func TestPeek(t *testing.T) {
	s, td, source := loaded(t)
	before, status := s.Status()[0], s.Status()[0]
	shown, err := s.Peek(t.Context(), td.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := shown.Key(UseJWT, "new"); !ok || shown.Generation() != 0 {
		t.Errorf("shown is %+v", shown)
	}
	if difference := Compare(must(s.Bundle(td.Name)), shown); len(difference.Added) != 1 || len(difference.Removed) != 1 {
		t.Errorf("the difference: %+v", difference)
	}
	source.give([]byte(`{}`))
	var refused *DocumentError
	if _, err := s.Peek(t.Context(), td.Name); !errors.As(err, &refused) || refused.Rule != "BU-2" {
		t.Errorf("BU-2 error %v", err)
	}
	source.fail()
	if _, err := s.Peek(t.Context(), td.Name); !errors.Is(err, errSource) {
		t.Errorf("error %v", err)
	}
	if status = s.Status()[0]; hasKey(s, td, "new") || status.LastError != "" || status.Generation != before.Generation || !status.LastSuccess.Equal(before.LastSuccess) || len(status.Alarm) != 0 {
		t.Errorf("it was taken, or the status changed: %+v", status)
	}
	if source.count() != 4 {
		t.Errorf("%d fetches", source.count())
	}
}

func must(s *Snapshot, err error) *Snapshot {
	if err != nil {
		panic(err)
	}
	return s
}

// BE-18: a look is in the log, too.
func TestPeekBE18(t *testing.T) {
	var record recorder
	source := holding(jwtDocument(t, nil, "a"))
	source.origin = "https://h/b"
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
	s := logged(t, &record, td)
	for _, step := range []struct{ outcome, level string }{{"shown", "INFO"}, {"refused", "WARN"}, {"failed", "WARN"}} {
		switch step.outcome {
		case "refused":
			source.give([]byte(`{}`))
		case "failed":
			source.fail()
		}
		_, _ = s.Peek(t.Context(), td.Name)
		lines := record.lines(t, "bundle looked at")
		if len(lines) != 1 || lines[0]["outcome"] != step.outcome || lines[0]["level"] != step.level || lines[0]["url"] != "https://h/b" {
			t.Errorf("BE-18 %s: %v", step.outcome, lines)
		}
	}
}
