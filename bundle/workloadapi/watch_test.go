package workloadapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/svidgate/svidgate/internal/devca"
)

// A watched is a source whose changes are counted, on a network in memory, so
// that its time is that of a synctest bubble.
type watched struct {
	*Source
	lines   *bytes.Buffer // read only while all goroutines wait
	mu      sync.Mutex
	changes int
	at      *bufconn.Listener // nil: nobody listens
	stop    func()
	dialed  []time.Time
}

func watchInMemory(t *testing.T, a *agent) *watched {
	t.Helper()
	w := &watched{lines: &bytes.Buffer{}}
	w.Source = newSource(t, Config{Address: "unix:///nowhere", Log: slog.New(slog.NewTextHandler(w.lines, nil))})
	w.dial = func(ctx context.Context) (net.Conn, error) {
		w.mu.Lock()
		w.dialed = append(w.dialed, time.Now())
		l := w.at
		w.mu.Unlock()
		if l == nil {
			return nil, errors.New("connection refused")
		}
		return l.DialContext(ctx)
	}
	if a != nil {
		w.up(t, a)
	}
	return w
}

func (w *watched) up(t *testing.T, a *agent) {
	l := bufconn.Listen(64 << 10)
	stop := a.serve(t, l)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.stop = l, stop
}

func (w *watched) down() {
	w.mu.Lock()
	w.at = nil
	w.mu.Unlock()
	w.stop()
}

// begin watches until the test ends.
func (w *watched) begin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Watch(ctx, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changes++
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// settled is how many changes there were since it was called last, once nothing
// moves any more.
func (w *watched) settled() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.changes
	w.changes = 0
	return n
}

func (w *watched) dials() []time.Time {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dialed
}

func (w *watched) logged(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	lines := strings.FieldsFunc(w.lines.String(), func(c rune) bool { return c == '\n' })
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %s", len(lines), len(want), w.lines)
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %d has no %q: %s", i, want[i], line)
		}
	}
}

func TestWatchTellsOfChanges(t *testing.T) {
	ca, other := root(t, nil), root(t, nil)
	a, b := jwks(t, jwk(t, "a", nil)), jwks(t, jwk(t, "b", nil))
	synctest.Test(t, func(t *testing.T) {
		agent := newAgent(said{x509: own(ca), jwt: own(a)})
		w := watchInMemory(t, agent)
		if _, err := w.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.begin(t)
		if n := w.settled(); n != 0 {
			t.Errorf("%d changes though nothing is new", n)
		}
		federated := own(ca)
		federated["spiffe://other.example"] = other
		for _, tt := range []struct {
			name string
			says said
			news bool
		}{
			{"another JWT bundle", said{x509: own(ca), jwt: own(b)}, true},
			{"the same again", said{x509: own(ca), jwt: own(b)}, false},
			{"AV-1 another trust domain's bundle", said{x509: federated, jwt: own(b)}, false},
			{"another X.509 bundle", said{x509: own(other), jwt: own(b)}, true},
			{"CL-4 the JWT bundle withdrawn", said{x509: own(other)}, true},
			{"an empty one in its place", said{x509: own(other), jwt: own(nil)}, true},
			{"CL-4 both withdrawn", said{}, true},
			{"CL-4 only bundles of others, after none", said{x509: others(ca), jwt: others(a)}, true},
			{"AV-1 another one of these", said{x509: others(other), jwt: others(b)}, false},
			{"both back", said{x509: own(ca), jwt: own(a)}, true},
		} {
			agent.say(tt.says)
			if n := w.settled(); n > 0 != tt.news || n > 2 { // one from each stream at the most
				t.Errorf("%s: %d changes", tt.name, n)
			}
		}
		if n := agent.streams(); n != 4 {
			t.Errorf("%d streams, want two for Fetch and two for Watch", n)
		}
		w.logged(t)
	})
}

// Between Fetch and Watch something may have changed.
func TestWatchTellsOfWhatFetchDidNotSee(t *testing.T) {
	ca, other := root(t, nil), root(t, nil)
	for name, tt := range map[string]struct {
		fetch  bool
		before []byte
		want   int
	}{"nothing fetched": {false, ca, 1}, "fetched, and the same": {true, ca, 0}, "fetched, and changed": {true, other, 1}} {
		synctest.Test(t, func(t *testing.T) {
			agent := newAgent(said{x509: own(tt.before)})
			w := watchInMemory(t, agent)
			if tt.fetch {
				if _, err := w.Fetch(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			agent.say(said{x509: own(ca)})
			w.begin(t)
			if n := w.settled(); n != tt.want {
				t.Errorf("%s: %d changes, want %d", name, n, tt.want)
			}
		})
	}
}

func TestWatchComesBack(t *testing.T) { // CL-3
	says := said{x509: own(root(t, nil)), jwt: own(jwks(t))}
	synctest.Test(t, func(t *testing.T) {
		w := watchInMemory(t, newAgent(says))
		if _, err := w.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.begin(t)
		w.settled()
		time.Sleep(time.Hour)
		w.down()
		time.Sleep(5 * time.Minute)
		if n := w.settled(); n != 0 {
			t.Errorf("%d changes while the agent was away", n)
		}
		w.logged(t, "is away")
		w.up(t, newAgent(says))
		time.Sleep(maxDelay)
		if n := w.settled(); n != 1 {
			t.Errorf("%d changes, want one: the agent is back", n)
		}
		w.logged(t, "is away", "is back")
		w.down()
		time.Sleep(maxDelay)
		w.logged(t, "is away", "is back", "is away")
	})
}

func TestWatchWaitsForAnAgentThatStartsLater(t *testing.T) { // F46
	synctest.Test(t, func(t *testing.T) {
		w := watchInMemory(t, nil)
		w.begin(t)
		time.Sleep(2 * time.Minute)
		w.logged(t, "connection refused")
		w.up(t, newAgent(said{x509: own(root(t, nil))}))
		time.Sleep(maxDelay)
		if n := w.settled(); n != 1 {
			t.Errorf("%d changes", n)
		}
		w.logged(t, "is away", "is back")
	})
}

func TestWatchBacksOff(t *testing.T) {
	ca := own(root(t, nil))
	for name, says := range map[string]*said{
		"nobody listens":                           nil,
		"CL-3 permission denied":                   {x509Err: status.Error(codes.PermissionDenied, ""), jwtErr: status.Error(codes.PermissionDenied, "")},
		"CL-3 unavailable for one":                 {x509: ca, jwtErr: status.Error(codes.Unavailable, "")},
		"an agent that ends a stream at once":      {x509Err: io.EOF, jwt: ca},
		"an agent that ends each after one answer": {x509: ca, once: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a *agent
				if says != nil {
					a = newAgent(*says)
				}
				w := watchInMemory(t, a)
				w.begin(t)
				time.Sleep(10 * time.Minute)
				dials := w.dials()
				for i := 1; i < len(dials); i++ {
					want := min(firstDelay<<(i-1), maxDelay)
					if waited := dials[i].Sub(dials[i-1]); waited > want || waited < want*3/4 {
						t.Errorf("attempt %d after %v, want %v at most", i, waited, want)
					}
				}
				if len(dials) < 20 {
					t.Errorf("%d attempts", len(dials))
				}
				changes := w.settled()
				if says != nil && says.once {
					if changes > len(dials) {
						t.Errorf("%d changes after %d attempts", changes, len(dials))
					}
					return
				}
				if w.logged(t, "is away"); changes != 0 {
					t.Errorf("%d changes", changes)
				}
			})
		})
	}
}

func TestWatchGivesUp(t *testing.T) { // CL-3
	off, invalid := status.Error(codes.Unimplemented, "off"), status.Error(codes.InvalidArgument, "security header missing")
	ca := own(root(t, nil))
	for name, tt := range map[string]struct {
		says    said
		dials   int
		changes int // the first, since nothing was fetched, and one more
	}{
		"neither profile":    {said{x509Err: off, jwtErr: off}, 1, 0},
		"an invalid request": {said{x509: ca, jwtErr: invalid}, 1, 0},
		"one profile":        {said{x509: ca, jwtErr: off}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent := newAgent(tt.says)
				w := watchInMemory(t, agent)
				w.begin(t)
				n := w.settled()
				time.Sleep(time.Hour)
				tt.says.x509 = own(nil)
				agent.say(tt.says)
				if n += w.settled(); n != tt.changes || len(w.dials()) != tt.dials {
					t.Errorf("%d changes, %d connections", n, len(w.dials()))
				}
				if tt.changes == 0 {
					w.logged(t, "not asked again")
				}
			})
		})
	}
}

// An agent that hangs holds up neither the end of a watch nor Close.
func TestWatchOfAHungAgentEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchInMemory(t, nil)
		w.at = bufconn.Listen(1) // where nobody accepts
		w.begin(t)
		time.Sleep(time.Minute)
		w.Close()
		ended := time.Now()
		w.Watch(t.Context(), func() { t.Error("changed") })
		if time.Since(ended) > 0 || w.settled() != 0 {
			t.Error("it went on")
		}
	})
}

func TestFetchTakesTenSecondsAtMost(t *testing.T) { // BE-9
	for name, accept := range map[string]bool{"nobody accepts": false, "nobody answers": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := watchInMemory(t, nil)
				w.at = bufconn.Listen(64 << 10)
				if accept {
					go func() {
						if c, err := w.at.Accept(); err == nil {
							io.Copy(io.Discard, c)
						}
					}()
				}
				began := time.Now()
				if _, err := w.Fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != fetchTimeout {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// An agent that restarts often is met more slowly each time, until it has held
// out for a while.
func TestWatchForgetsFailuresOfLongAgo(t *testing.T) {
	says := said{x509: own(root(t, nil)), jwt: own(jwks(t))}
	for name, tt := range map[string]struct {
		lasts time.Duration
		want  time.Duration
	}{"a minute": {time.Minute, firstDelay}, "ten seconds": {10 * time.Second, 8 * firstDelay}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent := newAgent(says)
				w := watchInMemory(t, agent)
				w.begin(t)
				var waited time.Duration
				for range 4 {
					w.dials()
					time.Sleep(tt.lasts)
					cut, before := time.Now(), len(w.dials())
					agent.cut()
					for len(w.dials()) == before {
						time.Sleep(10 * time.Millisecond)
					}
					waited = w.dials()[before].Sub(cut)
				}
				if waited > tt.want || waited < tt.want*3/4 {
					t.Errorf("waited %v, want %v at most", waited, tt.want)
				}
			})
		})
	}
}

// The same with a real agent: every rotation is pushed.
func TestWatchRotation(t *testing.T) { // AV-1
	d := newDomain(t, socketPath(t), devca.Options{})
	s := newSource(t, Config{Address: d.SocketAddr()})
	before, _ := fetch(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, func() { changed <- struct{}{} })
	}()
	stranger := newAuthority(t, "stranger.example", devca.Options{})
	if err := d.AddFederated("stranger.example", stranger.Bundle()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := d.Rotate(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatal("the rotation was not told")
		}
		until(t, "the new bundle is there", func() bool {
			after, got := fetch(t, s)
			return !bytes.Equal(after, before) && got.Same(parse(t, exampleOrg, d.Authority().Bundle()))
		})
		before, _ = fetch(t, s)
	}
	cancel()
	<-ended
}

func TestDelay(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 4: 16 * time.Second, 5: maxDelay, 9: maxDelay, 1 << 40: maxDelay} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := delay(failures)
			if seen[d] = true; d > want || d < want*3/4 {
				t.Fatalf("after %d failures %v, want %v at most", failures, d, want)
			}
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures there is no chance in it", failures)
		}
	}
}
