package vectors

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// afterRefresh is the one reason that no vector gives, since nothing is fetched in
// them: the same rule refuses with the same texts as for kid_unknown.
const afterRefresh = oauth.ReasonKIDUnknownAfterRefresh

// elsewhere are the reasons for which no vector can refuse, because what they are
// about is in the store: internal/authorization has the test of their examples.
var elsewhere = []oauth.Reason{
	oauth.ReasonRedirectURIMismatch, oauth.ReasonResponseTypeUnsupported, oauth.ReasonCodeChallengeBad, oauth.ReasonRequestURIUnknown, oauth.ReasonPARRequired,
	oauth.ReasonCodeUnknown, oauth.ReasonCodeExpired, oauth.ReasonCodeReused, oauth.ReasonCodeVerifierBad,
	oauth.ReasonRefreshTokenUnknown, oauth.ReasonRefreshTokenExpired, oauth.ReasonRefreshTokenReused, oauth.ReasonGrantNotYours, oauth.ReasonGrantRevoked,
	// And these because there is a person in them: e2e has the test.
	oauth.ReasonPasswordWrong, oauth.ReasonLoginExpired, oauth.ReasonCrossOrigin, oauth.ReasonProviderUnavailable, oauth.ReasonProviderAnswerBad,
	oauth.ReasonProviderRefused, oauth.ReasonIDTokenBad, oauth.ReasonUserNotAllowed, oauth.ReasonConsentDenied,
}

// The examples of docs/reason-codes.md are what the rules say: each is the refusal
// of some vector, word for word.
func TestReasonExamples(t *testing.T) {
	said := map[refusal]bool{}
	for _, f := range readFiles(t) {
		f.told = func(r refusal) { said[r] = true }
		switch f.Family {
		case "jwt-svid", "wit-svid", "x509-svid", "access-token", "token-request":
			for _, v := range f.Vectors {
				families[f.Family](t, f, v.Input)
			}
		}
	}
	if len(said) == 0 {
		t.Fatal("no vector refuses")
	}
	// No vector breaks a disk.
	e := store.Refuse(store.ErrUnavailable)
	said[refusal{string(e.Reason), e.Rule, e.Expected, e.Presented}] = true
	// Nor does one introspect.
	for _, err := range notActive(t) {
		e := oauth.AsError(err)
		said[refusal{string(e.Reason), e.Rule, e.Expected, e.Presented}] = true
	}
	for _, e := range firstUseRefusals(t) {
		said[refusal{string(e.Reason), e.Rule, e.Expected, e.Presented}] = true
	}
	for _, text := range oauth.ReasonTexts() {
		if slices.Contains(elsewhere, text.Reason) {
			continue
		}
		reason, e := text.Reason, reasonexample.Of(text.Reason)
		if reason == afterRefresh {
			reason = oauth.ReasonKIDUnknown
		}
		if said[refusal{string(reason), e.Rule, e.Expected, e.Presented}] {
			continue
		}
		var others []string
		for r := range said {
			if r.reason == string(reason) {
				others = append(others, fmt.Sprintf("%s: expected %s, presented %s", r.rule, r.expected, r.presented))
			}
		}
		slices.Sort(others)
		t.Errorf("no vector refuses for %s as the example says; these do:\n%s", text.Reason, strings.Join(others, "\n"))
	}
}

// notActive are the refusals of a token that is another API's, and of one whose
// workload's tokens were revoked.
func notActive(t *testing.T) []error {
	t.Helper()
	const billing = "spiffe://example.org/billing"
	w := testidentity.New(t)
	ring, err := keys.Open(keys.Config{File: filepath.Join(t.TempDir(), "keys.json"), Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	list, err := revocation.Open(t.Context(), revocation.Config{Store: kept, Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	signer := ring.Signer()
	token, err := jose.Sign(signer.Algorithm, signer.Key, fmt.Appendf(nil, `{"typ":"at+jwt","alg":%q,"kid":%q}`, signer.Algorithm, signer.KeyID),
		fmt.Appendf(nil, `{"iss":%q,"sub":%q,"aud":"https://api.example.com/","client_id":%q,"iat":%d,"exp":%d,"jti":"j"}`,
			testidentity.Issuer, billing, billing, testidentity.Noon.Unix(), testidentity.Noon.Unix()+300))
	if err != nil {
		t.Fatal(err)
	}
	caller := w.Caller(t, registration.Metadata{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}},
		testidentity.Request(t, testidentity.Assertion(billing, w.JWT(t, billing)), nil))
	granted, err := authorization.NewGrants(authorization.GrantsConfig{
		Records: kept.Authorizations(), Policy: policy.New(policy.Config{}), LongestToken: 5 * time.Minute, Now: w.Clock.Now,
		Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(may string) error {
		in, err := introspection.New(introspection.Config{
			Tokens: introspection.NewTokens(testidentity.Issuer, ring, w.Clock.Now), Revocations: list, Grants: granted, Blocked: func(string, spiffeid.ID) bool { return false }, Introspects: map[string][]string{billing: {may}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = in.Introspect(t.Context(), caller, token)
		return err
	}
	foreign := ask("https://books.example.com/")
	if err := ask("https://api.example.com/"); err != nil {
		t.Fatal(err)
	}
	if err := list.Revoke(t.Context(), revocation.Entry{
		Kind: revocation.SPIFFEID, Value: billing, Before: w.Clock.Now(), Expires: w.Clock.Now().Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	return []error{foreign, ask("https://api.example.com/")}
}
