package resource

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

func hmacToken(header, payload, secret []byte) string {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestNew(t *testing.T) {
	good := func() Config { return Config{Resource: api, Issuers: []KeySource{staticA(t)}} }
	if _, err := New(good()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"LR-5 no resource: any audience", func(c *Config) { c.Resource = "" }, "the resource must be"},
		{"LR-5 no issuer: any issuer", func(c *Config) { c.Issuers = nil }, "there is no issuer"},
		{"LR-5 nil issuer", func(c *Config) { c.Issuers = []KeySource{nil} }, "issuer 0 is nil"},
		{"LR-5 issuer without a name", func(c *Config) { c.Issuers = []KeySource{&StaticKeys{}} }, "issuer 0 must be"},
		{"KR-7 one issuer twice", func(c *Config) { c.Issuers = []KeySource{staticA(t), staticB(t), staticA(t)} }, "issuer 2 is there twice"},
		{"AM-2 issuer by http", func(c *Config) { c.Issuers = []KeySource{&StaticKeys{issuer: "http://as.example.com"}} }, "must be an https URL"},
		{"RFC 8707 relative resource", func(c *Config) { c.Resource = "/api" }, "absolute URI"},
		{"RFC 8707 bare name", func(c *Config) { c.Resource = "api" }, "absolute URI"},
		{"RFC 8707 a star", func(c *Config) { c.Resource = "*" }, "absolute URI"},
		{"RFC 8707 fragment", func(c *Config) { c.Resource = api + "#" }, "without fragment"},
		{"GL-7 quote in the resource", func(c *Config) { c.Resource = api + `"` }, "absolute URI"},
		{"GL-12 negative leeway", func(c *Config) { c.Leeway = -1 }, "leeway"},
		{"GL-12 leeway above a minute", func(c *Config) { c.Leeway = MaxLeeway + 1 }, "leeway"},
		{"GL-7 quote in the realm", func(c *Config) { c.Realm = `a", error="x` }, "realm"},
		{"GL-7 line break in the realm", func(c *Config) { c.Realm = "a\r\nX: y" }, "realm"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good()
			row.change(&c)
			v, err := New(c)
			if err == nil || v != nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want an error that says %q", err, row.says)
			}
		})
	}
	t.Run("LR-5 zero config, all faults at once", func(t *testing.T) {
		_, err := New(Config{Leeway: -1})
		for _, says := range []string{"the resource", "no issuer", "leeway"} {
			if !strings.Contains(fmt.Sprint(err), says) {
				t.Errorf("%v does not speak of %s", err, says)
			}
		}
	})
	for _, name := range []string{"https://api.example.com", "spiffe://example.org/api", "urn:example:api"} {
		if _, err := New(Config{Resource: name, Issuers: []KeySource{staticA(t)}}); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
}

// LR-4: what a handler finds in its context.
func TestCaller(t *testing.T) {
	v, mine := newVerifier(t), leaf(t)
	p := newPresentation()
	p.bound(mine)
	c, err := v.VerifyToken(t.Context(), p.sign(), mine, "read", "write")
	if err != nil {
		t.Fatal(err)
	}
	id, ok := c.SPIFFEID()
	if !c.Proven() || !ok || id.String() != worker || c.Subject() != worker || c.ClientID() != "billing" || c.Issuer() != issuerA ||
		c.TokenID() != "t-1" || !c.Bound() || !c.ExpiresAt().Equal(noon.Add(5*time.Minute)) || !slices.Equal(c.Scopes(), []string{"read", "write"}) {
		t.Errorf("got %+v", c)
	}
	c.Scopes()[0] = "admin"
	for scope, want := range map[string]bool{"read": true, "write": true, "admin": false, "": false, "read write": false, "rea": false} {
		if c.HasScope(scope) != want {
			t.Errorf("HasScope(%q) is %v", scope, !want)
		}
	}

	p = newPresentation()
	p.claims["sub"], p.claims["scope"] = "alice", ""
	if c, err = v.VerifyToken(t.Context(), p.sign(), mine); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.SPIFFEID(); ok || c.Bound() || c.Scopes() != nil || c.Subject() != "alice" {
		t.Errorf("got %+v", c)
	}

	var zero Caller
	if _, ok := zero.SPIFFEID(); ok || zero.Proven() || zero.Bound() || zero.HasScope("") || zero.HasScope("read") || zero.Scopes() != nil {
		t.Error("the zero caller proves something")
	}
	if c, ok := CallerFrom(t.Context()); ok || c.Proven() {
		t.Error("a context without caller has one")
	}
}

func TestVerifyToken(t *testing.T) {
	v, mine, other := newVerifier(t), leaf(t), leaf(t)
	p := newPresentation()
	p.bound(mine)
	token := p.sign()
	if _, err := v.VerifyToken(t.Context(), token, mine); err != nil {
		t.Error(err)
	}
	if _, err := v.VerifyToken(t.Context(), token, other); !errors.Is(err, oauth.ReasonCnfMismatch) {
		t.Errorf("another certificate: %v", err)
	}
	if _, err := v.VerifyToken(t.Context(), token, nil); !errors.Is(err, oauth.ReasonCnfMismatch) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := v.VerifyToken(t.Context(), token, mine, "admin"); !errors.Is(err, oauth.InsufficientScope) {
		t.Errorf("scope: %v", err)
	}
	for _, bad := range []string{"", "Bearer " + token, strings.Repeat("a", MaxToken+1), strings.Repeat("a", 1<<20)} {
		if _, err := v.VerifyToken(t.Context(), bad, mine); !errors.Is(err, oauth.InvalidToken) {
			t.Errorf("%.10s: %v", bad, err)
		}
	}
}

func TestExplain(t *testing.T) {
	v := newVerifier(t)
	outcomes := func(e oauth.Explanation) map[string]oauth.Outcome {
		m := map[string]oauth.Outcome{}
		for _, f := range e.Findings {
			m[f.Rule] = f.Outcome
			if f.What == "" || f.Source == "" || f.Expected == "" || (f.Outcome != oauth.NotJudged && f.Presented == "") || (f.Outcome == oauth.Refused) != (f.Reason != "") {
				t.Errorf("an incomplete finding: %+v", f)
			}
		}
		return m
	}
	t.Run("accepted: every rule passed", func(t *testing.T) {
		e := v.Explain(t.Context(), newPresentation().request(), "read")
		if e.Refusal != nil || len(e.Findings) != len(Rules()) {
			t.Errorf("got %v and %d findings", e.Refusal, len(e.Findings))
		}
		for id, o := range outcomes(e) {
			if o != oauth.Passed {
				t.Errorf("%s is %s", id, o)
			}
		}
	})
	t.Run("several faults: all are shown, the first is the refusal", func(t *testing.T) {
		p := newPresentation()
		p.claims["aud"], p.claims["exp"], p.key = "https://x.example", at(-time.Hour), keyOf("", "ES256", "p256b")
		e := v.ExplainToken(t.Context(), p.sign(), nil, "admin")
		m := outcomes(e)
		for _, id := range []string{"AT-8", "AT-4", "GL-12", "LR-3"} {
			if m[id] != oauth.Refused {
				t.Errorf("%s is %s", id, m[id])
			}
		}
		if e.Refusal == nil || e.Refusal.Rule != "AT-8" {
			t.Errorf("the refusal is %v", e.Refusal)
		}
	})
	t.Run("what rests on a missing fact is not judged", func(t *testing.T) {
		p := newPresentation()
		p.claims["iss"] = "https://rogue.example.com"
		m := outcomes(v.ExplainToken(t.Context(), p.sign(), nil))
		for _, id := range []string{"LD-3", "KR-7", "AT-8"} {
			if m[id] != oauth.NotJudged {
				t.Errorf("%s is %s", id, m[id])
			}
		}
		if m["GL-14"] != oauth.Refused || m["AT-4"] != oauth.Passed {
			t.Errorf("got %v", m)
		}
	})
	t.Run("nothing is judged of what is too large", func(t *testing.T) {
		for id, o := range outcomes(v.ExplainToken(t.Context(), strings.Repeat("a", MaxToken+1), nil)) {
			if want := oauth.NotJudged; id != "GL-8" && o != want {
				t.Errorf("%s is %s", id, o)
			}
		}
	})
}

// F18: a refusal for time says how far the clocks are apart.
func TestTimeRefusalNamesTheDistance(t *testing.T) {
	p := newPresentation()
	p.claims["exp"] = at(-90 * time.Second)
	_, err := newVerifier(t).VerifyToken(t.Context(), p.sign(), nil)
	if e := oauth.AsError(err); !strings.Contains(e.Presented, "1m30s ago") || !strings.Contains(e.Expected, "2026-11-21T12:00:00Z") {
		t.Errorf("got %v", err)
	}
}

// A flaw in the list itself must refuse, not pass.
func TestMissingFactRefuses(t *testing.T) {
	s := newVerifier(t).tokenAttempt(newPresentation().sign(), nil, nil)
	short := slices.DeleteFunc(slices.Clone(rules), func(r judge.Rule[*attempt]) bool { return r.ID == "KR-7" })
	if err := judge.FirstRefusal(t.Context(), short, s); !errors.Is(err, oauth.ServerError) {
		t.Errorf("got %v", err)
	}
}
