//go:build spire

package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/client"
	svids "github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// WS-1 to WS-18, PP-1 to PP-15, CW-1, CL-6: the WIT-SVIDs of real SPIRE, which its
// server mints behind a feature flag and its agent does not hand out yet.
func TestSpireWIT(t *testing.T) {
	t.Parallel()
	d := newSPIRE(t, "gamma.test", spireOptions{wit: true})
	d.exportWIT(t)
	d.agent(t, "agent", spireEntry{path: "/client/one"})

	// CL-6: the agent says that it has none, and the workload goes by what it has.
	i := d.identity(t, "agent", "/client/one")
	if token, _, err := i.GetWITSVID(); err == nil || len(i.Credentials()) != 2 {
		t.Errorf("the agent gives a WIT-SVID, so this test can do without files: %d bytes, %d credentials", len(token), len(i.Credentials()))
	}
	view, err := svids.Look(t.Context(), d.address("agent"), "")
	if err != nil || len(view.X509SVIDs) != 1 || view.WITSVIDs != nil {
		t.Errorf("%v, %v", view, err)
	}

	registered := func(id string) string {
		return "  - {client_id: \"" + id + "\", token_endpoint_auth_method: spiffe_wit, resources: [\"" + apiURL + "\"], scope: read}\n"
	}
	clients := registered(d.id("/client/one")) + registered(d.id("/client/two"))
	for _, mode := range []string{"off", "required"} {
		s := startReachable(t, "wit: {challenge: "+mode+"}\n"+spireConfig(clients, d.viaFile()))
		keys, err := resource.NewStaticKeys(s.issuer, must(json.Marshal(s.jwks(t))))
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []struct{ key, alg string }{{"ec-p256", "ES256"}, {"ec-p384", "ES384"}, {"rsa-2048", "PS256"}} {
			t.Run("challenge "+mode+" "+kind.alg, func(t *testing.T) {
				w := d.mint(t, "/client/one", kind.key, kind.alg)
				c := clientOf(t, s, "", client.WITSVID(client.WITSVIDFiles(w.tokenFile, w.keyFile)))
				token, err := c.Token(t.Context(), client.Request{Resource: apiURL})
				if err != nil {
					t.Fatal(err)
				}
				s.took(1)
				secrets.jwt(string(token.AccessToken))
				_, claims := jwtParts(t, string(token.AccessToken))
				cnf, _ := claims["cnf"].(map[string]any)
				if token.TokenType != oauth.TokenTypeDPoP || claims["sub"] != w.id || claims["client_id"] != w.id || len(cnf) != 1 || cnf["jkt"] != w.jkt {
					t.Errorf("DP-4 %s, sub %v, cnf %v, want jkt %s", token.TokenType, claims["sub"], cnf, w.jkt)
				}

				// The API takes it with a proof by that key, once.
				v, err := resource.New(resource.Config{Resource: apiURL, Issuers: []resource.KeySource{keys}, Now: begunBefore()})
				if err != nil {
					t.Fatal(err)
				}
				call, err := http.NewRequestWithContext(t.Context(), http.MethodGet, apiURL, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := token.Authorize(call); err != nil {
					t.Fatal(err)
				}
				caller, err := v.Verify(t.Context(), call, "read")
				if err != nil || caller.Subject() != w.id || caller.Binding() != oauth.BindingKey {
					t.Errorf("DP-5 %s, %s, %v", caller.Subject(), caller.Binding(), err)
				}
				if _, err := v.Verify(t.Context(), call, "read"); !errors.Is(err, oauth.ReasonPoPReplayed) {
					t.Errorf("DP-3 the second use of a proof: %v", err)
				}

				// By hand, with the same SVID: WS-15. Its proof counts once (PP-8).
				challenge := s.challenge(t, mode)
				request := w.proves(t, s.issuer, challenge)
				g := s.granted(t, request)
				if g.claim("sub") != w.id {
					t.Errorf("sub %s", g.claim("sub"))
				}
				s.refused(t, request, refusal{"invalid_client", oauth.ReasonPoPReplayed, "PP-8"})
				other := w.proves(t, s.issuer, challenge)
				other.set("client_id", d.id("/client/two"))
				s.refused(t, other, refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"})
				s.refused(t, w.proves(t, s.issuer+"/", challenge), refusal{"invalid_client", oauth.ReasonPoPBad, "PP-5"})
				// Another key, rightly held, is not the one that the SVID names (PP-4).
				stolen := *w
				stolen.signer = d.mint(t, "/client/two", kind.key, kind.alg).signer
				s.refused(t, stolen.proves(t, s.issuer, challenge), refusal{"invalid_client", oauth.ReasonPoPBad, "PP-4"})
				if mode == "required" { // PP-12
					a := s.do(t, w.proves(t, s.issuer, ""))
					if given := a.header.Get(oauth.HeaderClientAttestationChallenge); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `"use_attestation_challenge"`) || given == "" {
						t.Fatalf("without a challenge: %d %s, %q", a.status, a.body, given)
					} else {
						s.granted(t, w.proves(t, s.issuer, given))
					}
				}
			})
		}
	}
}

// exportWIT is export, and adds the keys for WIT-SVIDs, which SPIRE leaves out of
// every bundle that it writes.
func (d *spire) exportWIT(t *testing.T) {
	t.Helper()
	var known struct {
		Keys []struct {
			ID     string `json:"key_id"`
			Public string `json:"public_key"`
		} `json:"wit_authorities"`
	}
	if err := json.Unmarshal(d.ctl(t, "bundle", "show", "-output", "json"), &known); err != nil || len(known.Keys) == 0 {
		t.Fatalf("%d keys for WIT-SVIDs, %v", len(known.Keys), err)
	}
	var document map[string]any
	if err := json.Unmarshal(d.document(t), &document); err != nil {
		t.Fatal(err)
	}
	entries := document["keys"].([]any)
	for _, k := range known.Keys {
		var entry map[string]any
		if err := json.Unmarshal(must(jose.MarshalJWK(must(x509.ParsePKIXPublicKey(must(base64.StdEncoding.DecodeString(k.Public)))), k.ID, "wit-svid", "")), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	document["keys"] = entries
	d.write(t, "bundle.json", must(json.Marshal(document)))
	d.file = d.path("bundle.json")
}

// A minted is a WIT-SVID with its key, in memory and in files.
type minted struct {
	id, token, jkt     string
	signer             crypto.Signer
	alg                jose.Algorithm
	tokenFile, keyFile string
}

func (d *spire) mint(t *testing.T, path, key, alg string) *minted {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), d.server.cmd.Path, "wit", "mint", "-spiffeID", d.id(path), "-keyType", key, "-signingAlgorithm", alg,
		"-write", dir, "-socketPath", d.socket("server"))
	cmd.Env = append(os.Environ(), "SPIRE_SERVER_FFLAGS=wit-svid")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("spire-server wit mint: %v: %s", err, out)
	}
	w := &minted{id: d.id(path), alg: jose.Algorithm(alg), tokenFile: filepath.Join(dir, "token"), keyFile: filepath.Join(dir, "key")}
	w.token = secrets.jwt(string(must(os.ReadFile(w.tokenFile))))
	var private gojose.JSONWebKey
	if err := json.Unmarshal(must(os.ReadFile(w.keyFile)), &private); err != nil {
		t.Fatal(err)
	}
	w.signer = private.Key.(crypto.Signer)
	var members map[string]string
	if err := json.Unmarshal(must(os.ReadFile(w.keyFile)), &members); err != nil {
		t.Fatal(err)
	}
	secrets.add("private key of a WIT-SVID", members["d"])
	w.jkt = must(jose.Thumbprint(w.signer.Public()))
	return w
}

// proves is a request with this WIT-SVID and a proof made now.
func (w *minted) proves(t *testing.T, audience, challenge string) call {
	t.Helper()
	claims := map[string]any{"aud": audience, "jti": rand.Text(), "iat": time.Now().Unix()}
	if challenge != "" {
		claims["challenge"] = challenge
	}
	header := map[string]any{"typ": "oauth-client-attestation-pop+jwt", "alg": string(w.alg)}
	proof := secrets.jwt(must(jose.Sign(w.alg, w.signer, must(json.Marshal(header)), must(json.Marshal(claims)))))
	return call{
		header: []string{"OAuth-Client-Attestation: " + w.token, "OAuth-Client-Attestation-PoP: " + proof},
		form:   form("client_id", w.id),
	}
}

// challenge is what the challenge endpoint gives; empty where there is none.
func (s *server) challenge(t *testing.T, mode string) string {
	t.Helper()
	if mode == "off" {
		return ""
	}
	a := s.do(t, call{target: "/challenge"})
	var given struct {
		Challenge string `json:"attestation_challenge"`
	}
	if err := json.Unmarshal(a.body, &given); err != nil || a.status != http.StatusOK || given.Challenge == "" {
		t.Fatalf("PP-13 %d %s, %v", a.status, a.body, err)
	}
	return given.Challenge
}

// begunBefore is the clock of an API that began a minute before it is made here: one
// that has only just begun takes no proof for ten seconds (DP-3).
func begunBefore() func() time.Time {
	began := false
	return func() time.Time {
		if !began {
			began = true
			return time.Now().Add(-time.Minute)
		}
		return time.Now()
	}
}
