package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// Shows d: the chain is judged at every request, not at the handshake. A CA that
// leaves the bundle is worth nothing at the next request of an open connection
// (XS-22) and of a resumed one (XS-21), and nobody else notices.
func TestCARemoved(t *testing.T) {
	t.Parallel()
	for _, source := range []struct {
		name string
		make func(*testing.T, string, devca.Options) *domain
	}{{"bundle endpoint", newDomain}, {"bundle file", newFileDomain}} {
		t.Run(source.name, func(t *testing.T) {
			td := source.make(t, "example.org", devca.Options{Intermediate: true})
			s := start(t, worldConfig, td)
			old := td.Roots()[0]
			gone := td.svid(t, "/orders")
			if err := td.RotateX509(); err != nil {
				t.Fatal(err)
			}
			td.publish(t)
			s.sequence(t, td, td.Sequence())
			stays := td.svid(t, "/orders")

			// Two kept connections, and two whose sessions are for resuming.
			ask := call{form: form("client_id", td.id("/orders"))}
			resumable := func(cert *tls.Certificate) *tls.Config {
				config := tlsConfig("mtls", cert)
				config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				return config
			}
			goneConfig, staysConfig := resumable(gone), resumable(stays)
			goneKept, staysKept := s.dial(t, "mtls", tlsConfig("mtls", gone)), s.dial(t, "mtls", tlsConfig("mtls", stays))
			goneKept.granted(t, ask)
			staysKept.granted(t, ask)
			for _, config := range []*tls.Config{goneConfig, staysConfig} {
				for i := range 2 {
					conn := s.dial(t, "mtls", config)
					conn.granted(t, ask)
					if conn.ConnectionState().DidResume != (i == 1) {
						t.Fatalf("connection %d: DidResume %t", i, i != 1)
					}
					conn.Close()
				}
			}

			if err := td.RemoveRoot(old); err != nil {
				t.Fatal(err)
			}
			td.publish(t)
			s.sequence(t, td, td.Sequence())

			chainBad := refusal{"invalid_client", oauth.ReasonCertChainBad, "XS-10"}
			goneKept.refused(t, ask, chainBad)
			goneKept.refused(t, ask, chainBad)
			staysKept.granted(t, ask)
			conn := s.dial(t, "mtls", goneConfig)
			if !conn.ConnectionState().DidResume {
				t.Error("XS-21 the connection was not resumed, so it shows nothing")
			}
			conn.refused(t, ask, chainBad)
			conn = s.dial(t, "mtls", staysConfig)
			if !conn.ConnectionState().DidResume {
				t.Error("the untouched connection was not resumed")
			}
			conn.granted(t, ask)
			// A refused connection is open still: it is the certificate that is bad.
			if a := goneKept.do(t, call{method: http.MethodGet, target: oauth.PathJWKS}); a.status != http.StatusOK {
				t.Errorf("status %d", a.status)
			}
		})
	}
}

// XS-22, MT-7: a certificate that ends while its connection is open, or rests,
// ends the authentication with it.
func TestCertificateEnds(t *testing.T) {
	t.Parallel()
	c := &clock{}
	td := newDomain(t, "example.org", devca.Options{Now: c.now})
	w := &world{startAt(t, c, worldConfig, td), td}
	end := c.now().Add(2 * time.Minute).Truncate(time.Second)
	cert := td.svid(t, "/orders", func(c *x509.Certificate) { c.NotAfter = end })
	config := tlsConfig("mtls", cert)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	ask := call{form: form("client_id", w.td.id("/orders"))}
	kept := w.dial(t, "mtls", config)
	g := kept.granted(t, ask)
	if g.number("exp") > end.Unix() {
		t.Errorf("MT-4 the token lives until %d, its certificate until %d", g.number("exp"), end.Unix())
	}
	c.forward(2*time.Minute + time.Second)
	kept.refused(t, ask, refusal{"invalid_client", oauth.ReasonExpired, "XS-22"})
	again, err := w.tryDial("mtls", config)
	if err != nil {
		return // refused in the handshake: that is no token either
	}
	defer again.Close()
	again.refused(t, ask, refusal{"invalid_client", oauth.ReasonExpired, "XS-22"})
	kept.do(t, call{method: http.MethodGet, target: oauth.PathJWKS})
	w.granted(t, w.orders(t))
}

// JS-15, BE-15, BU-3 and LD-4: keys come and go without a restart.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig, td)
	call := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
	unknown := refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"}
	first := call()
	oldKID, _, _ := td.JWTKey()
	s.granted(t, first)

	// A key that is new since the last poll is fetched on demand, at once.
	if _, err := td.RotateJWTKey(); err != nil {
		t.Fatal(err)
	}
	s.granted(t, call())
	s.granted(t, first)
	// One that was withdrawn is refused after the next poll.
	if err := td.RemoveKey(oldKID); err != nil {
		t.Fatal(err)
	}
	s.sequence(t, td, td.Sequence())
	s.refused(t, first, unknown)
	s.granted(t, call())

	// An outage changes nothing, an older bundle neither (BU-14).
	td.status.Store(&answers{http.StatusInternalServerError})
	before := td.fetches.Load()
	until(t, "two failed polls", func() bool { return td.fetches.Load() >= before+2 })
	s.granted(t, call())
	td.status.Store(nil)
	td.serve(t, `{"keys":[],"spiffe_sequence":1}`)
	until(t, "a refused bundle in the log", func() bool { return len(s.log.find(t, "outcome", "refused")) > 0 })
	s.granted(t, call())

	// An empty bundle that is newer withdraws everything at once (BU-3).
	td.serve(t, `{"keys":[],"spiffe_sequence":1000}`)
	s.sequence(t, td, 1000)
	s.refused(t, call(), refusal{"invalid_client", oauth.ReasonBundleNoKeys, "BU-12"})
	s.refused(t, s.ordersOf(t, td), refusal{"invalid_client", oauth.ReasonBundleNoKeys, "BU-12"})
}

func (s *server) ordersOf(t *testing.T, td *domain) call {
	return call{cert: td.svid(t, "/orders"), form: form("client_id", td.id("/orders"))}
}

// BE-17: a flood of invented key ids makes one request to the bundle endpoint.
func TestInventedKeyIDs(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	s := prepare(t, worldConfig+"trust_domains:\n  example.org: {spiffe_bundle_endpoint: {url: \""+td.url+"\", ca_file: ca.pem}, refresh: {min: 1h, max: 1h}}\n")
	s.run(t)
	s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	before := td.fetches.Load()
	conn := s.dial(t, "public", tlsConfig("public", nil))
	for range 50 {
		conn.refused(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer, inHeader("kid", "invented-"+time.Now().String()))),
			refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"})
	}
	if n := td.fetches.Load() - before; n != 1 {
		t.Errorf("%d requests to the bundle endpoint", n)
	}
	conn.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
}
