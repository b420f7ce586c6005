//go:build spire

package e2e

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/oauth"
)

// viaSPIFFE is the trust domain by its bundle endpoint that is known by its SPIFFE ID,
// at first by the bundle in a file.
func (d *spire) viaSPIFFE(id, initial string) string {
	return fmt.Sprintf("  %s:\n    spiffe_bundle_endpoint: {url: %q, profile: https_spiffe, endpoint_spiffe_id: %q, initial_bundle_file: %q}\n    refresh: {min: 1s, max: 2s}\n",
		d.name, d.url, d.id(id), initial)
}

// BE-4, BE-6, BE-7: SPIRE's own endpoint with the profile https_spiffe, over a rotation
// of the CA that it is known by.
func TestSpireEndpointBySPIFFEID(t *testing.T) {
	t.Parallel()
	const server = "/spire/server"
	d := newSPIRE(t, "known.test", spireOptions{httpsSPIFFE: true, hint: 2 * time.Second})
	d.agent(t, "agent", spireEntry{path: "/a"}, spireEntry{path: "/b"})
	clients := d.clients("/a", "/b")
	d.write(t, "initial.json", d.document(t))
	a, b := d.identity(t, "agent", "/a"), d.identity(t, "agent", "/b")
	call := a.asksWith(a.jwt(t, issuer))

	s := start(t, spireConfig(clients, d.viaSPIFFE(server, d.path("initial.json"))))
	s.sequence(t, &domain{name: d.name}, d.newest(t))
	s.granted(t, call)
	s.granted(t, a.shows(a.certificate(t)))

	// Whoever else the endpoint is, and whatever vouches for it, it is not that one.
	notKnown := func(why, domain string) {
		t.Helper()
		other := start(t, "log: {level: info}\n"+spireConfig(clients, domain))
		other.refused(t, call, refusal{"(unavailable)", oauth.ReasonTDNotReady, "GL-15"})
		until(t, "a line of the log that says "+why, func() bool {
			return slices.ContainsFunc(other.log.find(t, "trust_domain", d.name), func(l line) bool { return strings.Contains(l.text("error"), why) })
		})
	}
	notKnown("(BE-6)", d.viaSPIFFE("/spire/other", d.path("initial.json")))
	notKnown("x509: ", d.viaEndpoint("2s", "")) // BE-4: nobody tries the other profile

	old := d.authority(t, "x509", "show", "")
	prepared := d.authority(t, "x509", "prepare", "")
	s.sequence(t, &domain{name: d.name}, d.newest(t)) // it has the next CA before it is used
	d.authority(t, "x509", "activate", prepared)
	d.authority(t, "x509", "taint", old)
	until(t, "an X.509-SVID by the new authority", func() bool {
		svid, err := a.GetX509SVID()
		return err == nil && hex.EncodeToString(svid.Certificates[0].AuthorityKeyId) == prepared
	})
	d.authority(t, "x509", "revoke", old)
	until(t, "an endpoint that SPIRE serves with an SVID by the new authority", func() bool {
		now, err := bundle.Parse(spiffeid.RequireTrustDomainFromString(d.name), d.document(t), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		e, err := bundle.NewEndpoint(bundle.EndpointConfig{URL: d.url, Profile: bundle.ProfileHTTPSSPIFFE, SPIFFE: bundle.SPIFFEServer{
			ID: spiffeid.RequireFromString(d.id(server)), Initial: now, Verify: svidgate.VerifyServerX509SVID,
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Fetch(t.Context())
		return err == nil
	})
	s.sequence(t, &domain{name: d.name}, d.newest(t)) // fetched by the CA that it learnt of
	s.granted(t, a.shows(a.certificate(t)))

	// The bundle that it was known by at first knows it no longer, but the server does,
	// also after a restart; and one that begins with the bundle of today.
	notKnown("(XS-10)", d.viaSPIFFE(server, d.path("initial.json")))
	s.stop(t)
	s.run(t)
	d.authority(t, "jwt", "activate", d.authority(t, "jwt", "prepare", ""))
	s.sequence(t, &domain{name: d.name}, d.newest(t))
	s.granted(t, b.asksWith(b.jwt(t, issuer)))
	d.write(t, "today.json", d.document(t))
	anew := start(t, spireConfig(clients, d.viaSPIFFE(server, d.path("today.json"))))
	anew.sequence(t, &domain{name: d.name}, d.newest(t))
	anew.granted(t, b.asksWith(b.jwt(t, issuer)))
}
