package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
)

// A small storm keeps all rules that the large one must keep.
func TestSmallStorm(t *testing.T) {
	dir := t.TempDir()
	program, err := process.Build(t.Context(), dir, "bench/server")
	if err != nil {
		t.Fatal(err)
	}
	// As many as a slow machine can serve that has other things to do: tokens are
	// renewed in 30 % of their life. The race detector makes handshakes ten times as long.
	workloads, tokenLife := 500, 20*time.Second
	if raceDetector || testing.Short() {
		workloads, tokenLife = 100, 10*time.Second
	}
	s, err := prepare(dir, options{
		program: program, workloads: workloads, down: 2 * time.Second, tokenLife: tokenLife, within: time.Minute,
		inFlight: 50, serverCore: process.AnyCore,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := s.report()
	if !r.Passed || r.BeforeKill == 0 || r.BeforeKill == r.Workloads {
		r.write(t.Output())
		t.Errorf("broken: %q", r.Broken)
	}
}

// The workloads of a storm behave as package client does: the very values.
func TestPolicyIsThatOfTheClient(t *testing.T) {
	for file, lines := range map[string][]string{
		"kept.go": {
			"firstDelay = 500 * time.Millisecond", "maxDelay   = 30 * time.Second",
			"delay := firstDelay << min(b.failures, 10)", "jitter(min(delay, maxDelay), 0.8, 1.2)",
		},
		"tokenrequest.go": {"longestPause = time.Hour", "jitter(min(asked, longestPause), 1, 1.2)", "jitter(life, 0.5, 0.8)"},
		"config.go":       {"defaultTimeout = 10 * time.Second"},
	} {
		source, err := os.ReadFile("../../client/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if !strings.Contains(string(source), line) {
				t.Errorf("client/%s has no %q any more; bench/storm must follow it", file, line)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	now := time.Now()
	var b backoff
	for _, delay := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
		if got := b.after(now, 0).Sub(now); got < delay*8/10 || got > delay*12/10 {
			t.Errorf("waits %v, want %v, a fifth more or less", got, delay)
		}
	}
	b = backoff{}
	if got := b.after(now, 10*time.Second).Sub(now); got < 10*time.Second || got > 12*time.Second {
		t.Errorf("Retry-After of 10 s: waits %v", got)
	}
}

// Who all renew in one second are an echo, who renew spread by the policy are not.
func TestEcho(t *testing.T) {
	const workloads, life = 30000, 2 * time.Minute
	for _, row := range []struct {
		name  string
		renew func(n int) time.Duration
		echo  bool
	}{
		{"spread by the policy", func(int) time.Duration { return jitter(life, renewFrom, renewTo) }, false},
		{"all together", func(int) time.Duration { return life / 2 }, true},
		{"as quickly as they were served, 1,500 a second", func(n int) time.Duration { return life/2 + time.Duration(n)*time.Second/1500 }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &storm{options: options{workloads: workloads, tokenLife: life, within: time.Minute}, record: newRecord(workloads, func() {})}
			r := s.record
			r.ready = r.begun
			for n := range workloads {
				r.served(1, r.begun, r.begun, false)
				due := r.begun.Add(row.renew(n))
				r.served(2, due, due, false)
			}
			if got := s.report(); got.Echo != row.echo || got.Passed == row.echo {
				t.Errorf("echo: %t (peak %d, bound %.0f), passed: %t", got.Echo, got.RenewalPeak, got.RenewalBound, got.Passed)
			}
		})
	}
}

// Errors after the server is up count, those before are the storm's own if they
// are of the right kind.
func TestErrors(t *testing.T) {
	for _, row := range []struct {
		name, kind string
		after      bool
		passed     bool
	}{
		{"refused before it is up", "connection refused", false, true},
		{"cut off by the kill", "connection cut off", false, true},
		{"timed out before it is up", "timed out", false, false},
		{"refused once it is up", "connection refused", true, false},
		{"an answer other than a token", "status 503", true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &storm{options: options{workloads: 1, tokenLife: time.Minute, within: time.Minute}, record: newRecord(1, func() {})}
			r := s.record
			r.restarted(r.begun.Add(time.Second))
			begun := r.begun
			if row.after {
				begun = begun.Add(2 * time.Second)
			}
			r.failed(row.kind, begun)
			r.served(1, begun, begun, false)
			r.served(2, begun, begun, false)
			if got := s.report(); got.Passed != row.passed {
				t.Errorf("passed: %t, broken: %q", got.Passed, got.Broken)
			}
		})
	}
}
