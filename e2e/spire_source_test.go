//go:build spire

package e2e

import (
	"fmt"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/svidgate/svidgate/oauth"
)

// AV-1, CL-4, BU-18, BU-19, JS-13: a server that is a workload of alpha.test takes both
// bundles from its agent, its own and the federated one, and follows what beta.test
// does to its keys. A trust domain that the agent knows and the configuration does
// not is unknown.
func (f *federation) source(t *testing.T) {
	entry := func(d *spire) string {
		return fmt.Sprintf("  %s: {workload_api: {address: %q}, refresh: {min: 1s, max: 2s}}\n", d.name, f.alpha.address("agent"))
	}
	s := startReachable(t, spireConfig(f.alphaClients()+f.betaClients(), entry(f.alpha)+entry(f.beta)))
	only := startReachable(t, spireConfig(f.alphaClients(), entry(f.alpha)))
	one, far, farther := f.alpha.identity(t, "agent", "/client/one"), f.beta.identity(t, "agent", "/client/far"), f.beta.identity(t, "agent", "/client/farther")

	for _, i := range []*identity{one, far} {
		s.granted(t, i.asksWith(i.jwt(t, s.issuer)))
		s.granted(t, i.shows(i.certificate(t)))
	}
	only.granted(t, one.asksWith(one.jwt(t, only.issuer)))
	only.granted(t, one.shows(one.certificate(t)))
	only.refused(t, one.asksWith(far.jwt(t, only.issuer)), refusal{"invalid_client", oauth.ReasonTDUnknown, "JS-13"})
	only.refused(t, one.shows(far.certificate(t)), refusal{"invalid_client", oauth.ReasonTDUnknown, "JS-13"})

	// beta.test rotates, and then withdraws. Its own pace of federation, a minute, is
	// not what is tested.
	hears := func(kid string, want bool) {
		t.Helper()
		f.alpha.ctl(t, "federation", "refresh", "-id", "spiffe://"+f.beta.name)
		until(t, "the bundle of "+f.beta.name+" at the agent of "+f.alpha.name, func() bool {
			bundles, err := workloadapi.FetchJWTBundles(t.Context(), workloadapi.WithAddr(f.alpha.address("agent")))
			if err != nil {
				t.Fatal(err)
			}
			b, ok := bundles.Get(spiffeid.RequireTrustDomainFromString(f.beta.name))
			return ok && b.HasJWTAuthority(kid) == want
		})
	}
	before := far.asksWith(far.jwt(t, s.issuer))
	old := f.beta.authority(t, "jwt", "show", "")
	prepared := f.beta.authority(t, "jwt", "prepare", "")
	hears(prepared, true)
	f.beta.authority(t, "jwt", "activate", prepared)
	token := farther.jwt(t, s.issuer)
	if jwtKeyID(t, before.form.Get("client_assertion")) != old || jwtKeyID(t, token) != prepared {
		t.Fatalf("signed by %s, not %s", jwtKeyID(t, token), prepared)
	}
	s.granted(t, farther.asksWith(token))
	s.granted(t, before)

	f.beta.authority(t, "jwt", "taint", old)
	f.beta.authority(t, "jwt", "revoke", old)
	hears(old, false)
	s.dial(t, "public", tlsConfig("public", nil)).refusedSoon(t, before, refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"})
	s.granted(t, farther.asksWith(token))
	s.granted(t, one.asksWith(one.jwt(t, s.issuer)))
}
