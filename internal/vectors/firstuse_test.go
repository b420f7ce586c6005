package vectors

import (
	"log/slog"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// firstUseRefusals are those of workloads that register on first use. What they
// depend on is in a store, which no vector has.
func firstUseRefusals(t *testing.T) (said []*oauth.Error) {
	t.Helper()
	pattern := func(s string) svidgate.Pattern {
		p, err := svidgate.ParsePattern("spiffe://example.org" + s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	w := testidentity.New(t)
	server := func(mode registration.Mode) (*registration.Ledger, func(path string)) {
		kept, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { kept.Close() })
		ledger, err := registration.OpenLedger(t.Context(), kept, w.Clock.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		clients, err := w.Registry(t).WithFirstUse([]registration.FirstUse{{
			TrustDomain: spiffeid.RequireTrustDomainFromString("example.org"), Mode: mode, Deny: []svidgate.Pattern{pattern("/ns/ci/legacy/*")},
			Quota:     registration.Quota{MaxClients: 2, Idle: registration.DefaultIdle},
			Templates: []registration.Template{{Name: "ci", Allow: []svidgate.Pattern{pattern("/ns/ci/*")}, Methods: []oauth.AuthMethod{oauth.MethodJWT}}},
		}}, ledger)
		if err != nil {
			t.Fatal(err)
		}
		a := &clientauth.Authenticator{Verifier: w.Verifier, Clients: clients}
		return ledger, func(path string) {
			if _, _, err := a.Authenticate(t.Context(), testidentity.Request(t, testidentity.Assertion("", w.JWT(t, "spiffe://example.org"+path)), nil), nil); err != nil {
				said = append(said, oauth.AsError(err))
			}
		}
	}
	ledger, call := server(registration.OnFirstUse)
	if err := ledger.Block(t.Context(), registration.Block{Subject: "spiffe://example.org/ns/ci/bad", Reason: "it leaked"}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/ns/ci/bad", "/ns/ci/legacy/tool", "/ns/ci/first", "/ns/ci/second", "/ns/ci/third"} {
		call(path)
	}
	_, call = server(registration.OnApproval)
	call("/ns/ci/first")
	return said
}
