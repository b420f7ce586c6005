package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/oauth"
)

const right = "correct horse battery staple"

var (
	noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	home = netip.MustParseAddr("192.0.2.1")
)

// A clock is moved by its test only.
type clock struct {
	mu  sync.Mutex
	now time.Time
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

// opened is a desk with the user alice.
func opened(t *testing.T) (*login.Desk, login.State, *clock) {
	t.Helper()
	c := &clock{now: noon}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	accounts := &login.Accounts{Users: s.People(), Now: c.Now}
	if err := accounts.Add(t.Context(), "alice", right); err != nil {
		t.Fatal(err)
	}
	d, err := login.New(login.Config{State: s.People(), Local: true, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d, s.People(), c
}

func reasonOf(err error) oauth.Reason {
	if err == nil {
		return ""
	}
	return oauth.AsError(err).Reason
}

// TestPassword: who somebody is, and that nothing is kept of the password but a hash
// of the agreed cost.
func TestPassword(t *testing.T) {
	d, state, _ := opened(t)
	for _, name := range []string{"alice", " Alice "} {
		p, err := d.Password(t.Context(), home, name, right)
		if err != nil || p.Subject != "local:alice" || p.Provider != login.Local || !p.AuthTime.Equal(noon) || fmt.Sprint(p.AMR) != "[pwd]" {
			t.Errorf("AT-3 %q is %+v, %v", name, p, err)
		}
	}
	for name, password := range map[string]string{"alice": right + " ", "bob": right, "": right, "alice\x00": right, "spiffe://example.org/a": right} {
		if p, err := d.Password(t.Context(), home, name, password); reasonOf(err) != oauth.ReasonPasswordWrong || oauth.AsError(err).Rule != "AZ-12" || p.Subject != "" {
			t.Errorf("AZ-12 %q with %q is %+v, %v", name, password, p, err)
		}
	}
	if _, err := d.Password(t.Context(), netip.MustParseAddr("192.0.2.9"), "alice", strings.Repeat("a", 1<<20)); reasonOf(err) != oauth.ReasonPasswordWrong {
		t.Errorf("a very long one: %v", err)
	}
	u, err := state.User(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(u.Password, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(fmt.Sprintf("%v %+v %#v %s", u, u, u, u), "argon2id") {
		t.Errorf("GL-13 what is kept begins with %.31s, and prints as %v", u.Password, u)
	}
}

// TestNames: what a user and a password may be (CC-3).
func TestNames(t *testing.T) {
	for _, name := range []string{"a", "alice", "alice.b_c+d@example.com", "4711", strings.Repeat("a", 64)} {
		if err := login.CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "Alice", "a b", "-a", ".", "a/b", "a:b", "spiffe://example.org/a", "ä", "a\n", strings.Repeat("a", 65)} {
		if login.CheckName(name) == nil {
			t.Errorf("CC-3 %q is a name", name)
		}
	}
	for _, password := range []string{strings.Repeat("a", login.MinPassword), strings.Repeat("ä", login.MinPassword), strings.Repeat("a", login.MaxPassword)} {
		if err := login.CheckPassword(password); err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
	for _, password := range []string{"", strings.Repeat("a", login.MinPassword-1), strings.Repeat("ä", login.MinPassword-1), strings.Repeat("a", login.MaxPassword+1), "a line\nand another", "no UTF-8 \xff\xff\xff"} {
		if login.CheckPassword(password) == nil {
			t.Errorf("%q is a password", password)
		}
	}
	if _, err := spiffeid.FromString(login.User{Name: "alice"}.Subject()); err == nil {
		t.Error("CC-3 a user's subject is a SPIFFE ID")
	}
}

// TestPauses: after five wrong ones from one address there is a pause that grows, for
// a name that nobody has, too; another address has its own (GL-16).
func TestPauses(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		t.Run(name, func(t *testing.T) {
			d, _, c := opened(t)
			wrong := func(from netip.Addr) error {
				_, err := d.Password(t.Context(), from, name, "something else entirely")
				return err
			}
			for i := range 5 {
				if err := wrong(home); reasonOf(err) != oauth.ReasonPasswordWrong {
					t.Fatalf("try %d: %v", i, err)
				}
			}
			pause := 30 * time.Second
			for range 3 {
				err := wrong(home)
				if e := oauth.AsError(err); e.Reason != oauth.ReasonRateLimited || e.RetryAfter != pause {
					t.Fatalf("GL-16 %v, to be tried again in %s, want %s", err, e.RetryAfter, pause)
				}
				c.advance(pause)
				if err := wrong(home); reasonOf(err) != oauth.ReasonPasswordWrong {
					t.Fatalf("after %s: %v", pause, err)
				}
				pause *= 2
			}
			if err := wrong(netip.MustParseAddr("192.0.2.2")); reasonOf(err) != oauth.ReasonPasswordWrong {
				t.Errorf("another address: %v", err)
			}
			c.advance(login.TriesKept)
			if err := wrong(home); reasonOf(err) != oauth.ReasonPasswordWrong {
				t.Errorf("an hour later: %v", err)
			}
		})
	}
	// A whole /64 is one source.
	d, _, _ := opened(t)
	for i := range 30 {
		d.Password(t.Context(), netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), fmt.Sprint("user", i), "something else entirely")
	}
	if _, err := d.Password(t.Context(), netip.MustParseAddr("2001:db8::ffff"), "alice", right); reasonOf(err) != oauth.ReasonRateLimited {
		t.Errorf("GL-16 the 31st try from one network: %v", err)
	}
	if _, err := d.Password(t.Context(), netip.MustParseAddr("2001:db8:0:1::1"), "alice", right); err != nil {
		t.Errorf("another network: %v", err)
	}
}

func TestPauseIsBounded(t *testing.T) {
	l := login.Limit{Free: 5}
	for failures, want := range map[int]time.Duration{0: 0, 4: 0, 5: 30 * time.Second, 6: time.Minute, 9: 8 * time.Minute, 10: 15 * time.Minute, 1 << 30: 15 * time.Minute} {
		if got := l.Pause(failures); got != want {
			t.Errorf("after %d: %s, want %s", failures, got, want)
		}
	}
}

// TestSession: how long one lasts, and that it belongs to a way of signing in.
func TestSession(t *testing.T) {
	d, state, c := opened(t)
	person, err := d.Password(t.Context(), home, "alice", right)
	if err != nil {
		t.Fatal(err)
	}
	begin := func() string {
		t.Helper()
		secret, _, err := d.SignIn(t.Context(), person, "")
		if err != nil {
			t.Fatal(err)
		}
		return secret.Value()
	}
	is := func(cookie string, want bool) {
		t.Helper()
		if _, err := d.Session(t.Context(), cookie); (err == nil) != want || err != nil && !errors.Is(err, login.ErrNone) {
			t.Errorf("at %s: %v, want a session: %t", c.Now().Sub(noon), err, want)
		}
	}
	cookie := begin()
	for range 11 { // used every hour less a second
		c.advance(login.SessionIdle - time.Second)
		is(cookie, true)
	}
	c.advance(login.SessionIdle)
	is(cookie, false)
	cookie = begin()
	for range 13 {
		c.advance(55 * time.Minute)
		is(cookie, true)
	}
	c.advance(10 * time.Minute) // 12 hours and 5 minutes after its beginning
	is(cookie, false)

	cookie = begin()
	closed, err := login.New(login.Config{State: state, Providers: []login.ProviderConfig{{Name: "corp"}}, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Session(t.Context(), cookie); !errors.Is(err, login.ErrNone) {
		t.Errorf("a session of a way that is no longer offered: %v", err)
	}
	is(cookie, true)
	for _, wrong := range []string{"", cookie[1:], cookie + "A", strings.Repeat("A", 43), cookie[:42] + "=", cookie[:42] + "B"} {
		if wrong != cookie {
			is(wrong, false)
		}
	}
	if _, _, err := d.SignIn(t.Context(), login.Person{}, ""); err == nil {
		t.Error("nobody has a session")
	}
}

// TestPasswordChangedMeanwhile: no session begins with a password that was changed
// while it was looked at, nor with that of a user who was removed.
func TestPasswordChangedMeanwhile(t *testing.T) {
	const another = "another staple for another horse"
	d, state, c := opened(t)
	accounts := &login.Accounts{Users: state, Now: c.Now}
	changes := map[string]func() error{
		"nothing":          func() error { return nil },
		"another password": func() error { return accounts.ChangePassword(t.Context(), "alice", another) },
		"the same again":   func() error { return accounts.ChangePassword(t.Context(), "alice", right) },
		"removed and added": func() error {
			_, err := accounts.Remove(t.Context(), "alice")
			return errors.Join(err, accounts.Add(t.Context(), "alice", right))
		},
	}
	for _, name := range []string{"nothing", "the same again", "removed and added", "another password"} {
		person, err := d.Password(t.Context(), home, "alice", right)
		if err != nil {
			t.Fatal(err)
		}
		if err := changes[name](); err != nil {
			t.Fatal(err)
		}
		want := oauth.ReasonPasswordWrong
		if name == "nothing" {
			want = ""
		}
		if _, _, err := d.SignIn(t.Context(), person, ""); reasonOf(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	person, err := d.Password(t.Context(), home, "alice", another)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.SignIn(t.Context(), person, ""); err != nil {
		t.Errorf("with the new password: %v", err)
	}
}

// Nothing is asked of a provider before somebody wants to sign in there, and a name
// that is none leads nowhere.
func TestBegin(t *testing.T) {
	d, _, _ := opened(t)
	if _, err := d.Begin(t.Context(), home, "corp", login.NewSecret(), ""); reasonOf(err) != oauth.ReasonRequestMalformed {
		t.Errorf("AZ-12 a provider that is not there: %v", err)
	}
	if _, err := d.Finish(t.Context(), "corp", login.NewSecret(), url.Values{"state": {login.NewSecret().Value()}}); reasonOf(err) != oauth.ReasonLoginExpired {
		t.Errorf("AZ-12 somebody who comes back from there: %v", err)
	}
}

// asked counts how often the store was asked for an attempt.
type asked struct {
	login.State
	times int
}

func (a *asked) UseAttempt(ctx context.Context, state, browser login.Digest, now time.Time) (login.Attempt, error) {
	a.times++
	return a.State.UseAttempt(ctx, state, browser, now)
}

// TestNobodysBrowser: the secret that a browser has which has none is nobody's
// (AZ-12): else whoever begins with it could have anybody sign in as them.
func TestNobodysBrowser(t *testing.T) {
	_, state, c := opened(t)
	counted := &asked{State: state}
	d, err := login.New(login.Config{State: counted, Providers: []login.ProviderConfig{{Name: "corp"}}, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	nobody := login.Secret{}
	if _, ok := login.ReadSecret(nobody.Value()); ok || nobody.Value() != strings.Repeat("A", 43) {
		t.Errorf("%q is a secret", nobody.Value())
	}
	if _, err := d.Begin(t.Context(), home, "corp", nobody, ""); reasonOf(err) != oauth.ReasonInternal {
		t.Errorf("a sign-in of no browser begins: %v", err)
	}
	sent := login.NewSecret()
	if err := state.StartAttempt(t.Context(), login.Attempt{State: sent.Digest(), Browser: nobody.Digest(), Provider: "corp", Started: noon}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		browser login.Secret
		times   int
	}{{nobody, 0}, {login.NewSecret(), 1}} {
		arrival, err := d.Finish(t.Context(), "corp", row.browser, url.Values{"state": {sent.Value()}, "code": {"any"}})
		if reasonOf(err) != oauth.ReasonLoginExpired || arrival.Subject != "" || counted.times != row.times {
			t.Errorf("%v, and the store was asked %d times, want %d", err, counted.times, row.times)
		}
	}
}

func TestSecretsPrintAsNothing(t *testing.T) {
	s := login.NewSecret()
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s %v", s, s, s, &s)} {
		if strings.Contains(text, s.Value()) || strings.Contains(text, "0x") {
			t.Errorf("GL-13 it prints as %s", text)
		}
	}
	back, ok := login.ReadSecret(s.Value())
	if !ok || back != s || len(s.Value()) != 43 {
		t.Error("it is not read back")
	}
}

// A request that has gone away waits for no password.
func TestPasswordGivesUp(t *testing.T) {
	d, _, _ := opened(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Password(ctx, home, "alice", right); err == nil {
		t.Error("it was answered")
	}
}
