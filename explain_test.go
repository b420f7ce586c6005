package svidgate_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

func TestRules(t *testing.T) {
	seen := map[oauth.AuthMethod]map[string]bool{oauth.MethodJWT: {}, oauth.MethodX509: {}, oauth.MethodWIT: {}}
	order := []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT}
	last := oauth.MethodJWT
	for _, r := range svidgate.Rules() {
		if r.ID == "" || r.Source == "" || r.What == "" {
			t.Errorf("a rule says too little: %+v", r)
		}
		if seen[r.Method] == nil || seen[r.Method][r.ID] {
			t.Fatalf("%s has the rule %s twice, or is no method", r.Method, r.ID)
		}
		seen[r.Method][r.ID] = true
		if slices.Index(order, r.Method) < slices.Index(order, last) {
			t.Error("the rules of the methods are mixed")
		}
		last = r.Method
	}
	for _, m := range order {
		if len(seen[m]) < 20 {
			t.Errorf("%s: %d rules", m, len(seen[m]))
		}
	}
	// The caller cannot change the list.
	svidgate.Rules()[0].ID = "changed"
	if svidgate.Rules()[0].ID == "changed" {
		t.Error("Rules hands out its own list")
	}
}

// Explaining a credential says of every rule what became of it; what depends on a
// fact that is missing is not judged.
func TestExplainFindings(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	b := bundlesOf(t, d)
	waiting := newDomain(t, "waiting.example", devca.Options{})
	b[waiting.TrustDomain()] = nil
	stranger := newDomain(t, "stranger.example", devca.Options{})
	v := newVerifier(t, b)
	explainJWT := func(token string) oauth.Explanation {
		return v.ExplainJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: token, EndpointURL: endpoint})
	}
	explainX509 := func(c chain) oauth.Explanation { return v.ExplainX509SVID(context.Background(), c) }
	for _, c := range []struct {
		name      string
		e         oauth.Explanation
		refused   []string // rules, all that refuse
		notJudged []string // some that must not be
		passed    []string // some that must have passed
	}{
		{"an accepted assertion", explainJWT(d.svid(t)), nil, nil, []string{"GL-8", "JS-12", "CJ-6"}},
		{"no assertion", explainJWT("x"), []string{"JS-1", "JS-20"}, []string{"JS-2", "SI-1", "JS-13", "JS-12", "CJ-5", "CJ-6"}, []string{"GL-8"}},
		{"an assertion too large", explainJWT(strings.Repeat("x", oauth.MaxJWT+1)), []string{"GL-8", "JS-1", "JS-20"}, []string{"JS-2", "CJ-6"}, nil},
		{"a wrong type, and everything else right", explainJWT(d.svid(t, header("typ", "at+jwt"))), []string{"JS-4"}, nil, []string{"JS-2", "JS-12", "CJ-6"}},
		{"three faults at once", explainJWT(flipped(d.svid(t, header("typ", "at+jwt"), claim("aud", "x")))), []string{"JS-4", "JS-12", "CJ-6"}, nil, []string{"JS-15", "CJ-5"}},
		{"a kid of nobody", explainJWT(d.svid(t, header("kid", "x"))), []string{"JS-15"}, []string{"JS-3", "JS-12"}, []string{"CJ-5", "CJ-6"}},
		{"two audiences", explainJWT(d.svid(t, claim("aud", []string{"a", "b"}))), []string{"EC-4"}, []string{"CJ-6"}, []string{"JS-8", "JS-12"}},
		{"no exp", explainJWT(d.svid(t, withoutClaim("exp"))), []string{"JS-9"}, []string{"CJ-5", "JS-19"}, []string{"JS-12", "CJ-6"}},
		{"an unknown trust domain", explainJWT(stranger.svid(t)), []string{"JS-13"}, []string{"GL-15", "BE-15", "BU-12", "JS-12"}, []string{"CJ-5", "CJ-6"}},
		{"a trust domain that is not ready", explainJWT(waiting.svid(t)), []string{"GL-15"}, []string{"BE-15", "BU-12", "JS-12"}, []string{"JS-13", "CJ-6"}},
		{"no SPIFFE ID", explainJWT(d.svid(t, claim("sub", "https://example.org"))), []string{"SI-1", "SI-10", "SI-3", "SI-12"}, []string{"JS-13", "JS-12", "CJ-6"}, []string{"SI-4"}},

		{"an accepted certificate", explainX509(d.chain(t)), nil, nil, []string{"CX-1", "XS-1", "XS-10", "XS-14"}},
		{"no certificate", explainX509(nil), []string{"CX-1"}, []string{"XS-1", "XS-3", "XS-10"}, nil},
		{"two URI names, the first goes on", explainX509(d.chain(t, rawURIs("spiffe://example.org/a", "spiffe://example.org/b"))), []string{"XS-1"}, nil, []string{"SI-1", "XS-10", "XS-14"}},
		{"a certificate of an unknown trust domain", explainX509(stranger.chain(t)), []string{"JS-13"}, []string{"GL-15", "XS-10", "XS-14"}, []string{"XS-22"}},
		{"a certificate of a trust domain that is not ready", explainX509(waiting.chain(t)), []string{"GL-15"}, []string{"BU-12", "XS-10"}, []string{"JS-13"}},
		{"server only and key usage wrong", explainX509(d.chain(t, func(c *x509.Certificate) {
			c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, c.ExtKeyUsage[:1]
		})), []string{"XS-4", "XS-5", "XS-7"}, nil, []string{"XS-3", "XS-10"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcomes := map[string]oauth.Outcome{}
			var refusing []string
			for _, f := range c.e.Findings {
				outcomes[f.Rule] = f.Outcome
				if f.Outcome == oauth.Refused {
					refusing = append(refusing, f.Rule)
				}
			}
			if strings.Join(refusing, " ") != strings.Join(c.refused, " ") {
				t.Errorf("refused by %v, want %v", refusing, c.refused)
			}
			for _, id := range c.notJudged {
				if outcomes[id] != oauth.NotJudged {
					t.Errorf("%s is %s", id, outcomes[id])
				}
			}
			for _, id := range c.passed {
				if outcomes[id] != oauth.Passed {
					t.Errorf("%s is %s", id, outcomes[id])
				}
			}
		})
	}
}

// Nothing that a stranger writes can put a line of its own into what an operator
// reads, and nothing of it is shown at any length.
func TestExplainShowsInputSafely(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	evil := "x\n{\"msg\":\"granted\"}\x1b[2J\u202e" + strings.Repeat("y", 4000)
	for name, token := range map[string]string{
		"alg": d.svid(t, header("alg", evil)), "typ": d.svid(t, header("typ", evil)), "kid": d.svid(t, header("kid", evil)),
		"a header's name": d.svid(t, header(evil, 1)), "sub": d.svid(t, claim("sub", evil)), "aud": d.svid(t, claim("aud", evil)),
		"aud in an array": d.svid(t, claim("aud", []string{evil, evil})), "exp": d.svid(t, claim("exp", evil)), "nbf": d.svid(t, claim("nbf", evil)),
		"an SPIFFE ID": d.svid(t, claim("sub", "spiffe://example.org/"+evil)), "jti": d.svid(t, claim("jti", evil)),
	} {
		p := svidgate.JWTPresentation{Assertion: token, EndpointURL: endpoint}
		id, err := v.VerifyJWTSVID(context.Background(), p)
		texts := []string{id.TokenID()}
		if err != nil {
			texts = append(texts, err.Error())
		}
		for _, f := range v.ExplainJWTSVID(context.Background(), p).Findings {
			texts = append(texts, f.Expected, f.Presented)
		}
		for _, text := range texts {
			if strings.ContainsAny(text, "\n\r\x1b\u202e\"") || len(text) > 1000 {
				t.Errorf("AK-31 %s: %q", name, text)
			}
		}
	}
	evilChain := d.chain(t, rawURIs("spiffe://example.org/a"), func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames = evil, nil
	})
	sameName := devca.Options{MutateRoot: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: evil} }}
	stranger, namesake := newDomain(t, "example.org", sameName), newDomain(t, "example.org", sameName)
	for name, c := range map[string]chain{
		"a subject": evilChain, "an issuer": append(stranger.chain(t), stranger.Roots()[0]),
		"a candidate": append(stranger.chain(t), namesake.Roots()[0]), // crypto/x509 names it in its error
	} {
		_, err := v.VerifyX509SVID(context.Background(), c)
		texts := []string{}
		if err != nil {
			texts = append(texts, err.Error())
		}
		for _, f := range v.ExplainX509SVID(context.Background(), c).Findings {
			texts = append(texts, f.Expected, f.Presented)
		}
		for _, text := range texts {
			if strings.ContainsAny(text, "\n\r\x1b\u202e\"") || len(text) > 1000 {
				t.Errorf("AK-31 %s: %d bytes, %.300q", name, len(text), text)
			}
		}
	}
}
