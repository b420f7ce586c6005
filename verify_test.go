package svidgate_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

const (
	issuer   = "https://as.example.com"
	endpoint = "https://as.example.com/token"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// A domain is a trust domain and everything that signs in it.
type domain struct{ *devca.Authority }

func newDomain(t testing.TB, name string, opts devca.Options) domain {
	t.Helper()
	if opts.Now == nil {
		opts.Now = atNoon
	}
	a, err := devca.New(name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return domain{a}
}

// snapshot is the domain's bundle as it is published now.
func (d domain) snapshot(t testing.TB) *bundle.Snapshot {
	t.Helper()
	return parseBundle(t, d.TrustDomain(), d.Bundle())
}

func parseBundle(t testing.TB, td spiffeid.TrustDomain, document []byte) *bundle.Snapshot {
	t.Helper()
	s, err := bundle.Parse(td, document, noon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bundles are the bundles at hand; nil stands for one that was never obtained.
type bundles map[spiffeid.TrustDomain]*bundle.Snapshot

func (b bundles) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	s, ok := b[td]
	switch {
	case !ok:
		return nil, bundle.ErrUnknownTrustDomain
	case s == nil:
		return nil, bundle.ErrNotReady
	}
	return s, nil
}

func bundlesOf(t testing.TB, domains ...domain) bundles {
	t.Helper()
	b := bundles{}
	for _, d := range domains {
		b[d.TrustDomain()] = d.snapshot(t)
	}
	return b
}

func newVerifier(t testing.TB, b svidgate.Bundles, change ...func(*svidgate.Config)) *svidgate.Verifier {
	t.Helper()
	c := svidgate.Config{Issuer: issuer, Settings: svidgate.DefaultSettings(), Bundles: b, Now: atNoon}
	for _, f := range change {
		f(&c)
	}
	v, err := svidgate.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A change edits the header and the claims of a JWT-SVID before it is signed.
type change = func(header, claims map[string]any)

// svid is the domain's JWT-SVID for /a and our issuer, with changes.
func (d domain) svid(t testing.TB, changes ...change) string {
	t.Helper()
	token, err := d.JWTSVID("/a", []string{issuer}, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func header(name string, value any) change {
	return func(h, _ map[string]any) { h[name] = value }
}

func claim(name string, value any) change {
	return func(_, c map[string]any) { c[name] = value }
}

func withoutHeader(name string) change {
	return func(h, _ map[string]any) { delete(h, name) }
}

func withoutClaim(name string) change {
	return func(_, c map[string]any) { delete(c, name) }
}

// A want is the outcome of a row: the zero value is acceptance.
type want struct {
	reason oauth.Reason
	rule   string
}

var accepted = want{}

func refused(reason oauth.Reason, rule string) want { return want{reason, rule} }

// A jwtRow is one JWT-SVID and what must become of it.
type jwtRow struct {
	name      string
	assertion string
	want      want
}

// run judges every row at the token endpoint.
func run(t *testing.T, v *svidgate.Verifier, rows []jwtRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			judgeJWT(t, v, svidgate.JWTPresentation{Assertion: row.assertion, EndpointURL: endpoint}, row.want)
		})
	}
}

// judgeJWT verifies and explains an assertion. It fails unless the outcome is
// the wanted one and the explanation tells the same story.
func judgeJWT(t testing.TB, v *svidgate.Verifier, p svidgate.JWTPresentation, w want) svidgate.Identity {
	t.Helper()
	id, err := v.VerifyJWTSVID(context.Background(), p)
	e := v.ExplainJWTSVID(context.Background(), p)
	checkOutcome(t, id, err, w)
	checkExplanation(t, oauth.MethodJWT, err, e)
	if i := strings.LastIndexByte(p.Assertion, '.'); i >= 0 {
		checkHidden(t, p.Assertion[i+1:], err, e)
	}
	return id
}

// judgeX509 does for a chain what judgeJWT does for an assertion.
func judgeX509(t testing.TB, v *svidgate.Verifier, chain []*x509.Certificate, w want) svidgate.Identity {
	t.Helper()
	id, err := v.VerifyX509SVID(context.Background(), chain)
	e := v.ExplainX509SVID(context.Background(), chain)
	checkOutcome(t, id, err, w)
	checkExplanation(t, oauth.MethodX509, err, e)
	return id
}

func checkOutcome(t testing.TB, id svidgate.Identity, err error, w want) {
	t.Helper()
	if id.Proven() != (err == nil) || (err != nil && id != svidgate.Identity{}) {
		t.Errorf("identity %v beside the error %v", id, err)
	}
	if w == accepted {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("accepted as %s, want %s by %s", id.SPIFFEID(), w.reason, w.rule)
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("not an *oauth.Error: %v", err)
	}
	if refusal.Reason != w.reason || refusal.Rule != w.rule {
		t.Errorf("refused with %s by %s, want %s by %s: %v", refusal.Reason, refusal.Rule, w.reason, w.rule, err)
	}
	code := oauth.InvalidClient // ER-4
	switch w.reason {
	case oauth.ReasonTDNotReady:
		code = oauth.Unavailable
	case oauth.ReasonInternal:
		code = oauth.ServerError
	case oauth.ReasonChallengeMissing, oauth.ReasonChallengeBad:
		code = oauth.UseAttestationChallenge
	}
	if refusal.Code != code || !errors.Is(err, code) || !errors.Is(err, w.reason) {
		t.Errorf("ER-4 the code is %s, want %s", refusal.Code, code)
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("AK-31 the error has more than one line: %q", err)
	}
}

// checkExplanation: an explanation lists exactly the method's rules in their
// order, and its first refusal is what verifying returned.
func checkExplanation(t testing.TB, m oauth.AuthMethod, err error, e oauth.Explanation) {
	t.Helper()
	if e.Method != m {
		t.Errorf("explained as %s", e.Method)
	}
	rules := rulesOf(m)
	if len(rules) != len(e.Findings) {
		t.Fatalf("%d findings for %d rules", len(e.Findings), len(rules))
	}
	var first *oauth.Finding
	for i := range e.Findings {
		f := &e.Findings[i]
		if r := rules[i]; f.Rule != r.ID || f.Source != r.Source || f.What != r.What {
			t.Errorf("finding %d is of %s, the rule is %s", i, f.Rule, r.ID)
		}
		if (f.Outcome == oauth.Refused) != (f.Reason != "") {
			t.Errorf("%s is %s with the reason %q", f.Rule, f.Outcome, f.Reason)
		}
		switch f.Outcome {
		case oauth.Refused, oauth.Passed:
			if f.Expected == "" || f.Presented == "" {
				t.Errorf("%s is %s: expected %q, presented %q", f.Rule, f.Outcome, f.Expected, f.Presented)
			}
		case oauth.NotJudged:
			if first == nil {
				t.Errorf("%s is not judged though nothing was refused before it", f.Rule)
			}
		default:
			t.Errorf("%s has the outcome %q", f.Rule, f.Outcome)
		}
		if f.Outcome == oauth.Refused && first == nil {
			first = f
		}
	}
	if (first == nil) != (err == nil) || (e.Refusal == nil) != (err == nil) {
		t.Fatalf("verifying says %v, explaining says %v", err, e.Refusal)
	}
	if err == nil {
		return
	}
	refusal := oauth.AsError(err)
	if first.Rule != refusal.Rule || first.Reason != refusal.Reason || first.Expected != refusal.Expected || first.Presented != refusal.Presented {
		t.Errorf("verifying says %v, the first finding that refuses is %+v", err, *first)
	}
	if e.Refusal.Error() != err.Error() || e.Refusal.Code != refusal.Code {
		t.Errorf("verifying says %v, explaining says %v", err, e.Refusal)
	}
}

func rulesOf(m oauth.AuthMethod) []oauth.RuleInfo {
	var rules []oauth.RuleInfo
	for _, r := range svidgate.Rules() {
		if r.Method == m {
			rules = append(rules, r)
		}
	}
	return rules
}

// checkHidden fails when 16 bytes in a row of secret are in anything an operator
// is shown.
func checkHidden(t testing.TB, secret string, err error, e oauth.Explanation) {
	t.Helper()
	var texts []string
	if err != nil {
		texts = append(texts, err.Error())
	}
	for _, f := range e.Findings {
		texts = append(texts, f.Expected, f.Presented)
	}
	all := strings.Join(texts, "\n")
	for i := 0; i+16 <= len(secret); i++ {
		if strings.Contains(all, secret[i:i+16]) {
			t.Errorf("F50 16 bytes of the signature are shown")
			return
		}
	}
}
