package authorization

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// FuzzQuery: a query is read as the standard library reads it, what nothing reads is
// left out, and what was read is read again as the same.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "client_id=a", "client_id=a&client_id=b", "resource=a&resource=b", "scope=&scope=a", "foo=a&foo=b", "a;b", "%zz", "state=%ff", "state=%00", "=", "&&", "state=a+b%20c", "state=" + strings.Repeat("!", 6<<10)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, refusal := parseQuery(raw)
		again, refusal2 := parseQuery(raw)
		if p.encode() != again.encode() || !slices.Equal(p.repeated, again.repeated) || (refusal == nil) != (refusal2 == nil) {
			t.Fatal("two answers")
		}
		if refusal != nil {
			if p.values != nil {
				t.Fatal("values beside a refusal")
			}
			return
		}
		want, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q was accepted: %v", raw, err)
		}
		for name := range p.values {
			if !slices.Contains(known, name) {
				t.Fatalf("GL-5 %q was kept", name)
			}
		}
		for _, name := range known {
			got := p.get(name)
			switch {
			case len(want[name]) > 1 && name != "resource":
				if got != "" || !slices.Contains(p.repeated, name) {
					t.Fatalf("GL-4 %q twice is read as %q", name, got)
				}
			case len(want[name]) == 1 && got != want[name][0]:
				t.Fatalf("%q is read as %q", want[name], got)
			}
		}
		if slices.Contains(p.resources(), "") {
			t.Fatal("GL-5 an empty resource")
		}
		if kept, refusal := parseQuery(p.encode()); refusal != nil || kept.encode() != p.encode() {
			t.Fatalf("%q is read again as %q: %v", p.encode(), kept.encode(), refusal)
		}
	})
}

// FuzzVerifier: what is accepted is what RFC 7636 section 4.1 says, character by
// character.
func FuzzVerifier(f *testing.F) {
	for _, s := range []string{"", strings.Repeat("a", 42), strings.Repeat("a", 43), strings.Repeat("~", 128), strings.Repeat("a", 129), strings.Repeat("é", 30), strings.Repeat("a", 42) + "+"} {
		f.Add(s)
	}
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	f.Fuzz(func(t *testing.T, s string) {
		want := len(s) >= 43 && len(s) <= 128
		for i := range len(s) {
			want = want && strings.IndexByte(unreserved, s[i]) >= 0
		}
		if goodVerifier(s) != want {
			t.Fatalf("AZ-5 %q: %t", s, !want)
		}
		if goodChallenge(s) && (len(s) != 43 || !want || strings.ContainsAny(s, ".~")) {
			t.Fatalf("AZ-3 %q is a challenge", s)
		}
	})
}

// FuzzRefreshToken: a token has one spelling, and no other text is one.
func FuzzRefreshToken(f *testing.F) {
	token := newRefreshToken()
	f.Add(string(token.wire()))
	f.Add(string(token.successor([32]byte{1}).wire()))
	for _, s := range []string{"", oauth.RefreshTokenPrefix, "svidgate_rt_AAAA", strings.Repeat("A", 82), oauth.RefreshTokenPrefix + strings.Repeat("A", 70), string(token.wire())[:81] + "_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseRefreshToken(s)
		if ok && string(got.wire()) != s {
			t.Fatalf("%q is read as %q", s, string(got.wire()))
		}
		if !ok && got != (refreshToken{}) {
			t.Fatal("a token beside a refusal")
		}
	})
}

// RT-4 A successor follows from token and salt, and from nothing less; nothing that is
// kept of a token is the token.
func TestSuccessor(t *testing.T) {
	token, other := newRefreshToken(), newRefreshToken()
	next := token.successor([32]byte{1})
	switch {
	case next != token.successor([32]byte{1}):
		t.Error("the successor is another the second time")
	case next == token.successor([32]byte{2}), next == other.successor([32]byte{1}), next == token, next.secret == token.secret:
		t.Error("another salt or another token has the same successor")
	case next.family() != token.family() || next.family() == other.family():
		t.Error("RT-3 the family is another")
	case next.digest() == token.digest():
		t.Error("the digest is the same")
	}
	for _, kept := range [][32]byte{next.family(), next.digest(), sha256.Sum256(token.handle[:])} {
		if kept == next.secret {
			t.Error("GL-13 the secret is kept")
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", token, token, token, token); text != "redacted redacted redacted redacted" {
		t.Errorf("AU-2 it prints as %s", text)
	}
}
