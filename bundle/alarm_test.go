package bundle

import (
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// raised reports whether one of the alarms of a status says this.
func raised(status Status, text string) bool {
	return slices.ContainsFunc(status.Alarm, func(a string) bool { return strings.Contains(a, text) })
}

func logged(t *testing.T, record *recorder, domains ...TrustDomain) *Set {
	t.Helper()
	return keeping(t, "", record, domains...)
}

// F2: an endpoint that is gone makes no bundle younger. The alarm comes long
// before the age at which the caller refuses, and concerns its trust domain only.
func TestF2DeadEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		hint := map[string]any{"spiffe_refresh_hint": 600}
		dying := holding(jwtDocument(t, hint, "a"))
		td := TrustDomain{Name: trustDomain(t, "dying.test"), Source: dying, MaxAge: 2 * time.Hour}
		other := TrustDomain{Name: trustDomain(t, "other.test"), Source: holding(jwtDocument(t, hint, "b")), MaxAge: 2 * time.Hour}
		s := logged(t, &record, td, other)
		stop := run(t, s)
		defer stop()
		dying.fail()
		started := time.Now()
		confirmed, _ := s.Bundle(td.Name)
		for _, step := range []struct {
			name          string
			at            time.Duration
			early, tooOld bool
		}{
			{"F2 at three polls", 30 * time.Minute, false, false},
			{"F2 a second later", 30*time.Minute + time.Second, true, false},
			{"F2 at the greatest age", 2 * time.Hour, true, false},
			{"F2 a second later still", 2*time.Hour + time.Second, true, true},
			{"F2 a week later", 7 * 24 * time.Hour, true, true},
		} {
			time.Sleep(time.Until(started.Add(step.at)))
			synctest.Wait()
			all := s.Status()
			if raised(all[0], "not confirmed") != step.early || raised(all[0], "older than") != step.tooOld {
				t.Errorf("%s: %q", step.name, all[0].Alarm)
			}
			if snapshot, err := s.Bundle(td.Name); err != nil || snapshot != confirmed || all[0].Age != step.at {
				t.Errorf("%s: the bundle changed, or its age is %v: %v", step.name, all[0].Age, err)
			}
			if all[1].Age > 11*time.Minute || len(all[1].Alarm) != 0 {
				t.Errorf("%s: the other trust domain: %+v", step.name, all[1])
			}
		}
		dying.give(jwtDocument(t, hint, "a"))
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if status := s.Status()[0]; len(status.Alarm) != 0 || status.Failures != 0 {
			t.Errorf("F2 after it came back: %+v", status)
		}
		var lines []string
		for _, line := range record.all(t) {
			if strings.HasPrefix(line["msg"].(string), "bundle alarm") {
				lines = append(lines, fmt.Sprint(line["level"], " ", line["msg"], ": ", line["alarm"], " of ", line["trust_domain"]))
			}
		}
		want := []string{
			"WARN bundle alarm: not confirmed of dying.test",
			"WARN bundle alarm: too old of dying.test",
			"INFO bundle alarm is over: too old of dying.test",
			"INFO bundle alarm is over: not confirmed of dying.test",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the log: %q", lines)
		}
	})
}

// all are the log lines as objects.
func (r *recorder) all(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for text := range strings.Lines(r.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// When an alarm for the age comes, for one bound after another.
func TestAlarmEarly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hint    time.Duration
		refresh Refresh
		maxAge  time.Duration
		local   bool
		want    time.Duration
	}{
		{"three polls", 5 * time.Minute, Refresh{}, 0, false, 15 * time.Minute},
		{"three polls within a day", 5 * time.Minute, Refresh{}, 24 * time.Hour, false, 15 * time.Minute},
		{"half of the greatest age", time.Hour, Refresh{}, 4 * time.Hour, false, 2 * time.Hour},
		{"a poll on its plan is never late", time.Hour, Refresh{}, 2 * time.Hour, false, 66*time.Minute + 10*time.Second},
		{"nor with a slow source", time.Second, Refresh{Min: time.Second}, 0, false, 1100*time.Millisecond + 10*time.Second},
		{"a file", time.Hour, Refresh{}, 24 * time.Hour, true, 1100*time.Millisecond + 10*time.Second},
	} {
		refresh, err := tt.refresh.checked()
		if err != nil {
			t.Fatal(err)
		}
		d := newDomain(TrustDomain{Source: &memory{}, Refresh: refresh, MaxAge: tt.maxAge})
		d.local = tt.local
		d.current.Store(&Snapshot{refreshHint: tt.hint, fetchedAt: epoch})
		if got := d.early(); got != tt.want {
			t.Errorf("F2 %s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Each alarm beside what ends it.
func TestAlarms(t *testing.T) {
	jwt := keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public())
	other := jwt.with(entry{"kid": "b"})
	conflicting := keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public())
	seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
	tests := []struct {
		name  string
		steps [][]byte // nil: no answer
		want  string   // in an alarm; empty: there is none
	}{
		{"all is well", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(6), other)}, ""},
		{"one failure is none yet", [][]byte{documentOf(t, seq(5), jwt), nil}, ""},
		{"BU-2 a document refused", [][]byte{documentOf(t, seq(5), jwt), []byte(`{}`)}, "refused: keys is missing (BU-2)"},
		{"BU-11 a conflict of kids", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(6), jwt, conflicting)}, "(BU-11)"},
		{"BU-2 no answer after it", [][]byte{documentOf(t, seq(5), jwt), []byte(`{}`), nil}, "(BU-2)"},
		{"BU-2 a good one after it", [][]byte{documentOf(t, seq(5), jwt), []byte(`{}`), documentOf(t, seq(5), jwt)}, ""},
		{"BU-14 roll-back", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(4), other)}, "offers an older bundle"},
		{"BU-14 roll-back that ended", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(4), other), documentOf(t, seq(5), jwt)}, ""},
		{"BU-14 conflict", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(5), other)}, "its sequence did not"},
		{"BU-14 conflict, unchanged", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(5), other), documentOf(t, seq(5), other)}, "its sequence did not"},
		{"BU-14 conflict, back and forth", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(5), other), documentOf(t, seq(5), jwt)}, "its sequence did not"},
		{"BU-14 conflict, no answer", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(5), other), nil}, "its sequence did not"},
		{"BU-14 conflict, higher sequence", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(5), other), documentOf(t, seq(6), other)}, ""},
		{"BU-3 nothing usable", [][]byte{documentOf(t, seq(5), jwt), documentOf(t, seq(6))}, "nothing usable"},
		{"BU-3 a key again", [][]byte{documentOf(t, seq(5)), documentOf(t, seq(6), jwt)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var record recorder
			source := &memory{}
			s := logged(t, &record, TrustDomain{Name: trustDomain(t, "example.org"), Source: source})
			for _, document := range tt.steps {
				if source.fail(); document != nil {
					source.give(document)
				}
				_ = s.Load(t.Context())
			}
			status := s.Status()[0]
			if tt.want == "" && len(status.Alarm) != 0 || tt.want != "" && (len(status.Alarm) != 1 || !raised(status, tt.want)) {
				t.Errorf("alarms %q, want %q", status.Alarm, tt.want)
			}
			begun := len(record.lines(t, "bundle alarm"))
			if tt.want != "" && begun != 1 {
				t.Errorf("%d lines in the log", begun)
			}
		})
	}
}

// The time alone raises an alarm while nothing answers, and Run logs it then.
func TestAlarmNothingObtained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		source := &memory{answer: hanging}
		s := logged(t, &record, TrustDomain{Name: trustDomain(t, "example.org"), Source: source})
		if len(s.Status()[0].Alarm) != 0 {
			t.Error("an alarm before the first attempt")
		}
		stop := run(t, s)
		time.Sleep(time.Minute)
		if alarms := s.Status()[0].Alarm; len(alarms) != 0 {
			t.Errorf("F9 within a minute: %q", alarms)
		}
		time.Sleep(2 * alarmStep)
		if !raised(s.Status()[0], "no bundle was obtained") {
			t.Error("F9 no alarm after a minute")
		}
		time.Sleep(11 * time.Second) // an attempt under way is not interrupted
		stop()
		if lines := record.lines(t, "bundle alarm"); len(lines) != 1 {
			t.Errorf("the log: %v", lines)
		}
	})
}

// A clock that was set back shows no negative age, and the next answer is taken.
func TestStatusClockSetBack(t *testing.T) {
	now := epoch
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "a")), MaxAge: time.Hour}
	s, err := NewSet(Config{TrustDomains: []TrustDomain{td}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	mustLoad(t, s)
	now = now.Add(-time.Hour)
	if status := s.Status()[0]; status.Age != 0 || len(status.Alarm) != 0 || !status.LastSuccess.Equal(epoch) {
		t.Errorf("BE-15 %+v", status)
	}
	mustLoad(t, s)
	if status := s.Status()[0]; !status.LastSuccess.Equal(now) {
		t.Errorf("BE-15 %+v", status)
	}
}

// An alarm that time alone raises is in the log on its time, not with the next
// poll.
func TestAlarmOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		source := holding(jwtDocument(t, map[string]any{"spiffe_refresh_hint": 3600}, "a"))
		dead := TrustDomain{Name: trustDomain(t, "dead.test"), Source: &memory{answer: failing}}
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source, MaxAge: 90 * time.Minute}
		s := logged(t, &record, td, dead)
		started := time.Now()
		stop := run(t, s)
		source.fail()
		time.Sleep(100 * time.Minute)
		stop()
		got := map[string]time.Duration{}
		for _, line := range record.lines(t, "bundle alarm") {
			at, err := time.Parse(time.RFC3339Nano, line["time"].(string))
			if err != nil {
				t.Fatal(err)
			}
			got[line["alarm"].(string)] = at.Sub(started) - alarmStep
		}
		want := map[string]time.Duration{
			"nothing obtained": time.Minute, "not confirmed": 66*time.Minute + 10*time.Second, "too old": 90 * time.Minute,
		}
		if !maps.Equal(got, want) {
			t.Errorf("F2 logged at %v, want %v", got, want)
		}
	})
}
