package daemon

import (
	"fmt"
	"os"
	"testing"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/audit"
)

// AK-10: with a store on disk a start knows whether it has the record that the start
// before wrote. With another one, or one that was moved away, proofs that may have
// been used are refused, until a minute after that start and over the next one; the
// very first start and one with the same record refuse none.
func TestProofsOfAnotherRecord(t *testing.T) {
	p := newPlace(t)
	proofs, clock := 0, time.Now()
	// run starts the server, looks from when on it takes proofs, and uses one.
	run := func(name, store, file string, use bool, want time.Time) {
		t.Helper()
		cfg := p.config(t, anywhere, "audit: {file: audit.jsonl}", fmt.Sprintf("audit: {file: %s}\nstore: %q", file, store))
		d, err := Start(t.Context(), cfg, Options{Log: p.log.logger(), Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.current.Load().authenticator.ProofsSince; !got.Equal(want) {
			t.Errorf("%s: proofs are taken from %s on, want %s", name, got, want)
		}
		if use {
			proofs++
			if _, err := d.audit.Record(t.Context(), audit.Event{Event: audit.EventToken, Outcome: audit.Granted, Proof: fmt.Sprintf("%064x", proofs)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Second)
	}
	after := func() time.Time { return clock.Add(svidgate.ProofWindow) }
	disk := "sqlite:" + p.path("s.db")
	run("the first start", disk, "a.jsonl", true, time.Time{})
	run("the same record", disk, "a.jsonl", true, time.Time{})
	run("once more", disk, "a.jsonl", false, time.Time{})
	since := after()
	run("another record", disk, "b.jsonl", true, since)
	run("that one again: what came before it is as unknown as it was", disk, "b.jsonl", true, since)
	clock = clock.Add(3 * time.Minute)
	run("that one later", disk, "b.jsonl", true, time.Time{})
	run("an older one", disk, "a.jsonl", true, after())
	clock = clock.Add(3 * time.Minute)
	if err := os.Rename(p.path("a.jsonl"), p.path("a.1.jsonl")); err != nil {
		t.Fatal(err)
	}
	run("moved away", disk, "a.jsonl", false, after())
	if err := os.WriteFile(p.path("c.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	// What is in memory knows of no start before.
	run("in memory", "memory:", "m.jsonl", true, time.Time{})
	run("in memory, another record", "memory:", "n.jsonl", true, time.Time{})

	// A start whose record was moved away before the next one.
	run("a first start of another store", "sqlite:"+p.path("t.db"), "c.jsonl", true, time.Time{})
	if err := os.Remove(p.path("c.jsonl")); err != nil {
		t.Fatal(err)
	}
	run("without its record", "sqlite:"+p.path("t.db"), "c.jsonl", true, after())
}
