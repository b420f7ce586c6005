package vectors

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/oauth"
)

// What explaining says of a vector is what judging it says: the same verdict, for
// the same reason, by the same rule.
func TestExplainAgrees(t *testing.T) {
	compared := map[string]int{}
	for _, f := range readFiles(t) {
		explain := explained[f.Family]
		if explain == nil {
			continue
		}
		for _, v := range f.Vectors {
			t.Run(v.ID, func(t *testing.T) {
				e, ok := explain(t, f, v)
				if !ok {
					return
				}
				compared[f.Family]++
				got := expectation{Outcome: accepted}
				if e != nil {
					got = expectation{Outcome: refused, Reason: string(e.Reason), Rule: e.Rule}
				}
				want := expectation{Outcome: v.Expect.Outcome, Reason: v.Expect.Reason, Rule: v.Expect.Rule}
				if got != want {
					t.Errorf("%s\nexplained %+v\njudged    %+v", v.About, got, want)
				}
			})
		}
	}
	for family, least := range map[string]int{"jwt-svid": 60, "wit-svid": 90, "x509-svid": 45, "token-request": 20} {
		if compared[family] < least {
			t.Errorf("%s: %d vectors were compared", family, compared[family])
		}
	}
}

// explained says what explaining the input of a vector comes to; false where the
// vector is about something else than a credential.
var explained = map[string]func(*testing.T, *file, *vector) (*oauth.Error, bool){
	"jwt-svid":      explainJWTSVID,
	"wit-svid":      explainWITSVID,
	"x509-svid":     explainX509SVID,
	"token-request": explainTokenRequest,
}

func explainJWTSVID(t *testing.T, f *file, v *vector) (*oauth.Error, bool) {
	var in struct {
		Context   string `json:"context"`
		Assertion string `json:"assertion"`
	}
	read(t, v.Input, &in)
	var c verifierContext
	f.context(t, in.Context, &c)
	verifier := f.verifier(t, c, func() time.Time { return f.Now })
	e := verifier.ExplainJWTSVID(t.Context(), svidgate.JWTPresentation{Assertion: in.Assertion, EndpointURL: c.EndpointURL})
	return e.Refusal, true
}

func explainX509SVID(t *testing.T, f *file, v *vector) (*oauth.Error, bool) {
	var in struct {
		Context      string   `json:"context"`
		Certificates [][]byte `json:"certificates"`
	}
	read(t, v.Input, &in)
	var c verifierContext
	f.context(t, in.Context, &c)
	verifier := f.verifier(t, c, func() time.Time { return f.Now })
	return verifier.ExplainX509SVID(t.Context(), certificates(t, in.Certificates)).Refusal, true
}

// explainTokenRequest takes the one credential out of a request. Vectors about the
// shape of a request, about two credentials, about limits and about what a client
// may have are not about one.
func explainTokenRequest(t *testing.T, f *file, v *vector) (*oauth.Error, bool) {
	var in struct {
		Context  string         `json:"context"`
		Requests []requestInput `json:"requests"`
	}
	read(t, v.Input, &in)
	var c serverContext
	f.context(t, in.Context, &c)
	last := in.Requests[len(in.Requests)-1]
	form, err := url.ParseQuery(last.Body)
	if err != nil || last.Method != http.MethodPost || v.Expect.Outcome == refused && !oneCredentialRules[v.Expect.Rule] || v.Expect.Reason == string(oauth.ReasonRequestTooLarge) {
		return nil, false
	}
	chain := f.chain(t, last.Chain)
	assertion := form.Get(oauth.ParamClientAssertion)
	kind := form.Get(oauth.ParamClientAssertionType)
	bare := assertion == "" && kind == ""
	if bare == (len(chain) == 0) || !bare && kind != oauth.ClientAssertionTypeJWTSPIFFE || form.Has(oauth.ParamClientSecret) || hasCredentialHeader(last.Headers) {
		return nil, false
	}
	now := func() time.Time { return f.Now }
	verifier := f.verifier(t, c.verifierContext, now)
	clients, _, _ := registered(t, c, verifier.Profile)
	a := &clientauth.Authenticator{Verifier: verifier, Clients: clients, SingleUse: map[spiffeid.TrustDomain]bool{}, Used: replay.New(1000, now)}
	for name, td := range c.TrustDomains {
		a.SingleUse[spiffeid.RequireTrustDomainFromString(name)] = td.SingleUse
	}
	base := c.Issuer
	if last.Listener == "mtls" {
		base = c.MTLSURL
	}
	q := clientauth.Question{
		Assertion: assertion, EndpointURL: strings.TrimSuffix(base, "/") + oauth.PathToken,
		ClientID: form.Get(oauth.ParamClientID), ClientIDSaid: true,
	}
	if bare {
		q.Certificates = chain
	}
	if len(in.Requests) > 1 || last.Times > 1 { // used before, by the first of them
		if v.Expect.Rule != "CJ-13" {
			return nil, false
		}
		useOf(t, a, q)
	}
	answer := a.Explain(t.Context(), q)
	return answer.Refusal, true
}

// useOf marks a JWT-SVID as the server does once it accepted it.
func useOf(t *testing.T, a *clientauth.Authenticator, q clientauth.Question) {
	t.Helper()
	identity, err := a.Verifier.VerifyJWTSVID(t.Context(), svidgate.JWTPresentation{Assertion: q.Assertion, EndpointURL: q.EndpointURL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Used.Use("a", identity.UseDigest(), identity.ExpiresAt()); err != nil {
		t.Fatal(err)
	}
}

// oneCredentialRules are all that explaining judges.
var oneCredentialRules = func() map[string]bool {
	ids := map[string]bool{}
	for _, r := range clientauth.Rules() {
		ids[r.ID] = true
	}
	return ids
}()

func hasCredentialHeader(headers [][2]string) bool {
	for _, h := range headers {
		for _, name := range []string{"Authorization", oauth.HeaderClientAttestation, oauth.HeaderClientAttestationPoP} {
			if strings.EqualFold(h[0], name) {
				return true
			}
		}
	}
	return false
}

// An explanation of any vector lists the same rules in the same order, and says
// nothing that could be a credential.
func TestExplainListsEveryRule(t *testing.T) {
	for _, f := range readFiles(t) {
		if f.Family != "jwt-svid" {
			continue
		}
		for _, v := range f.Vectors {
			var in struct {
				Context   string `json:"context"`
				Assertion string `json:"assertion"`
			}
			read(t, v.Input, &in)
			var c verifierContext
			f.context(t, in.Context, &c)
			a := &clientauth.Authenticator{Verifier: f.verifier(t, c, func() time.Time { return f.Now })}
			answer := a.Explain(t.Context(), clientauth.Question{Assertion: in.Assertion, EndpointURL: c.EndpointURL})
			var want []string
			for _, r := range clientauth.Rules() {
				// What is asked of nobody here: first use is on in no vector.
				if (r.Method == "" || r.Method == oauth.MethodJWT) && !slices.Contains([]string{"RU-2", "RF-12", "RU-3", "RU-8", "RU-6", "RU-5"}, r.ID) {
					want = append(want, r.ID)
				}
			}
			var got []string
			for _, finding := range answer.Findings {
				got = append(got, finding.Rule)
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Fatalf("%s: rules %v, want %v", v.ID, got, want)
			}
			text, err := json.Marshal(answer.Findings)
			if err != nil {
				t.Fatal(err)
			}
			if parts := strings.Split(in.Assertion, "."); len(parts) == 3 && len(parts[2]) > 20 && bytes.Contains(text, []byte(parts[2])) {
				t.Errorf("AU-2 %s: the signature is in the explanation", v.ID)
			}
		}
	}
}
