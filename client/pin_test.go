package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
)

var asID = spiffeid.RequireFromString("spiffe://example.org/as")

// served is an X.509-SVID for a server at path, which knows no host name.
func (w *world) served(path string) tls.Certificate {
	return must(w.authority.X509SVID(path)).TLSCertificate()
}

// anchors are what the trust domain publishes now.
func (w *world) anchors() *x509bundle.Bundle {
	return x509bundle.FromX509Authorities(asID.TrustDomain(), w.authority.Roots())
}

// pinned is the configuration for a server that is known by asID.
func (w *world) pinned(bundles x509bundle.Source, credentials ...client.Credential) client.Config {
	config := w.config(credentials...)
	config.RootCAs, config.ServerID, config.ServerBundles = nil, asID, bundles
	return config
}

// A-9, LC-1: with ServerID the server is known by its SPIFFE ID and by nothing else,
// and neither way of knowing it stands in for the other.
func TestServerID(t *testing.T) {
	w := newWorld(t)
	foreign := must(devca.New("elsewhere.test", devca.Options{Now: w.now}))
	stranger := must(devca.New("example.org", devca.Options{Now: w.now}))
	all := x509bundle.NewSet(w.anchors(), x509bundle.FromX509Authorities(foreign.TrustDomain(), foreign.Roots()))
	asHost := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }
	for _, tt := range []struct {
		name        string
		certificate tls.Certificate
		pinned      bool
		want        string // empty: accepted
	}{
		{"the SPIFFE ID, pinned", w.served("/as"), true, ""},
		{"the SPIFFE ID, not pinned", must(w.authority.X509SVID("/as", asHost)).TLSCertificate(), false, "CX-6"},
		{"certificate of the Web PKI, not pinned", must(w.webCA.Certificate("127.0.0.1")), false, ""},
		{"certificate of the Web PKI, pinned", must(w.webCA.Certificate("127.0.0.1")), true, "A-9"},
		{"another SPIFFE ID of the trust domain", w.served("/other"), true, "A-9"},
		{"the same path of a federated trust domain", must(foreign.X509SVID("/as")).TLSCertificate(), true, "A-9"},
		{"the SPIFFE ID by another authority of that name", must(stranger.X509SVID("/as")).TLSCertificate(), true, "A-9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for what, credential := range map[string]client.Credential{"JWT": client.JWTSVID(w.jwt), "X.509": client.X509SVID(w.x509)} {
				e := newEdge(w, tt.certificate)
				config := w.config(credential)
				if tt.pinned {
					config = w.pinned(all, credential)
				}
				config.Issuer = e.issuer
				c, err := client.New(t.Context(), config)
				if tt.want != "" {
					if err == nil || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("%s: got %v, want %s", what, err, tt.want)
					}
					if len(e.metadataReads()) != 0 {
						t.Errorf("%s: a server that was not verified was asked", what)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				w.token(c, client.Request{})
				if shown := e.last().thumbprint != ""; shown != (what == "X.509") {
					t.Errorf("%s: a certificate was shown: %t", what, shown)
				}
			}
		})
	}
}

// the pin holds wherever the metadata leads.
func TestServerIDAtEveryEndpoint(t *testing.T) {
	for name, leads := range map[string]func(e *edge, to *edge, challenges string){
		"token_endpoint": func(e, to *edge, _ string) { e.publishes("token_endpoint", to.tokenURL) },
		"mtls_endpoint_aliases": func(e, to *edge, _ string) {
			e.publishes("mtls_endpoint_aliases", map[string]any{"token_endpoint": to.mtlsTokenURL})
		},
		"challenge_endpoint": func(e, _ *edge, challenges string) { e.publishes("challenge_endpoint", challenges) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, other := range []struct {
				name        string
				certificate tls.Certificate
				accepted    bool
			}{
				{"the same SPIFFE ID", w.served("/as"), true},
				{"another SPIFFE ID", w.served("/other"), false},
				{"a certificate of the Web PKI", must(w.webCA.Certificate("127.0.0.1")), false},
			} {
				e, to := newEdge(w, w.served("/as")), newEdge(w, other.certificate)
				asked := 0
				challenges := serve(w, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
					asked++
					rw.Header().Set("Content-Type", "application/json")
					fmt.Fprint(rw, `{"attestation_challenge":"once"}`)
				}), other.certificate, tls.NoClientCert)
				leads(e, to, challenges.URL+"/challenge")
				credential := client.JWTSVID(w.jwt)
				switch name {
				case "mtls_endpoint_aliases":
					credential = client.X509SVID(w.x509)
				case "challenge_endpoint":
					credential = client.WITSVID(w.wit)
					e.publishes("token_endpoint_auth_methods_supported", []string{"spiffe_wit"})
					e.answers(keyBound)
				}
				config := w.pinned(w.anchors(), credential)
				config.Issuer = e.issuer
				_, err := w.client(config).Token(t.Context(), client.Request{Resource: "https://api.example.com/"})
				if other.accepted {
					if err != nil || len(to.seen())+asked != 1 {
						t.Errorf("%s: %v, asked %d times", other.name, err, len(to.seen())+asked)
					}
				} else if err == nil || !strings.Contains(err.Error(), "A-9") || len(to.seen())+asked != 0 {
					t.Errorf("%s: got %v, asked %d times", other.name, err, len(to.seen())+asked)
				}
			}
		})
	}
}

// at each handshake the newest bundle counts.
func TestServerBundleRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle.pem")
	set := x509bundle.NewSet()
	for name, source := range map[string]struct {
		bundles x509bundle.Source
		publish func(...*x509.Certificate)
	}{
		"in memory": {set, func(roots ...*x509.Certificate) { set.Add(x509bundle.FromX509Authorities(asID.TrustDomain(), roots)) }},
		"in a file": {client.X509BundleFile(path, asID.TrustDomain()), func(roots ...*x509.Certificate) {
			var all []byte
			for _, root := range roots {
				all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})...)
			}
			put(t, path, all)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.authority.RotateX509(); err != nil {
				t.Fatal(err)
			}
			before, after := w.authority.Roots()[0], w.authority.Roots()[1]
			e := newEdge(w, w.served("/as")) // by the one after
			config := w.pinned(source.bundles, client.JWTSVID(w.jwt))
			config.Issuer = e.issuer

			source.publish(before)
			if _, err := client.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), "A-9") {
				t.Errorf("before its anchor is there: got %v", err)
			}
			source.publish(before, after)
			c := w.client(config)
			anew := func(scope string) error {
				e.public.CloseClientConnections()
				w.advance(time.Minute) // past any pause after a failure
				_, err := c.Token(t.Context(), client.Request{Scope: scope})
				return err
			}
			if err := anew("both"); err != nil {
				t.Errorf("with both anchors: %v", err)
			}
			source.publish(before)
			if err := anew("gone"); err == nil || !strings.Contains(err.Error(), "A-9") {
				t.Errorf("its anchor is gone: got %v", err)
			}
			source.publish(after)
			if err := anew("back"); err != nil {
				t.Errorf("its anchor alone: %v", err)
			}
		})
	}
}

// the client's clock counts, too.
func TestServerIDByTheInjectedClock(t *testing.T) {
	w := newWorld(t)
	e := newEdge(w, w.served("/as"))
	config := w.pinned(w.anchors(), client.JWTSVID(w.jwt))
	config.Issuer = e.issuer
	w.client(config)
	w.advance(2 * time.Hour)
	if _, err := client.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("got %v, want an expired certificate", err)
	}
}

func TestServerIDConfig(t *testing.T) { // never both ways, never half a one
	w := newWorld(t)
	e := newEdge(w, w.served("/as"))
	good := w.pinned(w.anchors(), client.JWTSVID(w.jwt))
	good.Issuer = e.issuer
	w.client(good)
	for name, tt := range map[string]struct {
		change func(*client.Config)
		want   string
	}{
		"without bundles":   {func(c *client.Config) { c.ServerBundles = nil }, "ServerBundles"},
		"without an ID":     {func(c *client.Config) { c.ServerID = spiffeid.ID{} }, "ServerBundles"},
		"with roots":        {func(c *client.Config) { c.RootCAs = w.webCA.Pool() }, "RootCAs"},
		"of a trust domain": {func(c *client.Config) { c.ServerID = asID.TrustDomain().ID() }, "names a trust domain"},
	} {
		config := good
		tt.change(&config)
		if _, err := client.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
