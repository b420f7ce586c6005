package server

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// withChallenges makes a server give challenges.
func withChallenges(required bool) func(*Config) {
	return func(c *Config) {
		a := *c.Authenticator
		a.Challenges, a.ChallengeRequired = challenge.New([challenge.KeySize]byte{1}, c.Now), required
		c.Authenticator = &a
	}
}

func told(t testing.TB, w *httptest.ResponseRecorder) (status int, code string) {
	t.Helper()
	var body oauth.ErrorResponse
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, string(body.Error)
}

// TK-6, DP-4: a token for a WIT-SVID is bound to the key that its proof was made
// with, also where there is a certificate of the same workload; the record has the
// digest of the WIT-SVID and the mark of the proof.
func TestWITToken(t *testing.T) {
	for _, row := range []struct {
		name  string
		chain func(*site) []*x509.Certificate
	}{
		{"TK-6 a WIT-SVID", func(*site) []*x509.Certificate { return nil }},
		{"TK-3 a WIT-SVID over a connection of the same workload", func(s *site) []*x509.Certificate { return s.Chain(t, edge) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t)
			attestation, holder := s.WIT(t, edge)
			proof := s.Proof(t, holder)
			w := post(s.server.MTLS(), testidentity.Certificate(edge), row.chain(s), attested(attestation, proof))
			var body oauth.TokenResponse
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 || body.TokenType != "DPoP" {
				t.Fatalf("%d %s %v", w.Code, body.TokenType, err)
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(body.AccessToken), ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				Cnf map[string]string `json:"cnf"`
				Sub string            `json:"sub"`
			}
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			identity := s.ProvenByWIT(t, edge) // of another key
			other, _ := identity.KeyThumbprint()
			if len(claims.Cnf) != 1 || len(claims.Cnf["jkt"]) != 43 || claims.Cnf["jkt"] == base64.RawURLEncoding.EncodeToString(other[:]) || claims.Sub != edge {
				t.Errorf("DP-4 bound by %v", claims.Cnf)
			}
			line := s.lines(t)[0]
			if line["binding"] != "jkt" || line["auth_method"] != "spiffe_wit" || len(line["proof"].(string)) != 64 || len(line["svid_sha256"].(string)) != 64 {
				t.Errorf("AU-1 the line is %v", line)
			}
			if text, _ := json.Marshal(line); strings.Contains(string(text), attestation[len(attestation)-40:]) || strings.Contains(string(text), proof[len(proof)-40:]) {
				t.Error("AU-2 a credential is in the record")
			}
			again := post(s.server.MTLS(), testidentity.Certificate(edge), row.chain(s), attested(attestation, proof))
			if status, code := told(t, again); status != 401 || code != "invalid_client" || s.lines(t)[1]["reason"] != "pop_replayed" {
				t.Errorf("PP-8 the same proof again: %d %s %v", status, code, s.lines(t)[1])
			}
		})
	}
	t.Run("AK-25 a WIT-SVID over a connection of another workload", func(t *testing.T) {
		s := newSite(t)
		attestation, holder := s.WIT(t, edge)
		w := post(s.server.MTLS(), testidentity.Certificate(edge), s.Chain(t, orders), attested(attestation, s.Proof(t, holder)))
		if status, code := told(t, w); status != 400 || code != "invalid_request" || s.lines(t)[0]["reason"] != "mixed_credentials" {
			t.Errorf("TK-3 %d %s %v", status, code, s.lines(t)[0])
		}
	})
}

// PP-12, PP-13: the endpoint, the modes, and the fresh challenge in a refusal.
func TestChallenge(t *testing.T) {
	at := func(s *site) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, testidentity.Issuer+oauth.PathChallenge, nil)
		w := httptest.NewRecorder()
		s.server.Public().ServeHTTP(w, r)
		return w
	}
	if w := at(newSite(t)); w.Code != http.StatusNotFound {
		t.Errorf("PP-13 off: %d", w.Code)
	}
	for _, required := range []bool{false, true} {
		s := newSite(t, withChallenges(required))
		w := at(s)
		var body map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 || len(body) != 1 || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("PP-13 %d %v %v %v", w.Code, w.Header(), body, err)
		}
		given := body["attestation_challenge"]
		get := httptest.NewRecorder()
		if s.server.Public().ServeHTTP(get, httptest.NewRequest(http.MethodGet, testidentity.Issuer+oauth.PathChallenge, nil)); get.Code != http.StatusMethodNotAllowed {
			t.Errorf("PP-13 GET: %d", get.Code)
		}
		with := func(challenge any) testidentity.Change {
			return func(_, c map[string]any) { c["challenge"] = challenge }
		}
		for _, row := range []struct {
			name   string
			change []testidentity.Change
			reason any // nil: granted
		}{
			{"PP-12 the challenge", []testidentity.Change{with(given)}, nil},
			{"PP-12 again in another proof", []testidentity.Change{with(given)}, nil},
			{"PP-12 another", []testidentity.Change{with("x" + given[1:])}, "challenge_bad"},
			{"PP-12 no text", []testidentity.Change{with(1)}, "challenge_bad"},
			{"PP-12 an empty one", []testidentity.Change{with("")}, "challenge_bad"},
			{"PP-12 none", nil, map[bool]any{false: nil, true: "challenge_missing"}[required]},
		} {
			attestation, holder := s.WIT(t, edge)
			w := post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder, row.change...)))
			status, code := told(t, w)
			lines := s.lines(t)
			if row.reason == nil {
				if status != 200 || w.Header().Get(oauth.HeaderClientAttestationChallenge) != "" {
					t.Errorf("%s (required %t): %d %v", row.name, required, status, lines[len(lines)-1])
				}
				continue
			}
			if status != 400 || code != "use_attestation_challenge" || lines[len(lines)-1]["reason"] != row.reason || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s (required %t): %d %s %v", row.name, required, status, code, lines[len(lines)-1])
			}
			// The client uses what came with the refusal.
			fresh := w.Header().Get(oauth.HeaderClientAttestationChallenge)
			if w := post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder, with(fresh)))); w.Code != 200 {
				t.Errorf("PP-13 %s: the fresh challenge is not taken", row.name)
			}
		}
		s.Clock.Advance(2 * challenge.Slot)
		attestation, holder := s.WIT(t, edge)
		if w := post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder, with(given)))); w.Code != 400 {
			t.Errorf("PP-12 after ten minutes: %d", w.Code)
		}
	}
}

// AK-10: while it is not known which proofs were used before, one that may have been
// is refused, and told when another one will do.
func TestProofsFromBeforeTheStart(t *testing.T) {
	s := newSite(t, func(c *Config) {
		a := *c.Authenticator
		a.ProofsSince = testidentity.Noon.Add(time.Minute)
		c.Authenticator = &a
	})
	attestation, holder := s.WIT(t, edge)
	w := post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder)))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "60" || s.lines(t)[0]["reason"] != "pop_memory_lost" || s.lines(t)[0]["rule"] != "EC-10" {
		t.Errorf("%d, retry after %q, %v", w.Code, w.Header().Get("Retry-After"), s.lines(t)[0])
	}
	s.Clock.Advance(time.Minute)
	if w := post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder))); w.Code != 200 {
		t.Errorf("a minute later: %d", w.Code)
	}
}

// PP-8: without a memory of proofs no WIT-SVID authenticates.
func TestNoMemoryOfProofs(t *testing.T) {
	s := newSite(t, func(c *Config) {
		a := clientauth.Authenticator{Verifier: c.Authenticator.Verifier, Clients: c.Authenticator.Clients}
		c.Authenticator = &a
	})
	attestation, holder := s.WIT(t, edge)
	if w := post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder))); w.Code != 500 {
		t.Errorf("%d", w.Code)
	}
}

// MD-1: spiffe_wit is in the metadata exactly while a bundle has a key for it.
func TestMetadataFollowsBundles(t *testing.T) {
	td := spiffeid.RequireTrustDomainFromString("example.org")
	keys := &source{document: []byte(`{"keys":[]}`)}
	var set *bundle.Set
	s := newSite(t, func(c *Config) {
		var err error
		if set, err = bundle.NewSet(bundle.Config{Now: c.Now, TrustDomains: []bundle.TrustDomain{{Name: td, Source: keys}}}); err != nil {
			t.Fatal(err)
		}
		c.Bundles, c.WITDomains = set, []spiffeid.TrustDomain{td}
	})
	offered := func() bool {
		w := get(s.server.Public(), testidentity.Issuer+oauth.PathASMetadata)
		var m oauth.Metadata
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		for _, method := range m.TokenEndpointAuthMethodsSupported {
			if method == oauth.MethodWIT {
				return len(m.ClientAttestationSigningAlgs) == 9
			}
		}
		return false
	}
	for _, step := range []struct {
		name     string
		document []byte
		want     bool
	}{
		{"a bundle without keys", keys.document, false},
		{"a bundle with keys for WIT-SVIDs", s.Document("example.org"), true},
		{"a bundle that withdrew them", []byte(`{"keys":[],"spiffe_sequence":9}`), false},
	} {
		keys.mu.Lock()
		keys.document = step.document
		keys.mu.Unlock()
		s.Clock.Advance(time.Hour)
		if _, err := set.Refresh(context.Background(), td); err != nil {
			t.Fatal(err)
		}
		if offered() != step.want {
			t.Errorf("MD-1 %s: offered is %t", step.name, !step.want)
		}
	}
}

// CA-11, AK-10: a WIT-SVID authenticates at every endpoint, and a proof that was used
// at one is used at all.
func TestOneProofAtEveryEndpoint(t *testing.T) {
	s := newSite(t)
	attestation, holder := s.WIT(t, edge)
	at := func(path, proof string) *httptest.ResponseRecorder {
		return post(s.server.Public(), testidentity.With(testidentity.Certificate(edge), "token", "unknown"), nil, attested(attestation, proof), func(r *http.Request) {
			r.URL.Path = path
		})
	}
	paths := []string{oauth.PathToken, oauth.PathRevoke}
	for _, first := range paths {
		for _, second := range paths {
			proof := s.Proof(t, holder)
			if w := at(first, proof); w.Code != http.StatusOK {
				t.Errorf("CA-11 %s: %d %s", first, w.Code, w.Body)
			}
			if w := at(second, proof); w.Code != http.StatusUnauthorized {
				t.Errorf("AK-10 used at %s, then at %s: %d", first, second, w.Code)
			}
		}
	}
}
