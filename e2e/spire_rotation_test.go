//go:build spire

package e2e

import (
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// A withdrawn key counts until the next poll: refresh.max, here 2 s whatever the
// hint of the bundle, and its jitter (BU-16, BE-20). The rest is for a machine that
// has more to do, and is still far from the hint.
const (
	pollBound = 2200 * time.Millisecond
	pollSlack = 10 * time.Second
)

// refusedSoon repeats a call until it is refused, which must be in time and in this
// way.
func (conn *connection) refusedSoon(t *testing.T, c call, want refusal) {
	t.Helper()
	began := time.Now()
	for {
		a := conn.do(t, c)
		took := time.Since(began)
		if a.status != http.StatusOK {
			t.Logf("refused after %v", took.Round(time.Millisecond))
			break
		}
		if took > pollBound+pollSlack {
			t.Fatalf("still granted after %v", took)
		}
		time.Sleep(50 * time.Millisecond)
	}
	conn.refused(t, c, want)
}

// F1, F3, F4: authorities are rotated and withdrawn by an operator's hand, behind
// an endpoint whose hint is minutes. Each server here asks for the bundle in
// another way: every two seconds, only when it needs to, by a file.
func TestSpireRotation(t *testing.T) {
	t.Parallel()
	d := newSPIRE(t, "rotation.test", spireOptions{hint: 5 * time.Minute})
	d.agent(t, "agent", spireEntry{path: "/a"}, spireEntry{path: "/b"}, spireEntry{path: "/c"}, spireEntry{path: "/x"})
	clients := d.clients("/a", "/b", "/c", "/x")
	polling := start(t, spireConfig(clients, d.viaEndpoint("2s", "")))
	onDemand := func(t *testing.T) *server {
		t.Helper()
		return start(t, "log: {level: info}\n"+spireConfig(clients, "  rotation.test: {spiffe_bundle_endpoint: {url: \""+d.url+"\", ca_file: ca.pem}, refresh: {min: 1h, max: 1h}}\n"))
	}

	t.Run("JWT authority", func(t *testing.T) {
		onDemand := onDemand(t)
		d.export(t)
		byFile := start(t, spireConfig(clients, d.viaFile()))
		renew := func() {
			d.export(t)
			byFile.sequence(t, &domain{name: d.name}, d.newest(t))
		}
		unknown := refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"}
		everywhere := func(c call) {
			t.Helper()
			for _, s := range []*server{polling, onDemand, byFile} {
				s.granted(t, c)
			}
		}
		// One JWT-SVID of each workload is with the agent from here on.
		a, b, c := d.identity(t, "agent", "/a"), d.identity(t, "agent", "/b"), d.identity(t, "agent", "/c")
		before := a.asksWith(a.jwt(t, issuer))
		old := d.authority(t, "jwt", "show", "")
		if kid := jwtKeyID(t, before.form.Get("client_assertion")); kid != old {
			t.Fatalf("signed by %s, not %s", kid, old)
		}
		everywhere(before)

		// The first token with a new key, on a server that has never seen the key.
		prepared := d.authority(t, "jwt", "prepare", "")
		d.authority(t, "jwt", "activate", prepared)
		token := b.jwt(t, issuer)
		if kid := jwtKeyID(t, token); kid != prepared {
			t.Fatalf("signed by %s, not %s", kid, prepared)
		}
		first := b.asksWith(token)
		onDemand.granted(t, first)
		polling.granted(t, first)
		byFile.refused(t, first, unknown) // AV-2: nobody else renews a file
		renew()
		everywhere(first)
		everywhere(before)

		// Tainting is between SPIRE's own parts: the agent throws away what it has.
		d.authority(t, "jwt", "taint", old)
		until(t, "a JWT-SVID by the new key in place of the old", func() bool { return jwtKeyID(t, a.jwt(t, issuer)) == prepared })
		after := a.asksWith(a.jwt(t, issuer))
		everywhere(after)
		everywhere(before)

		conn := polling.dial(t, "public", tlsConfig("public", nil))
		conn.granted(t, before)
		d.authority(t, "jwt", "revoke", old)
		conn.refusedSoon(t, before, unknown)
		for _, s := range []*server{onDemand, byFile} {
			s.granted(t, before) // their bounds are an hour, and the operator
		}
		renew()
		byFile.refused(t, before, unknown)
		everywhere(after)
		everywhere(first)
		everywhere(c.asksWith(c.jwt(t, issuer)))
	})

	t.Run("X.509 authority", func(t *testing.T) {
		onDemand := onDemand(t)
		x := d.identity(t, "agent", "/x")
		oldCert := x.certificate(t)
		before := x.shows(oldCert)
		kept := polling.dial(t, "mtls", tlsConfig("mtls", oldCert))
		kept.granted(t, before)
		onDemand.granted(t, before)
		old := d.authority(t, "x509", "show", "")
		if id := hex.EncodeToString(oldCert.Leaf.AuthorityKeyId); id != old {
			t.Fatalf("signed by %s, not %s", id, old)
		}

		prepared := d.authority(t, "x509", "prepare", "")
		d.authority(t, "x509", "activate", prepared)
		d.authority(t, "x509", "taint", old)
		until(t, "an X.509-SVID by the new authority", func() bool {
			// Between the two the agent may for a moment offer some identities and not
			// this one, which withdraws it (CL-4).
			svid, err := x.GetX509SVID()
			return err == nil && hex.EncodeToString(svid.Certificates[0].AuthorityKeyId) == prepared
		})
		after := x.shows(x.certificate(t))
		onDemand.granted(t, after)
		polling.sequence(t, &domain{name: d.name}, d.newest(t)) // BE-17: it has just asked for the JWT key
		for _, s := range []*server{polling, onDemand} {
			s.granted(t, after)
			s.granted(t, before)
		}

		kept.granted(t, before)
		d.authority(t, "x509", "revoke", old)
		chainBad := refusal{"invalid_client", oauth.ReasonCertChainBad, "XS-10"}
		kept.refusedSoon(t, before, chainBad) // XS-22
		polling.refused(t, before, chainBad)
		onDemand.granted(t, before)
		for _, s := range []*server{polling, onDemand} {
			s.granted(t, after)
		}
		// SPIRE has survived it, too.
		polling.granted(t, x.asksWith(x.jwt(t, issuer)))
	})
}
