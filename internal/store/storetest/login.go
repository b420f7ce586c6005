package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/login"
)

func keyOf(word string, of ...any) login.Digest { return login.Digest(digestOf(word, of...)) }

// TestPeople is what [login.State] promises.
func TestPeople(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	for _, part := range []struct {
		name string
		test func(*testing.T, Store, *Clock)
	}{
		{"users", testUsers},
		{"GL-16 tries", testTries},
		{"sessions", testSessions},
		{"attempts", testAttempts},
		{"consents", testConsents},
		{"what ends with a user", testUserEnds},
		{"AZ-12 nothing outlives its end", testNothingOutlives},
		{"very many grants end", testManyEnd},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, s, clock) })
	}
	// All of it is there again after a restart.
	p := s.People()
	must(t, p.AddUser(t.Context(), user("last", clock.Now())))
	session := sessionOf("local:last", "kept", clock.Now())
	session.Credential = user("last", clock.Now()).Credential()
	must(t, p.StartSession(t.Context(), session, login.Digest{}))
	session.Credential = login.Digest{} // it is not kept
	must(t, p.GiveConsent(t.Context(), consentOf("local:last", "app", clock.Now(), "read")))
	limit := []login.Limit{{Key: keyOf("restart"), Free: 0}}
	if _, _, err := p.Try(t.Context(), limit, clock.Now()); err != nil {
		t.Fatal(err)
	}
	must(t, s.Close())
	s = place.Open(t, clock.Now)
	p = s.People()
	if got, err := p.Session(t.Context(), session.Digest, clock.Now()); err != nil || !reflect.DeepEqual(got, session) {
		t.Errorf("the session is %+v, %v, want %+v", got, err, session)
	}
	if _, wait, err := p.Try(t.Context(), limit, clock.Now()); err != nil || wait == 0 {
		t.Errorf("GL-16 a restart forgives: wait %s, %v", wait, err)
	}
	if all, err := p.Consents(t.Context(), "local:last", clock.Now()); err != nil || len(all) != 1 {
		t.Errorf("the consents are %v, %v", all, err)
	}
	mend := place.Fill()
	if err := p.AddUser(t.Context(), user("broken", clock.Now())); err == nil {
		t.Error("GL-15 a user is kept where nothing can be written")
	}
	if _, _, err := p.Try(t.Context(), limit, clock.Now().Add(time.Hour)); err == nil {
		t.Error("GL-15 a try that is not counted may be made")
	}
	mend()
	must(t, s.Close())
}

func user(name string, now time.Time) login.User {
	return login.User{Name: name, Password: "$argon2id$v=19$of " + name, Created: now, Changed: now}
}

func testUsers(t *testing.T, s Store, clock *Clock) {
	p, ctx, now := s.People(), t.Context(), clock.Now()
	for _, name := range []string{"zoe", "alice"} {
		must(t, p.AddUser(ctx, user(name, now)))
	}
	wantError(t, "a name twice", p.AddUser(ctx, user("alice", now)), login.ErrExists)
	if got, err := p.User(ctx, "alice"); err != nil || got != user("alice", now) {
		t.Errorf("alice is %v, %v", got, err)
	}
	_, err := p.User(ctx, "Alice")
	wantError(t, "another spelling", err, login.ErrNone)
	all, err := p.Users(ctx)
	if err != nil || len(all) != 2 || all[0].Name != "alice" || all[1].Name != "zoe" {
		t.Errorf("the users are %v, %v", all, err)
	}
	changed := user("alice", now)
	changed.Password, changed.Changed = "another", now.Add(time.Hour)
	must(t, p.ChangePassword(ctx, changed))
	if got, err := p.User(ctx, "alice"); err != nil || got.Password != "another" || !got.Created.Equal(now) || !got.Changed.Equal(changed.Changed) {
		t.Errorf("alice is %+v, %v", got, err)
	}
	wantError(t, "another password for nobody", p.ChangePassword(ctx, user("nobody", now)), login.ErrNone)
	_, err = p.RemoveUser(ctx, "nobody", now)
	wantError(t, "nobody is removed", err, login.ErrNone)
	won := AtOnce(t, func(int) (bool, error) {
		err := p.AddUser(ctx, user("race", now))
		if errors.Is(err, login.ErrExists) {
			return false, nil
		}
		return err == nil, err
	})
	if won != 1 {
		t.Errorf("%d of many made the same user", won)
	}
	for _, name := range []string{"zoe", "alice", "race"} {
		if _, err := p.RemoveUser(ctx, name, now); err != nil {
			t.Error(err)
		}
	}
}

func testTries(t *testing.T, s Store, clock *Clock) {
	p, ctx := s.People(), t.Context()
	mine := login.Limit{Key: keyOf("mine"), Free: 3}
	ours := login.Limit{Key: keyOf("ours"), Free: 5, Shared: true}
	limits := []login.Limit{mine, ours}
	var counts []login.Count // of the last try
	try := func(want bool) {
		t.Helper()
		var wait time.Duration
		var err error
		counts, wait, err = p.Try(ctx, limits, clock.Now())
		if err != nil || want != (wait == 0) {
			t.Errorf("wait %s, %v, want a try: %t", wait, err, want)
		}
	}
	for range 3 {
		try(true)
	}
	try(false)
	clock.Advance(mine.Pause(3) - time.Second)
	try(false) // and did not count
	clock.Advance(time.Second)
	try(true)
	try(false)
	clock.Advance(mine.Pause(4))
	try(true) // the fifth of ours, too
	must(t, p.Passed(ctx, counts))
	for range 2 { // mine begin anew; ours went back by one
		limits = []login.Limit{mine}
		try(true)
	}
	limits = []login.Limit{ours}
	try(true)
	try(false)
	clock.Advance(login.TriesKept)
	for range 4 {
		try(true)
	}
	// Who succeeds ends no pause that others began meanwhile, and begins none.
	limits = []login.Limit{{Key: keyOf("pause of others"), Free: 2, Shared: true}}
	try(true)
	own := counts
	try(true) // another's, which begins the pause
	must(t, p.Passed(ctx, own))
	try(false)
	clock.Advance(limits[0].Pause(2))
	try(true) // as the second again
	try(false)
	must(t, p.Passed(ctx, counts)) // of the one that was not made: nothing
	try(false)
	clock.Advance(limits[0].Pause(2))
	try(true)
	must(t, p.Passed(ctx, counts))
	try(true)
	try(false)
	// Many at once are many.
	race := []login.Limit{{Key: keyOf("race"), Free: 10}}
	won := AtOnce(t, func(int) (bool, error) {
		_, wait, err := p.Try(ctx, race, clock.Now())
		return wait == 0, err
	})
	if won != 10 {
		t.Errorf("GL-16 %d tries at once, want 10", won)
	}
}

func sessionOf(subject, word string, now time.Time) login.Session {
	return login.Session{
		Digest:  keyOf("session ", word),
		Person:  login.Person{Subject: subject, Provider: "corp", Name: "Jo Ünder", AuthTime: now.Add(-time.Minute), AMR: []string{"pwd", "otp"}, ACR: "2"},
		Started: now, Seen: now,
	}
}

func testSessions(t *testing.T, s Store, clock *Clock) {
	p, ctx, now := s.People(), t.Context(), clock.Now()
	first := sessionOf("corp:1", "first", now)
	must(t, p.StartSession(ctx, first, login.Digest{}))
	if got, err := p.Session(ctx, first.Digest, now); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("the session is %+v, %v, want %+v", got, err, first)
	}
	_, err := p.Session(ctx, keyOf("another"), now)
	wantError(t, "a session of nobody", err, login.ErrNone)
	_, err = p.Session(ctx, first.Digest, now.Add(login.SessionIdle))
	wantError(t, "a session that was not used", err, login.ErrNone)

	used := first
	used.Seen = now.Add(login.SessionIdle - time.Minute)
	must(t, p.SeeSession(ctx, used))
	if _, err := p.Session(ctx, first.Digest, now.Add(login.SessionIdle)); err != nil {
		t.Errorf("one that was used: %v", err)
	}
	late := used
	late.Seen = now.Add(20 * time.Hour)
	must(t, p.SeeSession(ctx, late))
	_, err = p.Session(ctx, first.Digest, late.Seen)
	wantError(t, "a session that has ended and is used", err, login.ErrNone)

	second := sessionOf("corp:1", "second", now)
	must(t, p.StartSession(ctx, second, first.Digest))
	_, err = p.Session(ctx, first.Digest, now)
	wantError(t, "the session before", err, login.ErrNone)
	must(t, p.EndSession(ctx, second.Digest))
	must(t, p.EndSession(ctx, second.Digest))
	_, err = p.Session(ctx, second.Digest, now)
	wantError(t, "a session that was ended", err, login.ErrNone)

	for i := range login.MaxSessions + 5 {
		n := sessionOf("corp:2", fmt.Sprint("many ", i), now.Add(time.Duration(i)*time.Second))
		must(t, p.StartSession(ctx, n, login.Digest{}))
	}
	_, err = p.Session(ctx, keyOf("session ", "many 4"), now)
	wantError(t, "the oldest of too many", err, login.ErrNone)
	if _, err := p.Session(ctx, keyOf("session ", "many 5"), now); err != nil {
		t.Errorf("the others: %v", err)
	}
	if n, err := p.EndSessions(ctx, "corp:2"); err != nil || n != login.MaxSessions {
		t.Errorf("%d sessions ended, %v", n, err)
	}
	wantError(t, "a local user who is not there", p.StartSession(ctx, sessionOf("local:gone", "gone", now), login.Digest{}), login.ErrNone)

	// A password counts while it is the one of the user, also at the same moment.
	eve := user("eve", now)
	must(t, p.AddUser(ctx, eve))
	start := func(word string, with login.User) error {
		n := sessionOf("local:eve", word, now)
		n.Credential = with.Credential()
		return p.StartSession(ctx, n, login.Digest{})
	}
	must(t, start("with the password", eve))
	wantError(t, "a local user without a password", p.StartSession(ctx, sessionOf("local:eve", "without", now), login.Digest{}), login.ErrNone)
	changed := eve
	changed.Password = "another"
	must(t, p.ChangePassword(ctx, changed))
	wantError(t, "a password that was changed", start("before the change", eve), login.ErrNone)
	must(t, start("after the change", changed))
	_, err = p.RemoveUser(ctx, "eve", now)
	must(t, err)
	again := eve
	again.Password = "a third"
	must(t, p.AddUser(ctx, again))
	wantError(t, "a user who was removed and added again", start("before the removal", changed), login.ErrNone)
	must(t, start("after the removal", again))
	_, err = p.RemoveUser(ctx, "eve", now)
	must(t, err)
}

func testAttempts(t *testing.T, s Store, clock *Clock) {
	p, ctx, now := s.People(), t.Context(), clock.Now()
	a := login.Attempt{State: keyOf("state"), Browser: keyOf("browser"), Provider: "corp", Kept: "1.client_id=app&state=ü", Started: now}
	must(t, p.StartAttempt(ctx, a))
	_, err := p.UseAttempt(ctx, a.State, keyOf("another browser"), now)
	wantError(t, "another browser", err, login.ErrNone)
	_, err = p.UseAttempt(ctx, keyOf("another state"), a.Browser, now)
	wantError(t, "another state", err, login.ErrNone)
	_, err = p.UseAttempt(ctx, a.State, a.Browser, now.Add(login.AttemptMost))
	wantError(t, "after its time", err, login.ErrNone)
	won := AtOnce(t, func(int) (bool, error) {
		got, err := p.UseAttempt(ctx, a.State, a.Browser, now)
		if err == nil && (got.Kept != a.Kept || got.Provider != a.Provider || !got.Started.Equal(now)) {
			t.Errorf("the attempt is %+v", got)
		}
		return !got.Used, err
	})
	if won != 1 {
		t.Errorf("%d of many came back first", won)
	}

	// A source fills its own room, and no other's: for one more, one that was used goes,
	// and then the oldest.
	begin := func(source string, i int) error {
		return p.StartAttempt(ctx, login.Attempt{State: keyOf(source, i), Browser: a.Browser, Source: keyOf(source), Provider: "corp", Started: now.Add(time.Duration(i) * time.Millisecond)})
	}
	use := func(source string, i int) error {
		_, err := p.UseAttempt(ctx, keyOf(source, i), a.Browser, now)
		return err
	}
	must(t, begin("quiet", 0))
	for i := range login.MaxAttemptsOfSource {
		must(t, begin("loud", i))
	}
	must(t, use("loud", 7))
	must(t, begin("loud", login.MaxAttemptsOfSource))
	wantError(t, "GL-16 one that was used", use("loud", 7), login.ErrNone)
	must(t, begin("loud", login.MaxAttemptsOfSource+1))
	wantError(t, "GL-16 the oldest", use("loud", 0), login.ErrNone)
	for _, i := range []int{1, login.MaxAttemptsOfSource, login.MaxAttemptsOfSource + 1} {
		must(t, use("loud", i))
	}
	must(t, use("quiet", 0))
}

func consentOf(subject, client string, now time.Time, scope ...string) login.Consent {
	return login.Consent{Subject: subject, ClientID: client, Resource: "https://api.example.com/", Scope: scope, Given: now}
}

func testConsents(t *testing.T, s Store, clock *Clock) {
	p, ctx, now := s.People(), t.Context(), clock.Now()
	must(t, p.GiveConsent(ctx, consentOf("corp:1", "app", now, "read")))
	must(t, p.GiveConsent(ctx, consentOf("corp:1", "app", now.Add(time.Minute), "audit", "write")))
	got, err := p.Consent(ctx, "corp:1", "app", "https://api.example.com/", now)
	if err != nil || !slices.Equal(got.Scope, []string{"audit", "read", "write"}) || !got.Given.Equal(now.Add(time.Minute)) {
		t.Errorf("the consent is %+v, %v", got, err)
	}
	for _, other := range [][3]string{{"corp:2", "app", "https://api.example.com/"}, {"corp:1", "App", "https://api.example.com/"}, {"corp:1", "app", "https://api.example.com"}} {
		_, err := p.Consent(ctx, other[0], other[1], other[2], now)
		wantError(t, fmt.Sprint("the consent of ", other), err, login.ErrNone)
	}
	_, err = p.Consent(ctx, "corp:1", "app", "https://api.example.com/", got.Ends())
	wantError(t, "after its time", err, login.ErrNone)
	must(t, p.GiveConsent(ctx, consentOf("corp:1", "app", got.Ends(), "read")))
	if again, err := p.Consent(ctx, "corp:1", "app", "https://api.example.com/", got.Ends()); err != nil || !slices.Equal(again.Scope, []string{"read"}) {
		t.Errorf("what had ended is agreed to again: %+v, %v", again, err)
	}
	must(t, p.GiveConsent(ctx, consentOf("corp:1", "other", now.Add(time.Hour))))
	all, err := p.Consents(ctx, "corp:1", now)
	if err != nil || len(all) != 2 || all[1].ClientID != "other" || len(all[1].Scope) != 0 {
		t.Errorf("the consents are %+v, %v", all, err)
	}
	if ended, err := p.Withdraw(ctx, "corp:1", "app", now); err != nil || ended != (login.Ended{Consents: 1}) {
		t.Errorf("ended %+v, %v", ended, err)
	}
	if ended, err := p.Withdraw(ctx, "corp:1", "", now); err != nil || ended != (login.Ended{Consents: 1}) {
		t.Errorf("ended %+v, %v", ended, err)
	}
	for i := range login.MaxConsents + 1 {
		must(t, p.GiveConsent(ctx, consentOf("corp:3", fmt.Sprint("app ", i), now.Add(time.Duration(i)*time.Second))))
	}
	_, err = p.Consent(ctx, "corp:3", "app 0", "https://api.example.com/", now)
	wantError(t, "the oldest of too many", err, login.ErrNone)
	if all, err := p.Consents(ctx, "corp:3", now); err != nil || len(all) != login.MaxConsents || all[0].ClientID != fmt.Sprint("app ", login.MaxConsents) {
		t.Errorf("%d consents, %v", len(all), err)
	}
}

// What clients were granted ends with the user and with what they agreed to.
func testUserEnds(t *testing.T, s Store, clock *Clock) {
	p, a, ctx, now := s.People(), s.Authorizations(), t.Context(), clock.Now()
	must(t, p.AddUser(ctx, user("dora", now)))
	grant := func(id, subject, client string) {
		t.Helper()
		g := granted(id, now)
		g.ExpiresAt, g.Subject.User, g.ClientID = now.Add(time.Hour), subject, client
		must(t, a.Create(ctx, g, SignedIn(t, p, subject, now), authorization.Digest{}, now))
	}
	grant("dora's", "local:dora", "app")
	grant("dora's other", "local:dora", "other")
	grant("zoe's", "local:zoe", "app")
	revoked := func(id string) bool {
		t.Helper()
		g, err := a.ByID(ctx, id, now)
		must(t, err)
		return g.Revoked
	}
	must(t, p.GiveConsent(ctx, consentOf("local:dora", "app", now)))
	session := sessionOf("local:dora", "dora", now)
	session.Credential = user("dora", now).Credential()
	must(t, p.StartSession(ctx, session, login.Digest{}))
	if ended, err := p.Withdraw(ctx, "local:dora", "app", now); err != nil || ended != (login.Ended{Consents: 1, Grants: 1}) {
		t.Errorf("ended %+v, %v", ended, err)
	}
	if !revoked("dora's") || revoked("dora's other") || revoked("zoe's") {
		t.Error("not just that grant was revoked")
	}
	must(t, p.GiveConsent(ctx, consentOf("local:dora", "other", now)))
	if ended, err := p.RemoveUser(ctx, "dora", now); err != nil || ended != (login.Ended{Sessions: 2, Consents: 1, Grants: 1}) {
		t.Errorf("ended %+v, %v", ended, err)
	}
	if !revoked("dora's other") || revoked("zoe's") {
		t.Error("not just the grants of the user were revoked")
	}
	_, err := p.Session(ctx, keyOf("session ", "dora"), now)
	wantError(t, "a session of the user", err, login.ErrNone)
}

// A grant that is made while its person is removed, signs out or withdraws is made
// before that and revoked by it, or not at all.
func testNothingOutlives(t *testing.T, s Store, clock *Clock) {
	p, a, ctx, now := s.People(), s.Authorizations(), t.Context(), clock.Now()
	create := func(id string, by authorization.Permission) error {
		g := granted(id, now)
		g.ExpiresAt, g.Subject.User = now.Add(time.Hour), "local:eve"
		return a.Create(ctx, g, by, authorization.Digest{}, now)
	}
	agreed := func(by authorization.Permission) authorization.Permission {
		by.Remembered = true
		return by
	}
	alive := func(id string) bool {
		t.Helper()
		g, err := a.ByID(ctx, id, now)
		if errors.Is(err, authorization.ErrNotFound) {
			return false
		}
		must(t, err)
		return !g.Revoked
	}
	by := SignedIn(t, p, "local:eve", now)
	wantError(t, "AZ-12 nobody", create("nobody's", authorization.Permission{}), authorization.ErrSignedOut)
	wantError(t, "AZ-12 another", create("another's", SignedIn(t, p, "local:zoe", now)), authorization.ErrSignedOut)
	wantError(t, "BC-4 not agreed", create("not agreed", agreed(by)), authorization.ErrNotAgreed)
	must(t, p.GiveConsent(ctx, consentOf("local:eve", "app", now, "read")))
	wantError(t, "BC-4 agreed to less", create("less", agreed(by)), authorization.ErrNotAgreed)
	must(t, create("agrees now", by))
	must(t, create("agreed", agreed(by))) // since that is remembered
	if c, err := p.Consent(ctx, "local:eve", "app", "https://api.example.com/", now); err != nil || !slices.Equal(c.Scope, []string{"read", "write"}) {
		t.Errorf("agreed to with the grant: %v, %v", c.Scope, err)
	}
	for _, id := range []string{"nobody's", "another's", "not agreed", "less"} {
		if alive(id) {
			t.Errorf("%s is there", id)
		}
	}
	if !alive("agrees now") || !alive("agreed") {
		t.Error("a grant with a permission is not there")
	}
	must(t, p.EndSession(ctx, login.Digest(by.Session)))
	wantError(t, "AZ-12 signed out", create("signed out", by), authorization.ErrSignedOut)
	wantError(t, "AZ-12 signed out, agreed before", create("signed out", agreed(by)), authorization.ErrSignedOut)

	for name, end := range map[string]func() error{
		"removed":            func() error { _, err := p.RemoveUser(ctx, "eve", now); return err },
		"withdrawn":          func() error { _, err := p.Withdraw(ctx, "local:eve", "app", now); return err },
		"withdrawn from all": func() error { _, err := p.Withdraw(ctx, "local:eve", "", now); return err },
	} {
		for round := range 8 {
			by := agreed(SignedIn(t, p, "local:eve", now))
			must(t, p.GiveConsent(ctx, consentOf("local:eve", "app", now, "read", "write")))
			id := func(i int) string { return fmt.Sprint(name, " ", round, " ", i) }
			AtOnce(t, func(i int) (bool, error) {
				if i == callers/2 {
					return true, end()
				}
				return unless(create(id(i), by), authorization.ErrSignedOut, authorization.ErrNotAgreed)
			})
			for i := range callers {
				if alive(id(i)) {
					t.Fatalf("AZ-12 %s in round %d, grant %d is alive", name, round, i)
				}
			}
		}
	}
}

// However many grants somebody has, all of them end.
func testManyEnd(t *testing.T, s Store, clock *Clock) {
	const each = 20
	p, a, ctx, now := s.People(), s.Authorizations(), t.Context(), clock.Now()
	create := func(id, subject, client string, by authorization.Permission) error {
		g := granted(id, now)
		g.ExpiresAt, g.Subject.User, g.ClientID = now.Add(time.Hour), subject, client
		return a.Create(ctx, g, by, authorization.Digest{}, now)
	}
	id := func(i, j int) string { return fmt.Sprint("many ", i, " ", j) }
	must(t, create("zoe's of many", "local:zoe", "app 0", SignedIn(t, p, "local:zoe", now)))
	by := SignedIn(t, p, "local:mia", now)
	AtOnce(t, func(i int) (bool, error) {
		for j := range each {
			if err := create(id(i, j), "local:mia", fmt.Sprint("app ", i), by); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if ended, err := p.RemoveUser(ctx, "mia", now); err != nil || ended != (login.Ended{Sessions: 1, Consents: callers, Grants: callers * each}) {
		t.Errorf("ended %+v, %v", ended, err)
	}
	for i := range callers {
		for j := range each {
			if g, err := a.ByID(ctx, id(i, j), now); err != nil || !g.Revoked {
				t.Fatalf("grant %d %d is revoked: %t, %v", i, j, g.Revoked, err)
			}
		}
	}
	if g, err := a.ByID(ctx, "zoe's of many", now); err != nil || g.Revoked {
		t.Errorf("another person's is revoked: %t, %v", g.Revoked, err)
	}
}
