package keys

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/jose"
)

// block makes writing the file fail, for every user, until unblock.
func block(t testing.TB, path string) (unblock func()) {
	t.Helper()
	trap := filepath.Join(path+".tmp", "x")
	if err := errors.Join(os.Mkdir(path+".tmp", 0o700), os.WriteFile(trap, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(trap), os.Remove(path+".tmp")); err != nil {
			t.Fatal(err)
		}
	}
}

// A change that is not on disk is seen by nobody, and is tried again.
func TestAWriteThatFailsChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &output{line: make(chan struct{})}
		cfg := short
		cfg.File, cfg.Log = keyFile(t), slog.New(slog.NewTextHandler(log, nil))
		ring, stop := running(t, cfg)
		var kids []string
		unblock := block(t, cfg.File)
		for what, call := range map[string]func() error{
			"Rotate":         func() error { _, err := ring.Rotate(false); return err },
			"Rotate at once": func() error { _, err := ring.Rotate(true); return err },
			"Remove":         func() error { _, err := ring.Remove(ring.Signer().KeyID); return err },
			"Configure, alg": func() error {
				c := cfg
				c.Algorithm = jose.EdDSA
				return ring.Configure(c)
			},
			"Configure, life": func() error {
				c := cfg
				c.LongestToken = time.Hour
				return ring.Configure(c)
			},
		} {
			before := len(log.String())
			if err := call(); err == nil || !strings.HasPrefix(err.Error(), "keys: ") {
				t.Errorf("%s: the error is %v", what, err)
			}
			if !strings.Contains(log.String()[before:], `level=ERROR msg="the signing keys were not changed"`) {
				t.Errorf("%s: the log is %s", what, log.String()[before:])
			}
			if got := life(ring, &kids); got != "1 active" {
				t.Errorf("%s: %s", what, got)
			}
		}
		time.Sleep(8 * time.Minute) // a pending key was due a minute ago
		synctest.Wait()
		if got := life(ring, &kids); got != "1 active" {
			t.Error(got)
		}
		// A restart has what there is, unless longer tokens have to be remembered.
		again, err := Open(cfg)
		if err != nil || life(again, &kids) != "1 active" {
			t.Errorf("%v, %v", again, err)
		}
		longer := cfg
		longer.LongestToken = time.Hour
		if again, err := Open(longer); err == nil {
			t.Errorf("it opens as %v", again)
		}
		unblock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := life(ring, &kids); !strings.HasPrefix(got, "1 active, 2 pending ") {
			t.Error(got)
		}
		stop()
	})
}

// A file that goes or spoils while the ring runs changes nothing, and nothing is
// written over it.
func TestTheFileIsSpoiltWhileRunning(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":       os.Remove,
		"corrupt":    func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"loose mode": func(path string) error { return os.Chmod(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := short
				cfg.File = keyFile(t)
				ring, stop := running(t, cfg)
				before := ring.Signer().KeyID
				good, _ := os.ReadFile(cfg.File)
				if err := spoil(cfg.File); err != nil {
					t.Fatal(err)
				}
				spoilt, _ := os.ReadFile(cfg.File)
				time.Sleep(time.Hour)
				synctest.Wait()
				_, err := ring.Rotate(true)
				after, _ := os.ReadFile(cfg.File)
				if err == nil || ring.Signer().KeyID != before || len(ring.List()) != 1 || !bytes.Equal(spoilt, after) {
					t.Errorf("%v, %v", ring, err)
				}
				if err := errors.Join(os.WriteFile(cfg.File, good, 0o600), os.Chmod(cfg.File, 0o600)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				if synctest.Wait(); ring.Signer().KeyID == before {
					t.Error("rotation does not go on")
				}
				stop()
			})
		})
	}
}

// KR-2: a key counts as published from when a process published it, not from
// when it got into the file.
func TestKR2APendingKeyWaitsForARunningProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 3 * time.Minute}
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Rotate(false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // nobody runs
		var kids []string
		again, stop := running(t, cfg)
		for _, row := range []struct {
			after time.Duration
			want  string
		}{
			{2*time.Minute - time.Second, "1 active, 2 pending -1h0m0s"}, // twice CacheFor
			{2 * time.Second, "2 active, 1 retiring 24h1m59s"},
		} {
			time.Sleep(row.after)
			synctest.Wait()
			got := life(again, &kids)
			if got = strings.Replace(got, "-58m59s", "-1h0m0s", 1); got != row.want {
				t.Errorf("%s, not %s", got, row.want)
			}
		}
		stop()
	})
}

// A clock that is set does no harm: neither does a key sign or go before its
// time, nor does rotation stop.
func TestKR2TheClockIsSet(t *testing.T) {
	const day = 24 * time.Hour
	for name, set := range map[string]time.Duration{"ahead": 3 * day, "back": -3 * day} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offset time.Duration
				cfg := short
				cfg.File, cfg.Now = keyFile(t), func() time.Time { return time.Now().Add(offset).Round(0) }
				ring, err := Open(cfg)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				ring.keeper.seen.passed = func() time.Duration { return time.Since(start) }
				stop := run(t, ring)
				time.Sleep(18 * time.Minute) // 1 has gone, 2 is active, 3 pending
				if _, err := ring.Rotate(true); err != nil {
					t.Fatal(err)
				}
				if _, err := ring.Rotate(false); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ring.keeper.mu.Lock()
				offset = set
				ring.keeper.mu.Unlock()
				states := func() (out []State) {
					synctest.Wait()
					for _, k := range ring.List() {
						out = append(out, k.State)
					}
					return out
				}
				before, all := states(), ring.List()
				pending, retiring := all[1].ID, all[2].ID
				time.Sleep(3*time.Minute - 2*time.Second)
				if diff := cmp.Diff(before, states()); diff != "" {
					t.Errorf("before its time: %s", diff)
				}
				time.Sleep(2*time.Minute + 2*time.Second) // correcting takes effect within a minute
				if states(); ring.Signer().KeyID != pending {
					t.Errorf("%s does not sign: %+v", pending, ring.List())
				}
				time.Sleep(2*time.Minute - 4*time.Second)
				if states(); !bytes.Contains(ring.JWKS(), []byte(retiring)) {
					t.Error("it went before its tokens")
				}
				time.Sleep(2*time.Minute + 4*time.Second)
				if states(); bytes.Contains(ring.JWKS(), []byte(retiring)) {
					t.Errorf("it has not gone: %+v", ring.List())
				}
				signed := map[string]bool{}
				for range 60 {
					time.Sleep(time.Minute)
					synctest.Wait()
					signed[ring.Signer().KeyID] = true
					agree(t, ring)
				}
				if len(signed) < 6 || len(signed) > 8 {
					t.Errorf("%d keys signed in an hour", len(signed))
				}
				stop()
			})
		})
	}
}

// KR-2: a start while the clock is behind takes nothing from a key whose tokens
// live, nor from copies that are out there. It need not be right by the next start.
func TestKR2TheClockIsBehindAtAStart(t *testing.T) {
	now := moment
	cfg := Config{File: keyFile(t), LongestToken: 24 * time.Hour, Now: func() time.Time { return now }}
	start := func() *Ring {
		t.Helper()
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	ring := start()
	old := ring.Signer().KeyID // signs a token of 24 h now
	if _, err := ring.Rotate(true); err != nil {
		t.Fatal(err)
	}
	cfg.PublishAhead = 30 * time.Second // copies of five minutes are out there
	start()
	removes := moment.Add(24*time.Hour + linger).UTC()
	for _, row := range []struct {
		name string
		now  time.Time
		want bool
	}{
		{"a year behind", moment.AddDate(-1, 0, 0), true},
		{"right again", moment.Add(2 * time.Minute), true},
		{"the last second", removes.Add(-time.Second), true},
		{"its time", removes, false},
	} {
		now = row.now
		ring = start()
		at := slices.IndexFunc(ring.List(), func(k Key) bool { return k.ID == old })
		if at >= 0 != row.want {
			t.Errorf("%s: published is %v", row.name, at >= 0)
		}
		if at >= 0 && !ring.List()[at].RemovesAt.Equal(removes) {
			t.Errorf("%s: it is removed at %v, not %v", row.name, ring.List()[at].RemovesAt, removes)
		}
		if row.name == "right again" {
			c, err := ring.Rotate(false)
			if want := moment.Add(maxCache + answerTime); err != nil || !c.Key.ActivatesAt.Equal(want) {
				t.Errorf("a key signs at %v, not %v: %v", c.Key.ActivatesAt, want, err)
			}
		}
	}
}

// KR-2: a clock that was ahead keeps a retired key for no longer than one process
// needs to see its last token out, and the next key back for no longer than copies
// last.
func TestKR2TheClockWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := 365 * 24 * time.Hour
		cfg := Config{File: keyFile(t), LongestToken: 5 * time.Minute, Now: func() time.Time { return time.Now().Add(ahead) }}
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Rotate(true); err != nil {
			t.Fatal(err)
		}
		cfg.PublishAhead = 30 * time.Second // copies of five minutes are out there
		if err := ring.Configure(cfg); err != nil {
			t.Fatal(err)
		}
		ahead = 0
		for range 2 { // each start counts anew
			again, stop := running(t, cfg)
			time.Sleep(5*time.Minute + linger - time.Second)
			if synctest.Wait(); len(again.List()) != 2 {
				t.Error("it went too early")
			}
			stop()
		}
		again, stop := running(t, cfg)
		time.Sleep(5*time.Minute + linger + time.Second)
		if synctest.Wait(); len(again.List()) != 1 {
			t.Errorf("it has not gone: %+v", again.List())
		}
		c, err := again.Rotate(false)
		if wait := time.Until(c.Key.ActivatesAt); err != nil || wait != maxCache+answerTime {
			t.Errorf("the next key waits %v, %v", wait, err)
		}
		time.Sleep(maxCache + answerTime)
		if synctest.Wait(); again.Signer().KeyID != c.Key.ID {
			t.Errorf("it does not sign: %+v", again.List())
		}
		stop()
	})
}

// KR-2: a retiring key counts as such from when this process stopped to sign with
// it, not from when another one wrote that.
func TestKR2RetiredByAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 30 * time.Second, LongestToken: 5 * time.Minute}
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		other, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		old := ring.Signer().KeyID
		if _, err := other.Rotate(true); err != nil {
			t.Fatal(err)
		}
		unblock := block(t, cfg.File)
		if _, err := ring.Rotate(false); err == nil || ring.Signer().KeyID != old {
			t.Fatalf("%v, %v", ring, err)
		}
		time.Sleep(10 * time.Minute) // it signs all the time
		unblock()
		stop := run(t, ring)
		for _, row := range []struct {
			after     time.Duration
			published bool
		}{{0, true}, {5*time.Minute + linger - time.Second, true}, {2 * time.Second, false}} {
			time.Sleep(row.after)
			synctest.Wait()
			if bytes.Contains(ring.JWKS(), []byte(old)) != row.published || ring.Signer().KeyID == old {
				t.Errorf("%v later: %v", row.after, ring)
			}
		}
		stop()
	})
}

// Processes that share the file take over each other's changes.
func TestSharedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 30 * time.Second, LongestToken: 5 * time.Minute}
		a, stopA := running(t, cfg)
		b, stopB := running(t, cfg)
		step := func(what string, call func() (Change, error)) {
			t.Helper()
			if _, err := call(); err != nil {
				t.Fatal(what, err)
			}
			time.Sleep(a.CacheFor())
			synctest.Wait()
			if cmp.Diff(a.List(), b.List()) != "" || !bytes.Equal(a.JWKS(), b.JWKS()) || a.Signer().KeyID != b.Signer().KeyID {
				t.Errorf("after %s: %v, %v", what, a, b)
			}
			agree(t, b)
		}
		step("Rotate in A", func() (Change, error) { return a.Rotate(false) })
		step("Rotate in B", func() (Change, error) { return b.Rotate(false) })
		if n := len(b.List()); n != 2 {
			t.Errorf("%d keys", n)
		}
		// B knows nothing yet of what A does at the same moment, and undoes none of it.
		step("Rotate in both", func() (Change, error) {
			if _, err := a.Rotate(true); err != nil {
				return Change{}, err
			}
			return b.Rotate(true)
		})
		if n := len(b.List()); n != 3 {
			t.Errorf("%d keys", n)
		}
		old := b.List()[2].ID
		step("Remove in A", func() (Change, error) { return a.Remove(old) })
		if bytes.Contains(b.JWKS(), []byte(old)) {
			t.Error("B publishes a removed key")
		}
		if _, err := b.Remove(old); !errors.Is(err, ErrUnknownKey) {
			t.Error(err)
		}
		stopA()
		stopB()
	})
}

// At any moment of kill -9 the file opens, with the keys it had or with newer
// ones.
func TestKill(t *testing.T) {
	path := keyFile(t)
	last := open(t, path, jose.EdDSA).Signer().KeyID
	for i := range 25 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path, childRotates+"=1")
		out := &output{line: make(chan struct{})}
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-out.line
		// Spread over what a change takes.
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		ring, err := Open(Config{File: path, Algorithm: jose.EdDSA})
		if err != nil {
			t.Fatal(err)
		}
		printed := strings.Fields(out.String())
		if len(printed) == 0 || !bytes.Contains(ring.JWKS(), []byte(printed[len(printed)-1])) {
			t.Fatalf("a key that signed is not published: %v", printed)
		}
		if at := slices.Index(printed, ring.Signer().KeyID); at >= 0 && at != len(printed)-1 {
			t.Fatalf("an older key signs: %d of %d", at+1, len(printed))
		}
		if ring.Signer().KeyID == last {
			t.Fatal("nothing was changed")
		}
		agree(t, ring)
		last = ring.Signer().KeyID
	}
}

const childRotates = "SVIDGATE_KEYS_TEST_ROTATES"

// rotateForever prints each kid that signs, when it does, until it is killed.
func rotateForever(path string) error {
	ring, err := Open(Config{File: path, Algorithm: jose.EdDSA})
	if err != nil {
		return err
	}
	for {
		old := ring.Signer().KeyID
		if _, err := ring.Rotate(true); err != nil {
			return err
		}
		fmt.Println(ring.Signer().KeyID)
		if _, err := ring.Remove(old); err != nil {
			return err
		}
	}
}

// output may be written and read at once, and tells when the first line has come.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	line chan struct{}
	once sync.Once
}

func (w *output) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if bytes.IndexByte(w.text.Bytes(), '\n') >= 0 {
		w.once.Do(func() { close(w.line) })
	}
	return len(p), nil
}

func (w *output) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// KR-2: a retiring key's time counts from when it really signed last, however
// long writing the file took.
func TestKR2SlowWriting(t *testing.T) {
	now := moment
	seen := newSightings(func() time.Time { return now })
	k := key{id: "1", state: StateActive, longest: time.Hour}
	seen.note(&document{keys: []key{k}})
	k.state, k.due = StateRetiring, k.end(now) // as planned before writing
	now = now.Add(10 * time.Minute)            // and seen after it
	seen.note(&document{keys: []key{k}})
	for _, row := range []struct {
		after time.Duration
		ripe  bool
	}{{time.Hour + linger - time.Second, false}, {time.Second, true}} {
		now = now.Add(row.after)
		if seen.ripe(k) != row.ripe {
			t.Errorf("%v to go", seen.left(k))
		}
	}
}

// Readers never wait and never see half of a change.
func TestReadersDuringChanges(t *testing.T) {
	ring := open(t, keyFile(t), jose.EdDSA)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				agreeing := ring.JWKS()
				if signer := ring.Signer(); signer.KeyID == "" || signer.Key == nil || len(agreeing) == 0 || ring.CacheFor() == 0 || len(ring.Algorithms()) == 0 {
					t.Error("a moment without keys")
					return
				}
				if list := ring.List(); list[0].State != StateActive {
					t.Errorf("%+v", list)
					return
				}
			}
		})
	}
	var changers sync.WaitGroup
	for range 2 {
		changers.Go(func() {
			for range 10 {
				c, err := ring.Rotate(true)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := ring.Remove(c.Key.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changers.Wait()
	close(done)
	readers.Wait()
	agree(t, ring)
}
