package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/store/sqlite"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// A clock stands still until its test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A breaking store can be taken away from its list.
type breaking struct {
	revocation.Store
	broken bool
	asked  int
}

func (b *breaking) AddRevocation(ctx context.Context, e revocation.Entry) error {
	if b.broken {
		return store.ErrUnavailable
	}
	return b.Store.AddRevocation(ctx, e)
}

func (b *breaking) Revocations(ctx context.Context, after int64, now time.Time, limit int) ([]revocation.Entry, int64, error) {
	if b.asked++; b.broken {
		return nil, 0, store.ErrUnavailable
	}
	return b.Store.Revocations(ctx, after, now, limit)
}

func newStore(t testing.TB) *breaking {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &breaking{Store: s}
}

func open(t testing.TB, s revocation.Store, c *clock) *revocation.List {
	t.Helper()
	l, err := revocation.Open(t.Context(), revocation.Config{Store: s, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func entry(kind revocation.Kind, value string) revocation.Entry {
	return revocation.Entry{Kind: kind, Value: value, Before: noon, Expires: noon.Add(time.Hour), By: "client a"}
}

func revoke(t testing.TB, l *revocation.List, e revocation.Entry) {
	t.Helper()
	if err := l.Revoke(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func revoked(t testing.TB, l *revocation.List, token revocation.Token) bool {
	t.Helper()
	_, dead, err := l.Revoked(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return dead
}

// token is one of a workload, issued at noon.
func token(change ...func(*revocation.Token)) revocation.Token {
	tok := revocation.Token{
		ID: "j1", ClientID: "c1", KeyID: "k1", IssuedAt: noon,
		SPIFFEIDs: []spiffeid.ID{spiffeid.RequireFromString("spiffe://example.org/ns/ci/a")},
	}
	for _, f := range change {
		f(&tok)
	}
	return tok
}

// RV-4: each kind kills what it names and nothing beside it.
func TestKinds(t *testing.T) {
	of := func(ids ...string) func(*revocation.Token) {
		return func(tok *revocation.Token) {
			tok.SPIFFEIDs = nil
			for _, id := range ids {
				tok.SPIFFEIDs = append(tok.SPIFFEIDs, spiffeid.RequireFromString(id))
			}
		}
	}
	issued := func(d time.Duration) func(*revocation.Token) {
		return func(tok *revocation.Token) { tok.IssuedAt = noon.Add(d) }
	}
	none := func(*revocation.Token) {}
	for _, row := range []struct {
		name        string
		kind        revocation.Kind
		value       string
		dead, alive func(*revocation.Token)
	}{
		{"jti", revocation.TokenID, "j1", none, func(tok *revocation.Token) { tok.ID = "j2" }},
		{"jti of a token without one", revocation.TokenID, "j1", none, func(tok *revocation.Token) { tok.ID = "" }},
		{"jti is nothing else", revocation.TokenID, "j1", none, func(tok *revocation.Token) { tok.ID, tok.ClientID, tok.KeyID = "x", "j1", "j1" }},
		{"jti, whenever it was issued", revocation.TokenID, "j1", issued(time.Minute), func(tok *revocation.Token) { tok.ID = "J1" }},
		{"kid", revocation.Key, "k1", none, func(tok *revocation.Token) { tok.KeyID = "k2" }},
		{"kid, whenever it was issued", revocation.Key, "k1", issued(time.Minute), func(tok *revocation.Token) { tok.KeyID = "K1" }},
		{"client", revocation.Client, "c1", none, func(tok *revocation.Token) { tok.ClientID = "c" }},
		{"client, what it got later", revocation.Client, "c1", issued(-time.Minute), issued(time.Second)},
		{"spiffe_id", revocation.SPIFFEID, "spiffe://example.org/ns/ci/a", none, of("spiffe://example.org/ns/ci/b")},
		{"spiffe_id, what it got later", revocation.SPIFFEID, "spiffe://example.org/ns/ci/a", issued(-time.Hour), issued(time.Second)},
		{"spiffe_id is no prefix", revocation.SPIFFEID, "spiffe://example.org/ns/ci/a", none, of("spiffe://example.org/ns/ci/a/b", "spiffe://example.org/ns/ci")},
		{"spiffe_id in another case", revocation.SPIFFEID, "spiffe://example.org/ns/ci/a", none, of("spiffe://example.org/ns/ci/A")},
		{"spiffe_id of who acts", revocation.SPIFFEID, "spiffe://example.org/b", of("spiffe://example.org/a", "spiffe://example.org/b"), of("spiffe://example.org/a")},
		{"prefix", revocation.SPIFFEIDPrefix, "spiffe://example.org/ns/*", none, of("spiffe://example.org/other/ci/a")},
		{"prefix of whole segments", revocation.SPIFFEIDPrefix, "spiffe://example.org/ns/ci/*", none, of("spiffe://example.org/ns/cia", "spiffe://example.org/ns/ci")},
		{"prefix of the whole trust domain", revocation.SPIFFEIDPrefix, "spiffe://example.org/*", none, of("spiffe://other.test/ns/ci/a")},
		{"prefix, what it got later", revocation.SPIFFEIDPrefix, "spiffe://example.org/ns/*", none, issued(time.Second)},
		{"trust domain", revocation.TrustDomain, "example.org", none, of("spiffe://sub.example.org/ns/ci/a", "spiffe://example.or/g")},
		{"trust domain, what it got later", revocation.TrustDomain, "example.org", issued(-time.Second), issued(time.Second)},
		{"trust domain, of no workload at all", revocation.TrustDomain, "example.org", none, of()},
	} {
		t.Run("RV-4 "+row.name, func(t *testing.T) {
			c := &clock{now: noon}
			l := open(t, newStore(t), c)
			for _, tok := range []revocation.Token{token(row.dead), token(row.alive)} {
				if revoked(t, l, tok) {
					t.Fatal("dead before anything was revoked")
				}
			}
			revoke(t, l, entry(row.kind, row.value))
			if !revoked(t, l, token(row.dead)) {
				t.Error("alive")
			}
			if revoked(t, l, token(row.alive)) {
				t.Error("a neighbour is dead")
			}
		})
	}
}

// RV-4: one workload of a thousand is cut off; the others are not.
func TestOneOfAThousand(t *testing.T) {
	c := &clock{now: noon}
	l := open(t, newStore(t), c)
	of := func(i int) revocation.Token {
		return token(func(tok *revocation.Token) {
			tok.ID, tok.SPIFFEIDs = fmt.Sprint(i), []spiffeid.ID{spiffeid.RequireFromString(fmt.Sprintf("spiffe://example.org/ns/ci/%d", i))}
		})
	}
	revoke(t, l, entry(revocation.SPIFFEID, "spiffe://example.org/ns/ci/500"))
	for i := range 1000 {
		if revoked(t, l, of(i)) != (i == 500) {
			t.Errorf("workload %d: dead %t", i, i != 500)
		}
	}
}

// The moment counts in whole seconds, as tokens have them, and to the safe side.
func TestSameSecond(t *testing.T) {
	c := &clock{now: noon}
	l := open(t, newStore(t), c)
	e := entry(revocation.Client, "c1")
	e.Before = noon.Add(400 * time.Millisecond)
	revoke(t, l, e)
	for issued, dead := range map[time.Duration]bool{-time.Second: true, 0: true, 900 * time.Millisecond: true, time.Second: false} {
		if revoked(t, l, token(func(tok *revocation.Token) { tok.IssuedAt = noon.Add(issued) })) != dead {
			t.Errorf("issued %s after noon: dead %t", issued, !dead)
		}
	}
}

// What is revoked again stays revoked for the longer of the two, in either order.
func TestTwice(t *testing.T) {
	early, late := entry(revocation.Client, "c1"), entry(revocation.Client, "c1")
	early.Expires = noon.Add(2 * time.Hour)
	late.Before = noon.Add(10 * time.Minute)
	for name, order := range map[string][]revocation.Entry{"in order": {early, late}, "the other way round": {late, early}} {
		c := &clock{now: noon}
		l := open(t, newStore(t), c)
		for _, e := range order {
			revoke(t, l, e)
		}
		all := l.All()
		if len(all) != 1 || !all[0].Before.Equal(late.Before) || !all[0].Expires.Equal(early.Expires) {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// An entry that says nothing, or too much, is refused before it is kept.
func TestEntries(t *testing.T) {
	l := open(t, newStore(t), &clock{now: noon})
	change := func(f func(*revocation.Entry)) revocation.Entry {
		e := entry(revocation.Client, "c1")
		f(&e)
		return e
	}
	for name, e := range map[string]revocation.Entry{
		"no kind":                     entry("", "x"),
		"another kind":                entry("txn", "x"),
		"a grant":                     entry("grant", "x"),
		"no value":                    entry(revocation.TokenID, ""),
		"a value with a space":        entry(revocation.TokenID, "a b"),
		"a value that is too long":    entry(revocation.TokenID, strings.Repeat("a", 2049)),
		"MD-15 a wildcard":            entry(revocation.SPIFFEID, "spiffe://example.org/ns/*"),
		"SI-4 a name in upper case":   entry(revocation.SPIFFEID, "spiffe://Example.org/a"),
		"SI-12 no path":               entry(revocation.SPIFFEID, "spiffe://example.org"),
		"MD-17 half a segment":        entry(revocation.SPIFFEIDPrefix, "spiffe://example.org/c*"),
		"a prefix without a wildcard": entry(revocation.SPIFFEIDPrefix, "spiffe://example.org/ci"),
		"a trust domain as an ID":     entry(revocation.TrustDomain, "spiffe://example.org"),
		"a trust domain with a path":  entry(revocation.TrustDomain, "example.org/a"),
		"no end":                      change(func(e *revocation.Entry) { e.Expires = e.Before }),
		"no time":                     change(func(e *revocation.Entry) { e.Before = time.Time{} }),
		"AK-31 a reason of two lines": change(func(e *revocation.Entry) { e.Reason = "a\nb" }),
		"a reason that is too long":   change(func(e *revocation.Entry) { e.Reason = strings.Repeat("a", 257) }),
	} {
		if err := l.Revoke(t.Context(), e); !errors.Is(err, revocation.ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := lenOf(l); n != 0 {
		t.Errorf("%d are kept", n)
	}
	revoke(t, l, change(func(e *revocation.Entry) { e.Reason = "laptop lost, see ticket 7 — Zoë" }))
}

// Another process knows within its next look; the next start knows at once.
func TestShared(t *testing.T) {
	c, s := &clock{now: noon}, newStore(t)
	one, other := open(t, s, c), open(t, s, c)
	revoke(t, one, entry(revocation.TokenID, "j1"))
	if !revoked(t, one, token()) || revoked(t, other, token()) {
		t.Fatal("it is not known where it was revoked, or elsewhere already")
	}
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !revoked(t, other, token()) || !revoked(t, open(t, s, c), token()) {
		t.Error("it is not known elsewhere")
	}
}

// More than one page is read to its end.
func TestManyEntries(t *testing.T) {
	c, s := &clock{now: noon}, newStore(t)
	one := open(t, s, c)
	var all sync.WaitGroup
	for i := range 2500 {
		all.Go(func() { revoke(t, one, entry(revocation.TokenID, fmt.Sprint(i))) })
	}
	all.Wait()
	if n := lenOf(open(t, s, c)); n != 2500 {
		t.Errorf("%d of 2500 are read", n)
	}
}

// What has expired is forgotten, in memory and when it is read.
func TestExpiry(t *testing.T) {
	c, s := &clock{now: noon}, newStore(t)
	l := open(t, s, c)
	revoke(t, l, entry(revocation.TokenID, "j1"))
	c.advance(time.Hour - 1)
	if err := l.Refresh(t.Context()); err != nil || lenOf(l) != 1 || lenOf(open(t, s, c)) != 1 {
		t.Errorf("%d a moment before its end, %v", lenOf(l), err)
	}
	c.advance(1)
	if err := l.Refresh(t.Context()); err != nil || lenOf(l) != 0 || len(l.All()) != 0 || lenOf(open(t, s, c)) != 0 {
		t.Errorf("%d after its end, %v", lenOf(l), err)
	}
}

// GL-15: a store that fails revokes nothing, here neither.
func TestNothingIsHalfDone(t *testing.T) {
	c, s := &clock{now: noon}, newStore(t)
	l := open(t, s, c)
	s.broken = true
	if err := l.Revoke(t.Context(), entry(revocation.TokenID, "j1")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if revoked(t, l, token()) {
		t.Error("it is revoked here alone")
	}
	s.broken = false
	revoke(t, l, entry(revocation.TokenID, "j1"))
	if !revoked(t, l, token()) {
		t.Error("it is not revoked")
	}
}

// GL-15: a copy that cannot be compared with the store for too long says nothing,
// and asks the store again by itself, but not for everybody who asks.
func TestStale(t *testing.T) {
	c, s := &clock{now: noon}, newStore(t)
	l := open(t, s, c)
	s.broken = true
	c.advance(revocation.MaxAge)
	if _, _, err := l.Revoked(t.Context(), token()); err != nil {
		t.Errorf("at its age: %v", err)
	}
	c.advance(1)
	s.asked = 0
	for range 3 {
		if _, _, err := l.Revoked(t.Context(), token()); !errors.Is(err, revocation.ErrStale) {
			t.Errorf("beyond its age: %v", err)
		}
	}
	if s.asked != 1 {
		t.Errorf("the store was asked %d times", s.asked)
	}
	c.advance(time.Second)
	if _, _, err := l.Revoked(t.Context(), token()); !errors.Is(err, revocation.ErrStale) || s.asked != 2 {
		t.Errorf("a second later: %v, asked %d times", err, s.asked)
	}
	s.broken = false
	c.advance(time.Second)
	if revoked(t, l, token()) {
		t.Error("dead")
	}
	if c.advance(-time.Hour); revoked(t, l, token()) { // a clock set back does not make it young
		t.Error("dead")
	}
}

// Run looks often enough that another process's revocation is known within a second,
// and ends with its context.
func TestRun(t *testing.T) {
	s := newStore(t)
	c := &clock{now: noon}
	one, other := open(t, s, c), open(t, s, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { other.Run(ctx); close(ended) }()
	revoke(t, one, entry(revocation.TokenID, "j1"))
	for !revoked(t, other, token()) {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-ended
}

// One client cannot take the room of the others, and no client that of an operator.
func TestBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills the list")
	}
	c := &clock{now: noon}
	l := open(t, filled{1 << 16}, c)
	mine := entry(revocation.TokenID, "new")
	if err := l.Revoke(t.Context(), mine); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("the client that filled its share: %v", err)
	}
	again := entry(revocation.TokenID, "t7")
	if err := l.Revoke(t.Context(), again); err != nil {
		t.Errorf("what is revoked already: %v", err)
	}
	mine.By = "client b"
	revoke(t, l, mine)
	revoke(t, l, entry(revocation.Client, "c9"))

	l = open(t, filled{1 << 17}, c)
	if err := l.Revoke(t.Context(), mine); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("a list that is full: %v", err)
	}
	revoke(t, l, entry(revocation.Client, "c9"))
	c.advance(time.Hour)
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	mine.Before, mine.Expires = c.Now(), c.Now().Add(time.Hour)
	revoke(t, l, mine) // what expired makes room
}

// A filled store has n tokens of one client and takes what comes.
type filled struct{ n int }

func (filled) AddRevocation(context.Context, revocation.Entry) error { return nil }

func (f filled) Revocations(_ context.Context, after int64, _ time.Time, limit int) (entries []revocation.Entry, position int64, err error) {
	for position = after; position < int64(f.n) && len(entries) < limit; position++ {
		entries = append(entries, entry(revocation.TokenID, fmt.Sprintf("t%d", position)))
	}
	return entries, position, nil
}

// A slow store takes its time for each read.
type slow struct {
	filled
	each time.Duration
}

func (s slow) Revocations(ctx context.Context, after int64, now time.Time, limit int) ([]revocation.Entry, int64, error) {
	select {
	case <-time.After(s.each):
		return s.filled.Revocations(ctx, after, now, limit)
	case <-ctx.Done():
		return nil, after, ctx.Err()
	}
}

// GL-15 A full list is read however many reads that takes; one read that hangs is given up.
func TestOpensAFullList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := revocation.Config{Store: slow{filled{1 << 16}, time.Second}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		l, err := revocation.Open(t.Context(), c)
		if err != nil || lenOf(l) != 1<<16 {
			t.Fatalf("%v", err)
		}
		c.Store = slow{filled{1}, 3 * time.Second}
		if _, err := revocation.Open(t.Context(), c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a store that hangs: %v", err)
		}
	})
}

func BenchmarkRevoked(b *testing.B) {
	l := open(b, filled{1 << 16}, &clock{now: noon})
	for i := range 1000 {
		revoke(b, l, entry(revocation.SPIFFEIDPrefix, fmt.Sprintf("spiffe://example.org/x/%d/*", i)))
	}
	tok := token()
	b.ReportAllocs()
	for b.Loop() {
		if revoked(b, l, tok) {
			b.Fatal("dead")
		}
	}
}

func lenOf(l *revocation.List) (n int) {
	for _, of := range l.Counts() {
		n += of
	}
	return n
}
