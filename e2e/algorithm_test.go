package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// JS-2, CJ-14, XS-18: the algorithms that the metadata names are those that work,
// each with a trust domain that has no other; and each kind of certificate key.
func TestAlgorithms(t *testing.T) {
	kinds := []devca.KeyAlgorithm{devca.P256, devca.P384, devca.P521, devca.RSA2048, devca.Ed25519}
	config := "resources: [{resource: \"" + apiURL + "\", scopes: [read]}]\nclients:\n"
	var domains []*domain
	for i, alg := range jose.SVIDAlgorithms {
		d := newFileDomain(t, fmt.Sprintf("a%d.test", i), devca.Options{JWTAlgorithm: alg, KeyAlgorithm: kinds[i%len(kinds)]})
		domains = append(domains, d)
		config += fmt.Sprintf("  - {client_id: %q, auth_methods: [spiffe_jwt], resources: [%q], scope: read}\n  - {client_id: %q, auth_methods: [spiffe_x509], resources: [%q], scope: read}\n",
			d.id("/jwt"), apiURL, d.id("/x509"), apiURL)
	}
	s := start(t, config, domains...)
	var m oauth.Metadata
	if err := json.Unmarshal(s.do(t, call{method: http.MethodGet, target: oauth.PathASMetadata}).body, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.TokenEndpointAuthSigningAlgs) != 9 {
		t.Errorf("CJ-14 algorithms %v", m.TokenEndpointAuthSigningAlgs)
	}
	for i, d := range domains {
		alg := jose.SVIDAlgorithms[i]
		t.Run(string(alg)+" and "+string(kinds[i%len(kinds)]), func(t *testing.T) {
			if !slices.Contains(m.TokenEndpointAuthSigningAlgs, string(alg)) {
				t.Error("CJ-14 not in the metadata")
			}
			s.granted(t, withJWT(d.id("/jwt"), d.jwt(t, "/jwt", issuer)))
			g := s.granted(t, call{cert: d.svid(t, "/x509"), form: form("client_id", d.id("/x509"))})
			if g.thumbprint() == "" {
				t.Error("CC-5 the token is not bound")
			}
			// Signed by another's key under the same algorithm.
			other := domains[(i+1)%len(domains)]
			kid, _, _ := d.JWTKey()
			token := other.jwt(t, "/jwt", issuer, inClaims("sub", d.id("/jwt")), inHeader("kid", kid), inHeader("alg", string(alg)))
			s.refused(t, withJWT(d.id("/jwt"), token), refusal{"invalid_client", oauth.ReasonSignatureBad, "JS-12"})
		})
	}
}

// KR-4: the algorithms of our own tokens. Each kind of key is published with its
// algorithm and signs what verifies with it; after a restart it is the same key.
func TestSigningAlgorithms(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	for _, alg := range []string{"ES256", "EdDSA", "PS256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			s := start(t, worldConfig+"access_token: {alg: "+alg+"}\n", td)
			ask := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
			before := s.granted(t, ask())
			key := s.jwks(t).Key(before.keyID)
			if len(key) != 1 || key[0].Algorithm != alg || key[0].Use != "sig" {
				t.Errorf("KR-1 the published key: %v", key)
			}
			s.stop(t)
			s.run(t)
			if after := s.granted(t, ask()); after.keyID != before.keyID {
				t.Error("another key after a restart")
			}
		})
	}
}
