package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/svidgate/svidgate/internal/devca"
)

func TestSpentEntriesAreForgotten(t *testing.T) { // the keys of old SVIDs do not stay in memory
	now := time.Unix(1e9, 0)
	c := &Client{now: func() time.Time { return now }, entries: map[key]*entry{}}
	alive, err := c.entry(Request{Scope: "alive"}, holder{})
	if err != nil {
		t.Fatal(err)
	}
	alive.lease = lease[Token]{end: now.Add(time.Hour)}
	waiting, err := c.entry(Request{Scope: "waiting"}, holder{})
	if err != nil {
		t.Fatal(err)
	}
	waiting.started = true
	waiting.backoff.fail(now, errors.New("down"))
	if _, err := c.entry(Request{Scope: "about to begin"}, holder{}); err != nil {
		t.Fatal(err)
	}
	for i := range 50 { // one certificate after the other
		s := &session{thumbprint: [32]byte{byte(i)}}
		e, err := c.entry(Request{Scope: "read"}, holder{session: s})
		if err != nil {
			t.Fatal(err)
		}
		e.started, e.lease = true, lease[Token]{end: now.Add(-time.Hour)}
	}
	if n := len(c.entries); n != 4 {
		t.Errorf("%d entries, want the live one, the one that has to wait, the one that has not begun and the newest", n)
	}
	for _, scope := range []string{"alive", "waiting", "about to begin"} {
		if c.entries[keyOf(Request{Scope: scope}, holder{})] == nil {
			t.Errorf("the entry %q was forgotten", scope)
		}
	}
}

// library is a source of go-spiffe's kind.
type library struct {
	authority *devca.Authority
	asked     jwtsvid.Params
	nothing   bool
	err       error
}

func (l *library) FetchJWTSVID(_ context.Context, params jwtsvid.Params) (*jwtsvid.SVID, error) {
	l.asked = params
	if l.nothing || l.err != nil {
		return nil, l.err
	}
	token, err := l.authority.JWTSVID("/billing", []string{params.Audience})
	if err != nil {
		return nil, err
	}
	return jwtsvid.ParseInsecure(token, []string{params.Audience})
}

func TestFromJWTSource(t *testing.T) { // CJ-11: one audience, and no other
	l := &library{authority: newAuthority(t, nil)}
	id := spiffeid.RequireFromString("spiffe://example.org/billing")
	source := FromJWTSource(l, id)
	token, err := source.FetchJWTSVID(t.Context(), testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseAssertion(token, testIssuer, time.Now()); err != nil {
		t.Fatal(err)
	}
	if l.asked.Audience != testIssuer || len(l.asked.ExtraAudiences) != 0 || l.asked.Subject != id {
		t.Errorf("asked for %+v", l.asked)
	}
	l.nothing = true // what a picker that finds nothing comes out as
	if token, err := source.FetchJWTSVID(t.Context(), testIssuer); err == nil || token != "" || !strings.Contains(err.Error(), "no JWT-SVID") {
		t.Errorf("no SVID and no error: got %v", err)
	}
	l.err = errAgent
	if _, err := source.FetchJWTSVID(t.Context(), testIssuer); !errors.Is(err, errAgent) {
		t.Errorf("F22: got %v", err)
	}
}
