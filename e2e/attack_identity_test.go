package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// A rogue is an authorization server that some client was talked into trusting.
// It keeps every assertion that is sent to it.
type rogue struct {
	*httptest.Server
	mu         sync.Mutex
	metadata   map[string]any
	assertions []string
}

func newRogue(t *testing.T) *rogue {
	t.Helper()
	r := &rogue{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if req.Method == http.MethodGet {
			json.NewEncoder(w).Encode(r.metadata)
			return
		}
		r.assertions = append(r.assertions, req.FormValue("client_assertion"))
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":"invalid_client"}`)
	}))
	r.TLS = &tls.Config{Certificates: []tls.Certificate{must(serverCA().Certificate("127.0.0.1"))}}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

// says sets the metadata.
func (r *rogue) says(issuer, tokenEndpoint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metadata = map[string]any{
		"issuer": issuer, "token_endpoint": tokenEndpoint, "jwks_uri": r.URL + "/jwks.json", "response_types_supported": []string{},
		"grant_types_supported": []string{"client_credentials"}, "token_endpoint_auth_methods_supported": []string{"spiffe_jwt"},
	}
}

// stolen are the assertions that came.
func (r *rogue) stolen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.assertions)
}

// jwtFrom is the source of a workload's JWT-SVIDs.
type jwtFrom func(audience string) (string, error)

func (f jwtFrom) FetchJWTSVID(_ context.Context, audience string) (string, error) { return f(audience) }

// AK-2: a rogue server names the honest one's endpoint, or the honest one's name,
// as its own. Whatever a client of ours sends because of it, the honest server
// refuses, and whatever reaches the rogue is worth nothing anywhere else.
func TestAudienceInjection(t *testing.T) {
	w := newWorld(t)
	id := w.td.id("/billing")
	sent := 0
	source := jwtFrom(func(audience string) (string, error) {
		sent++
		return w.td.jwt(t, "/billing", audience), nil
	})
	open := func(r *rogue, endpointAudience bool) (*client.Client, error) {
		return client.New(t.Context(), client.Config{
			Issuer: r.URL, Credentials: []client.Credential{client.JWTSVID(source)}, RootCAs: serverCA().Pool(), EndpointAudience: endpointAudience, Timeout: patience,
		})
	}
	mismatch := refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"}

	t.Run("AK-2 the honest issuer as its own", func(t *testing.T) {
		r := newRogue(t)
		r.says(issuer, r.URL+"/token")
		if _, err := open(r, false); err == nil || sent != 0 {
			t.Errorf("AM-2 the client takes it: %v, and asked for %d JWT-SVIDs", err, sent)
		}
	})
	t.Run("AK-2 the honest token endpoint as its own", func(t *testing.T) {
		r := newRogue(t)
		r.says(r.URL, "https://"+w.addresses["public"]+"/token")
		c, err := open(r, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Token(t.Context(), client.Request{Resource: apiURL}); !errors.Is(err, oauth.InvalidClient) {
			t.Errorf("got %v", err)
		}
		lines := w.record.find(t, "presented", r.URL)
		if len(lines) == 0 || lines[0].text("reason") != "aud_mismatch" || lines[0].text("rule") != "CJ-6" {
			t.Errorf("the honest server's record: %v", lines)
		}
		w.decisions(len(lines))
	})
	t.Run("AK-2 what the rogue is sent", func(t *testing.T) {
		for _, endpointAudience := range []bool{false, true} {
			r := newRogue(t)
			r.says(r.URL, r.URL+"/token")
			c, err := open(r, endpointAudience)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Token(t.Context(), client.Request{Resource: apiURL}); err == nil {
				t.Error("a token from the rogue")
			}
			got := r.stolen()
			if len(got) == 0 {
				t.Fatal("nothing came")
			}
			for _, assertion := range got {
				for _, listener := range []string{"public", "mtls"} {
					conn := w.dial(t, listener, tlsConfig(listener, nil))
					conn.refused(t, withJWT(id, assertion), mismatch)
					conn.granted(t, w.billing(t))
				}
			}
		}
	})
}

// AK-4: one key id here and there, in the bundle of a trust domain and among the
// server's own keys. Each key verifies its own kind of token and no other.
func TestOneKIDForServerAndTrustDomain(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig, td)
	ours := s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	s.stop(t)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	td.serve(t, withEntries(t, td, must(jose.MarshalJWK(key.Public(), ours.keyID, "jwt-svid", ""))))
	s.run(t)
	signed := func(typ string, claims map[string]any) string {
		token, err := devca.SignJWT(map[string]any{"alg": "ES256", "kid": ours.keyID, "typ": typ}, claims, key, jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		return secrets.jwt(token)
	}
	id := td.id("/billing")
	s.granted(t, withJWT(id, signed("JWT", map[string]any{"sub": id, "aud": issuer, "exp": later(time.Minute)})))
	if again := s.granted(t, withJWT(id, td.jwt(t, "/billing", issuer))); again.keyID != ours.keyID {
		t.Fatal("the server has another key: the test shows nothing")
	}
	s.refused(t, withJWT(id, string(ours.token.AccessToken)), refusal{"invalid_client", oauth.ReasonWrongTokenType, "JS-4"})
	api := s.api(t)
	if _, err := api.VerifyToken(t.Context(), string(ours.token.AccessToken), nil, "read"); err != nil {
		t.Error(err)
	}
	if _, err := api.VerifyToken(t.Context(), signed("at+jwt", ours.claims), nil, "read"); !errors.Is(err, oauth.ReasonSignatureBad) {
		t.Errorf("AK-4 an access token by the trust domain's key: %v", err)
	}
}

// api is an API that trusts this server and has its keys.
func (s *server) api(t *testing.T) *resource.Verifier {
	t.Helper()
	keys, err := resource.NewStaticKeys(s.issuer, must(json.Marshal(s.jwks(t))))
	if err != nil {
		t.Fatal(err)
	}
	v, err := resource.New(resource.Config{Resource: apiURL, Issuers: []resource.KeySource{keys}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// AK-6: what looks like a workload below a wildcard and is none, in a JWT-SVID and
// in a certificate, both truly issued by the trust domain.
func TestLooksLikeBelow(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		name, id  string
		jwt, x509 oauth.Reason
		rule      string
	}{
		{"AK-6 the wildcard's own path", "spiffe://example.org/ns/%s", oauth.ReasonClientIDMismatch, oauth.ReasonClientIDMismatch, "CA-9"},
		{"AK-6 a slash behind it", "spiffe://example.org/ns/%s/", oauth.ReasonSubNotSPIFFEID, oauth.ReasonCertIDMalformed, "SI-7"},
		{"AK-6 a longer segment", "spiffe://example.org/ns/%s123", oauth.ReasonClientIDMismatch, oauth.ReasonClientIDMismatch, "CA-9"},
		{"AK-6 dot segments", "spiffe://example.org/ns/%s/../x", oauth.ReasonSubNotSPIFFEID, oauth.ReasonCertIDMalformed, "SI-7"},
		{"AK-6 an encoded slash", "spiffe://example.org/ns/%s%%2fa", oauth.ReasonSubNotSPIFFEID, oauth.ReasonCertIDMalformed, "SI-7"},
		{"AK-6 an empty segment", "spiffe://example.org/ns/%s//a", oauth.ReasonSubNotSPIFFEID, oauth.ReasonCertIDMalformed, "SI-7"},
		{"AK-6 the wildcard itself", "spiffe://example.org/ns/%s/*", oauth.ReasonSubNotSPIFFEID, oauth.ReasonCertIDMalformed, "SI-7"},
		{"AK-6 another case", "spiffe://example.org/NS/%s/a", oauth.ReasonClientIDMismatch, oauth.ReasonClientIDMismatch, "CA-9"},
		{"AK-6 trust domain in upper case", "spiffe://Example.org/ns/%s/a", oauth.ReasonSubNotSPIFFEID, oauth.ReasonCertIDMalformed, "SI-4"},
		{"AK-6 trust domain with a dot behind", "spiffe://example.org./ns/%s/a", oauth.ReasonTDUnknown, "", "JS-13"},
		{"AK-6 a letter that looks the same", "spiffe://ex\u0430mple.org/ns/%s/a", oauth.ReasonSubNotSPIFFEID, "", "SI-4"},
		{"AK-6 one in the path", "spiffe://example.org/n\u0455/%s/a", oauth.ReasonSubNotSPIFFEID, "", "SI-7"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w.granted(t, withJWT("fleet", w.td.jwt(t, "/ns/ci/a", issuer)))
			w.refused(t, withJWT("fleet", w.td.jwt(t, "/ns/ci/a", issuer, inClaims("sub", fmt.Sprintf(row.id, "ci")))), refusal{"invalid_client", row.jwt, row.rule})
			w.granted(t, call{cert: w.td.svid(t, "/ns/x/a"), form: form("client_id", "fleet-x509")})
			if row.x509 == "" {
				return // Go's certificate reader does not take such a name: there is no connection
			}
			cert := w.td.svid(t, "/ns/x/a", func(c *x509.Certificate) {
				c.URIs, c.ExtraExtensions = nil, []pkix.Extension{devca.RawURISAN(fmt.Sprintf(row.id, "x"))}
			})
			w.refused(t, call{cert: cert, form: form("client_id", "fleet-x509")}, refusal{"invalid_client", row.x509, row.rule})
		})
	}
}

// AK-8: each kind of token at each place that takes one. A kind is taken in its
// own place only, whoever signed it, also where its subject is a SPIFFE ID.
func TestKindsAndAcceptors(t *testing.T) {
	w := newWorld(t)
	id := w.td.id("/billing")
	holder := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	access := w.granted(t, w.billing(t))
	api := w.api(t)
	byTD := func(mutate ...mutation) string { return w.td.jwt(t, "/billing", issuer, mutate...) }
	for _, row := range []struct {
		name  string
		token string
		as    oauth.Reason // of the token endpoint; empty: accepted
		rule  string
		api   oauth.Reason
	}{
		{"AK-8 JWT-SVID", byTD(), "", "", oauth.ReasonWrongTokenType},
		{"AK-8 JWT-SVID for the API", byTD(inClaims("aud", apiURL)), oauth.ReasonAudMismatch, "CJ-6", oauth.ReasonWrongTokenType},
		{"AK-8 our access token", string(access.token.AccessToken), oauth.ReasonWrongTokenType, "JS-4", ""},
		{"AK-8 an access token of the trust domain's own provider", byTD(inHeader("typ", "at+jwt"), inClaims("iss", "https://oidc.example.org"), inClaims("client_id", id)), oauth.ReasonWrongTokenType, "JS-4", oauth.ReasonIssuerMismatch},
		{"AK-8 the same in our name", byTD(inHeader("typ", "at+jwt"), inClaims("iss", issuer), inClaims("aud", apiURL), inClaims("client_id", id)), oauth.ReasonWrongTokenType, "JS-4", oauth.ReasonKIDUnknown},
		{"AK-8 the same without a type", byTD(without("typ"), inClaims("iss", issuer), inClaims("aud", apiURL), inClaims("client_id", id)), oauth.ReasonAudMismatch, "CJ-6", oauth.ReasonWrongTokenType},
		{"AK-8 an ID token", byTD(inClaims("iss", issuer), inClaims("aud", id), inClaims("nonce", "n")), oauth.ReasonAudMismatch, "CJ-6", oauth.ReasonWrongTokenType},
		{"AK-8 a logout token", byTD(inHeader("typ", "logout+jwt")), oauth.ReasonWrongTokenType, "JS-4", oauth.ReasonWrongTokenType},
		{"AK-8 WIT-SVID", secrets.jwt(must(w.td.WITSVID("/billing", holder.Public()))), oauth.ReasonWrongTokenType, "JS-4", oauth.ReasonWrongTokenType},
		{"AK-8 WIT-SVID dressed up as JWT-SVID", witJWT(t, w.td), oauth.ReasonKeyWrongUse, "JS-15", oauth.ReasonWrongTokenType},
		{"AK-8 DPoP proof", byTD(inHeader("typ", "dpop+jwt")), oauth.ReasonWrongTokenType, "JS-4", oauth.ReasonWrongTokenType},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.as == "" {
				w.granted(t, withJWT(id, row.token))
			} else {
				w.refused(t, withJWT(id, row.token), refusal{"invalid_client", row.as, row.rule})
			}
			switch _, err := api.VerifyToken(t.Context(), row.token, nil, "read"); {
			case row.api == "" && err != nil:
				t.Errorf("the API refuses it: %v", err)
			case row.api != "" && oauth.AsError(err).Reason != row.api:
				t.Errorf("the API says %v, want %s", err, row.api)
			}
		})
	}
}

// AK-9: somebody has read a JWT-SVID on its way. It works here and until its end,
// where policy allows that, and gets no token that anybody could use where the
// client has a key of its own.
func TestCapturedJWTSVID(t *testing.T) {
	c := &clock{}
	td := newDomain(t, "example.org", devca.Options{Now: c.now})
	td.more = ", max_stale: 0"
	once := newDomain(t, "once.test", devca.Options{Now: c.now})
	once.more = ", single_use: true, max_stale: 0"
	config := worldConfig + `  - {client_id: "spiffe://once.test/billing", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}` + "\n"
	s := startAt(t, c, config, td, once)
	other := startAt(t, c, "issuer: https://other.example.com\n"+config, td, once)
	captured := withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer))

	if g := s.granted(t, captured); g.number("exp")-g.number("iat") > 300 {
		t.Errorf("AK-9 a bearer token of %d s", g.number("exp")-g.number("iat"))
	}
	s.granted(t, captured)
	other.refused(t, captured, refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
	// Where the client has a key, the thief has not.
	s.refused(t, withJWT("named", td.jwt(t, "/named", issuer)), refusal{"invalid_request", oauth.ReasonBindingRequired, "CC-5"})
	// Nor does a certificate of his own help.
	relayed := withJWT("named", td.jwt(t, "/named", issuer))
	relayed.cert = td.svid(t, "/orders")
	s.refused(t, relayed, refusal{"invalid_request", oauth.ReasonMixedCredentials, "TK-3"})
	// Where it counts once, he is late.
	single := withJWT(once.id("/billing"), once.jwt(t, "/billing", issuer))
	s.granted(t, single)
	s.refused(t, single, refusal{"invalid_client", oauth.ReasonAssertionReplayed, "CJ-13"})
	// And its end is the end.
	c.forward(6*time.Minute + time.Second)
	s.refused(t, captured, refusal{"invalid_client", oauth.ReasonExpired, "CJ-5"})
}

// AK-10, CX-1: a certificate is no secret. Without its key there is no connection,
// and with another one's neither.
func TestCertificateWithoutItsKey(t *testing.T) {
	w := newWorld(t)
	good := w.orders(t)
	w.granted(t, good)
	for name, key := range map[string]*tls.Certificate{
		"a key of nobody":     {PrivateKey: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))},
		"another SVID's key":  w.td.svid(t, "/billing"),
		"the same path again": w.td.svid(t, "/orders"),
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("AK-10 %s, %s", name, tls.VersionName(version)), func(t *testing.T) {
				config := tlsConfig("mtls", &tls.Certificate{Certificate: good.cert.Certificate, PrivateKey: key.PrivateKey})
				config.MaxVersion = version
				conn, err := w.tryDial("mtls", config)
				if err != nil {
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				io.WriteString(conn, good.text(conn.host)) // it may be refused already
				if resp, err := http.ReadResponse(conn.r, nil); err == nil {
					resp.Body.Close()
					t.Errorf("an answer with status %d", resp.StatusCode)
				}
			})
		}
	}
	w.granted(t, good)
}

// AK-16, AK-17, DR-5: nobody but the operator says where a bundle is: not a
// request, not a header, not a claim, not a certificate. Nothing is fetched.
func TestClientSuppliedBundle(t *testing.T) {
	w := newWorld(t)
	thief := newDomain(t, "example.org", devca.Options{}) // it calls itself the same
	id := w.td.id("/billing")
	forgedBy := func(mutate ...mutation) string { return thief.jwt(t, "/billing", issuer, mutate...) }
	unknown := refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"}
	for name, c := range map[string]call{
		"AK-17 a parameter": func() call {
			c := withJWT(id, forgedBy())
			for _, name := range []string{"spiffe_bundle_endpoint", "jwks_uri", "bundle_endpoint_url"} {
				c.set(name, thief.url)
			}
			c.set("jwks", string(thief.Bundle()))
			return c
		}(),
		"AK-17 a query": func() call {
			c := withJWT(id, forgedBy())
			c.target = "/token?spiffe_bundle_endpoint=" + url.QueryEscape(thief.url)
			return c
		}(),
		"AK-17 a header": func() call {
			c := withJWT(id, forgedBy())
			c.say("Link: <" + thief.url + ">; rel=\"spiffe_bundle_endpoint\"")
			return c
		}(),
		"AK-17 claims": withJWT(id, forgedBy(inClaims("iss", thief.url), inClaims("spiffe_bundle_endpoint", thief.url), inClaims("jwks_uri", thief.url))),
		"AK-17 names in a certificate": func() call {
			c := call{cert: thief.svid(t, "/orders", func(c *x509.Certificate) {
				c.IssuingCertificateURL, c.OCSPServer, c.CRLDistributionPoints = []string{thief.url}, []string{thief.url}, []string{thief.url}
			}), form: form("client_id", w.td.id("/orders"))}
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			want := unknown
			if c.cert != nil {
				want = refusal{"invalid_client", oauth.ReasonCertChainBad, "XS-10"}
			}
			w.granted(t, w.billing(t))
			w.refused(t, c, want)
		})
	}
	for _, path := range []string{"/register", "/.well-known/spiffe", "/bundle.json"} {
		a := w.do(t, call{method: http.MethodPost, target: path, body: `{"spiffe_bundle_endpoint":"` + thief.url + `"}`, header: []string{"Content-Type: application/json"}})
		if a.status != http.StatusNotFound || bytes.Contains(a.body, []byte(thief.url)) {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	if n := thief.fetches.Load(); n != 0 {
		t.Errorf("AK-16 %d requests to an endpoint that a client named", n)
	}
}

// F17: twenty audiences that people send, each with the assertion type of the
// drafts and with the older one of RFC 7523. Two spellings of this server are
// accepted, and whoever looks for the cause has both sides in front of him.
func TestAudiencesOnTheWire(t *testing.T) {
	w := newWorld(t)
	id := w.td.id("/billing")
	const older = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	mismatch, multiple := oauth.ReasonAudMismatch, oauth.ReasonAudMultiple
	for _, row := range []struct {
		audience any
		reason   oauth.Reason
		rule     string
	}{
		{issuer, "", ""}, {[]string{issuer}, "", ""}, {tokenURL, "", ""}, {[]string{tokenURL}, "", ""},
		{issuer + "/", mismatch, "CJ-6"}, {tokenURL + "/", mismatch, "CJ-6"}, {issuer + ":443", mismatch, "CJ-6"}, {"https://as.example.com:443/token", mismatch, "CJ-6"},
		{"https://AS.example.com", mismatch, "CJ-6"}, {"HTTPS://as.example.com", mismatch, "CJ-6"}, {"http://as.example.com", mismatch, "CJ-6"}, {"as.example.com", mismatch, "CJ-6"},
		{"http://as.default.svc.cluster.local:8080", mismatch, "CJ-6"}, {"https://as.default.svc/token", mismatch, "CJ-6"}, {aliasURL, mismatch, "CJ-6"}, {tokenURL + "?x=1", mismatch, "CJ-6"},
		{apiURL, mismatch, "CJ-6"}, {id, mismatch, "CJ-6"}, {[]string{issuer, tokenURL}, multiple, "EC-4"}, {[]string{apiURL, issuer}, multiple, "EC-4"},
	} {
		t.Run(fmt.Sprint("F17 ", row.audience), func(t *testing.T) {
			c := withJWT(id, w.td.jwt(t, "/billing", "", inClaims("aud", row.audience)))
			if row.reason == "" {
				w.granted(t, c)
			} else {
				a := w.refused(t, c, refusal{"invalid_client", row.reason, row.rule})
				if text, ok := row.audience.(string); ok && (a.audit.text("presented") != text || a.audit.text("expected") != issuer+" or "+tokenURL+" (profile transition)") {
					t.Errorf("expected %q, presented %q", a.audit.text("expected"), a.audit.text("presented"))
				}
			}
			c.set("client_assertion_type", older)
			w.refused(t, c, refusal{"invalid_client", oauth.ReasonMethodNotAllowed, "CJ-1"})
		})
	}
}
