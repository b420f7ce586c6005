package e2e

import (
	"crypto"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

const witClients = `
resources:
  - {resource: https://api.example.com/, scopes: [read]}
clients:
  - {client_id: "spiffe://example.org/edge", token_endpoint_auth_method: spiffe_wit, resources: ["https://api.example.com/"], scope: read}
  - {client_id: gateway, spiffe_id: "spiffe://example.org/gw/*", auth_methods: [spiffe_wit, spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
  - {client_id: billing, spiffe_id: "spiffe://example.org/billing", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "https://clients.example.com/edge.json", spiffe_id: "spiffe://example.org/edge", token_endpoint_auth_method: spiffe_wit, resources: ["https://api.example.com/"], scope: read}
`

// A witHolder is a workload with a WIT-SVID.
type witHolder struct {
	attestation string
	key         crypto.Signer
}

func (d *domain) wit(t *testing.T, path string, mutate ...mutation) witHolder {
	t.Helper()
	key, err := devca.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	attestation, err := d.WITSVID(path, key.Public(), mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return witHolder{secrets.jwt(attestation), key}
}

// proof is one for the server of this suite, made now.
func (h witHolder) proof(t *testing.T, mutate ...mutation) string {
	t.Helper()
	proof, err := devca.Proof(h.key, issuer, time.Now(), mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return secrets.jwt(proof)
}

func (h witHolder) jkt(t *testing.T) string {
	t.Helper()
	sum, err := jose.Thumbprint(h.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// withWIT is a call with a WIT-SVID and a proof; what is empty is not sent.
func withWIT(clientID, attestation, proof string) call {
	c := call{form: form()}
	if clientID != "" {
		c.set("client_id", clientID)
	}
	if attestation != "" {
		c.say(oauth.HeaderClientAttestation + ": " + attestation)
	}
	if proof != "" {
		c.say(oauth.HeaderClientAttestationPoP + ": " + proof)
	}
	return c
}

func newWITDomain(t *testing.T) *domain {
	t.Helper()
	return newDomain(t, "example.org", devca.Options{WIT: true})
}

// Sections 4, 5.1 and 9.3 (CW-2): each defect beside a request that is accepted.
func TestWIT(t *testing.T) {
	td := newWITDomain(t)
	s := start(t, witClients, td)
	id := td.id("/edge")
	invalid := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_client", reason, rule} }
	good := func(t *testing.T) call {
		h := td.wit(t, "/edge")
		return withWIT(id, h.attestation, h.proof(t))
	}
	wit := func(mutate ...mutation) func(*testing.T) call {
		return func(t *testing.T) call {
			h := td.wit(t, "/edge", mutate...)
			return withWIT(id, h.attestation, h.proof(t))
		}
	}
	pop := func(mutate ...mutation) func(*testing.T) call {
		return func(t *testing.T) call {
			h := td.wit(t, "/edge")
			return withWIT(id, h.attestation, h.proof(t, mutate...))
		}
	}
	for _, row := range []struct {
		name string
		twin func(*testing.T) call // nil: an ordinary request
		bad  func(*testing.T) call
		want refusal
	}{
		{"WS-1 no JWS", nil, func(t *testing.T) call { return withWIT(id, "a.b", td.wit(t, "/edge").proof(t)) }, invalid(oauth.ReasonAssertionMalformed, "WS-1")},
		{"WS-2 no typ", nil, wit(without("typ")), invalid(oauth.ReasonWrongTokenType, "WS-2")},
		{"CW-4 another attestation", nil, wit(inHeader("typ", "oauth-client-attestation+jwt")), invalid(oauth.ReasonWrongTokenType, "WS-2")},
		{"WS-3 alg HS256", nil, wit(inHeader("alg", "HS256")), invalid(oauth.ReasonAlgNotAllowed, "WS-3")},
		{"WS-4 no kid", nil, wit(without("kid")), invalid(oauth.ReasonKIDMissing, "WS-4")},
		{"WS-5 crit", wit(inHeader("x", 1)), wit(inHeader("crit", []string{"x"})), invalid(oauth.ReasonHeaderNotAllowed, "WS-5")},
		{"WS-6 no sub", nil, wit(without("sub")), invalid(oauth.ReasonSubNotSPIFFEID, "WS-6")},
		{"WS-7 expired", nil, wit(inClaimsAt("exp", -120*time.Second)), invalid(oauth.ReasonExpired, "WS-7")},
		{"EC-9 no exp", nil, wit(without("exp")), invalid(oauth.ReasonExpMissing, "EC-9")},
		{"WS-8 nbf ahead", wit(inClaimsAt("nbf", -60*time.Second)), wit(inClaimsAt("nbf", 600*time.Second)), invalid(oauth.ReasonNotYetValid, "WS-8")},
		{"WS-9 iat ahead is nothing, a text is", wit(inClaimsAt("iat", 600*time.Second)), wit(inClaims("iat", "now")), invalid(oauth.ReasonClaimMalformed, "WS-9")},
		{"WS-11 aud", wit(inClaims("x", issuer)), wit(inClaims("aud", issuer)), invalid(oauth.ReasonAudForbidden, "WS-11")},
		{"WS-12 no cnf", nil, wit(without("cnf")), invalid(oauth.ReasonCnfMissing, "WS-12")},
		{"WS-13 cnf.jwk without alg", nil, wit(func(_, c map[string]any) { delete(c["cnf"].(map[string]any)["jwk"].(map[string]any), "alg") }), invalid(oauth.ReasonAlgNotAllowed, "WS-13")},
		{"WS-14 a kid of nobody", nil, wit(inHeader("kid", "nobody")), invalid(oauth.ReasonKIDUnknownAfterRefresh, "WS-14")},
		{"AK-5 the kid of a jwt-svid key", nil, func(t *testing.T) call {
			kid, _, _ := td.JWTKey()
			return wit(inHeader("kid", kid))(t)
		}, invalid(oauth.ReasonKeyWrongUse, "WS-14")},
		{"WS-16 iss is nothing", wit(inClaims("iss", "https://issuer.example.com")), wit(inClaims("sub", "spiffe://other.example/edge")), invalid(oauth.ReasonTDUnknown, "JS-13")},
		{"WS-17 a WIT-SVID without its proof", nil, func(t *testing.T) call { return withWIT(id, td.wit(t, "/edge").attestation, "") }, invalid(oauth.ReasonPoPMissing, "PP-1")},
		{"PP-1 a proof without its WIT-SVID", nil, func(t *testing.T) call { return withWIT(id, "", td.wit(t, "/edge").proof(t)) }, invalid(oauth.ReasonAssertionMissing, "PP-1")},
		{"PP-1 two proofs", nil, func(t *testing.T) call {
			h := td.wit(t, "/edge")
			c := withWIT(id, h.attestation, h.proof(t))
			c.say("oauth-client-attestation-pop: " + h.proof(t))
			return c
		}, invalid(oauth.ReasonPoPBad, "PP-1")},
		{"PP-1 two WIT-SVIDs in one header", nil, func(t *testing.T) call {
			h := td.wit(t, "/edge")
			return withWIT(id, h.attestation+", "+h.attestation, h.proof(t))
		}, invalid(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-2 typ JWT", nil, pop(inHeader("typ", "JWT")), invalid(oauth.ReasonPoPBad, "PP-2")},
		{"PP-3 another alg", nil, pop(inHeader("alg", "PS256")), invalid(oauth.ReasonPoPBad, "PP-3")},
		{"PP-4 another key", nil, func(t *testing.T) call {
			return withWIT(id, td.wit(t, "/edge").attestation, td.wit(t, "/edge").proof(t))
		}, invalid(oauth.ReasonPoPBad, "PP-4")},
		{"PP-5 the endpoint as audience", pop(inClaims("aud", []string{issuer})), pop(inClaims("aud", issuer+"/token")), invalid(oauth.ReasonPoPBad, "PP-5")},
		{"PP-5 a slash more", nil, pop(inClaims("aud", issuer+"/")), invalid(oauth.ReasonPoPBad, "PP-5")},
		{"PP-5 two audiences", nil, pop(inClaims("aud", []string{issuer, issuer + "/"})), invalid(oauth.ReasonPoPBad, "PP-5")},
		{"PP-6 no jti", nil, pop(without("jti")), invalid(oauth.ReasonPoPBad, "PP-6")},
		{"PP-7 ten minutes old", pop(inClaimsAt("iat", -30*time.Second)), pop(inClaimsAt("iat", -600*time.Second)), invalid(oauth.ReasonPoPBad, "PP-7")},
		{"PP-9 another iss", pop(inClaims("iss", id)), pop(inClaims("iss", td.id("/other"))), invalid(oauth.ReasonPoPBad, "PP-9")},
		{"PP-10 exp passed", pop(inClaimsAt("exp", 60*time.Second)), pop(inClaimsAt("exp", -time.Second)), invalid(oauth.ReasonPoPBad, "PP-10")},
		{"PP-10 nbf to come", pop(inClaimsAt("nbf", 30*time.Second)), pop(inClaimsAt("nbf", 90*time.Second)), invalid(oauth.ReasonPoPBad, "PP-10")},
		{"PP-11 an unknown claim is nothing, a missing one is", pop(inClaims("challenge", "x")), pop(without("iat")), invalid(oauth.ReasonPoPBad, "PP-7")},
		{"PP-14 more than 8 KiB", pop(inClaims("x", strings.Repeat("x", 5000))), pop(inClaims("x", strings.Repeat("x", 7000))), invalid(oauth.ReasonAssertionTooLarge, "PP-14")},
		{"PP-21 a DPoP proof in its place", func(t *testing.T) call {
			c := good(t)
			c.say("DPoP: a.b.c")
			return c
		}, func(t *testing.T) call {
			h := td.wit(t, "/edge")
			c := withWIT(id, h.attestation, "")
			c.say("DPoP: " + h.proof(t))
			return c
		}, invalid(oauth.ReasonPoPMissing, "PP-1")},
		{"AV-10 as bearer", nil, func(t *testing.T) call {
			c := withWIT(id, "", "")
			c.say("Authorization: Bearer " + td.wit(t, "/edge").attestation)
			return c
		}, invalid(oauth.ReasonMethodNotAllowed, "CA-7")},
		{"CW-1 in the place of an assertion", nil, func(t *testing.T) call {
			return withJWT("billing", td.wit(t, "/billing").attestation)
		}, invalid(oauth.ReasonWrongTokenType, "JS-4")},
		{"CA-5 beside an assertion", nil, func(t *testing.T) call {
			c := good(t)
			c.set("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE)
			c.set("client_assertion", td.jwt(t, "/edge", issuer))
			return c
		}, refusal{"invalid_request", oauth.ReasonMixedCredentials, "CA-5"}},
		{"CW-7 the headers between workloads", nil, func(t *testing.T) call {
			h := td.wit(t, "/edge")
			c := withWIT(id, "", "")
			c.say("Workload-Identity-Token: " + h.attestation)
			c.say("Workload-Proof-Token: " + h.proof(t))
			return c
		}, invalid(oauth.ReasonAssertionMissing, "TK-2")},
		{"CW-6 no client_id", nil, func(t *testing.T) call {
			c := good(t)
			c.drop("client_id")
			return c
		}, refusal{"invalid_request", oauth.ReasonClientIDMissing, "CW-6"}},
		{"CW-6 an unrelated client_id", func(t *testing.T) call { // the identifier need not be the SPIFFE ID
			c := good(t)
			c.set("client_id", "https://clients.example.com/edge.json")
			return c
		}, func(t *testing.T) call {
			c := good(t)
			c.set("client_id", "gateway")
			return c
		}, invalid(oauth.ReasonClientIDMismatch, "CA-9")},
		{"CA-7 a client of another method", func(t *testing.T) call {
			h := td.wit(t, "/gw/eu/1")
			return withWIT("gateway", h.attestation, h.proof(t))
		}, func(t *testing.T) call {
			h := td.wit(t, "/billing")
			return withWIT("billing", h.attestation, h.proof(t))
		}, invalid(oauth.ReasonMethodNotAllowed, "CA-7")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.twin == nil {
				row.twin = good
			}
			s.granted(t, row.twin(t))
			s.refused(t, row.bad(t), row.want)
		})
	}
}

// DP-4, TK-6: the token is bound to the key, also over a connection with a
// certificate of the same workload; and a WIT-SVID serves as often as it likes.
func TestWITBinding(t *testing.T) {
	td := newWITDomain(t)
	s := start(t, witClients, td)
	h := td.wit(t, "/edge")
	for name, cert := range map[string]bool{"alone": false, "beside a certificate": true} {
		c := withWIT(td.id("/edge"), h.attestation, h.proof(t))
		if cert {
			c.cert = td.svid(t, "/edge")
		}
		g := s.granted(t, c)
		if g.key() != h.jkt(t) || g.thumbprint() != "" || g.audit.text("binding") != "jkt" || g.audit.text("auth_method") != "spiffe_wit" || len(g.audit.text("proof")) != 64 {
			t.Errorf("DP-4 %s: %v, %v", name, g.claims["cnf"], g.audit)
		}
	}
	c := withWIT(td.id("/edge"), h.attestation, h.proof(t))
	c.cert = td.svid(t, "/billing")
	s.refused(t, c, refusal{"invalid_request", oauth.ReasonMixedCredentials, "TK-3"})
	g := s.granted(t, withJWT("billing", td.jwt(t, "/billing", issuer)))
	if g.key() != "" || g.audit["proof"] != nil {
		t.Errorf("a JWT-SVID: %v, %v", g.claims["cnf"], g.audit)
	}
}

// F16: of 100 uses of one proof at once exactly one succeeds; a jti of a megabyte
// is refused before anything of it is kept.
func TestOneProofManyTimes(t *testing.T) {
	td := newWITDomain(t)
	s := start(t, witClients, td)
	h := td.wit(t, "/edge")
	c := withWIT(td.id("/edge"), h.attestation, h.proof(t))
	var granted, replayed atomic.Int32
	var callers sync.WaitGroup
	for range 10 {
		conn := s.dial(t, "public", tlsConfig("public", nil))
		callers.Go(func() {
			for range 10 {
				switch a := conn.do(t, c); {
				case a.status == http.StatusOK:
					granted.Add(1)
				case a.audit.text("reason") == "pop_replayed":
					replayed.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if granted.Load() != 1 || replayed.Load() != 99 {
		t.Errorf("F16 %d of 100 uses of one proof were granted, %d were replays", granted.Load(), replayed.Load())
	}
	s.refused(t, c, refusal{"invalid_client", oauth.ReasonPoPReplayed, "PP-8"})
	big := withWIT(td.id("/edge"), h.attestation, h.proof(t, inClaims("jti", strings.Repeat("j", 1<<20))))
	big.silent = true // the HTTP library refuses such a header block
	if a := s.do(t, big); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("F16 a jti of a megabyte: %d", a.status)
	}
	long := withWIT(td.id("/edge"), h.attestation, h.proof(t, inClaims("jti", strings.Repeat("j", 8<<10))))
	s.refused(t, long, refusal{"invalid_client", oauth.ReasonAssertionTooLarge, "PP-14"})
}

// AK-10: a proof that was used before the server was killed, or stopped, is not good
// after it is there again; one that was not is.
func TestProofsOutliveTheServer(t *testing.T) {
	td := newFileDomain(t, "example.org", devca.Options{WIT: true})
	s := start(t, witClients, td)
	h := td.wit(t, "/edge")
	replayed := refusal{"invalid_client", oauth.ReasonPoPReplayed, "PP-8"}
	var used []call
	use := func() {
		c := withWIT(td.id("/edge"), h.attestation, h.proof(t, inClaimsAt("iat", 45*time.Second))) // good for a while
		s.granted(t, c)
		used = append(used, c)
	}
	// Refused by policy, and used up all the same.
	denied := withWIT(td.id("/edge"), h.attestation, h.proof(t, inClaimsAt("iat", 45*time.Second)))
	denied.set("scope", "write")
	s.refused(t, denied, refusal{"invalid_scope", oauth.ReasonScopeDenied, "CC-4"})
	denied.drop("scope")
	used = append(used, denied)
	unused := withWIT(td.id("/edge"), h.attestation, h.proof(t, inClaimsAt("iat", 45*time.Second)))
	use()
	for _, end := range []string{"killed", "stopped", "killed with a line torn"} {
		use()
		switch end {
		case "stopped":
			s.stop(t)
		default:
			s.kill(t)
		}
		if end == "killed with a line torn" {
			record, err := os.OpenFile(s.record.path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := record.WriteString(`{"version":1,"seq":`); err != nil {
				t.Fatal(err)
			}
			record.Close()
		}
		s.run(t)
		for _, c := range used {
			s.refused(t, c, replayed)
		}
	}
	s.granted(t, unused)
	s.refused(t, unused, replayed)
}

// AK-10: where the record cannot be read back, what may have been used is refused,
// and the caller told to come again.
func TestProofsWithoutARecord(t *testing.T) {
	td := newWITDomain(t)
	s := start(t, witClients+`audit: {file: "-"}`, td)
	h := td.wit(t, "/edge")
	a := s.do(t, withWIT(td.id("/edge"), h.attestation, h.proof(t)))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || len(a.body) > 0 {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	s.loggedOnce(t, a.id, refusal{"(unavailable)", oauth.ReasonPoPMemoryLost, "EC-10"})
	seen.note(string(oauth.ReasonPoPMemoryLost)) // there is no file to find it in
	s.granted(t, withJWT("billing", td.jwt(t, "/billing", issuer)))
}

// PP-12, PP-13: challenges, in each of the modes.
func TestChallenges(t *testing.T) {
	td := newWITDomain(t)
	for mode, bare := range map[string]refusal{
		"off": {}, "offered": {}, "required": {"use_attestation_challenge", oauth.ReasonChallengeMissing, "PP-12"},
	} {
		t.Run(mode, func(t *testing.T) {
			s := start(t, witClients+"wit: {challenge: "+mode+"}\n", td)
			h := td.wit(t, "/edge")
			with := func(mutate ...mutation) call { return withWIT(td.id("/edge"), h.attestation, h.proof(t, mutate...)) }
			var m oauth.Metadata
			if err := json.Unmarshal(s.do(t, call{method: http.MethodGet, target: oauth.PathASMetadata}).body, &m); err != nil {
				t.Fatal(err)
			}
			a := s.do(t, call{target: oauth.PathChallenge})
			if mode == "off" {
				if a.status != http.StatusNotFound || m.ChallengeEndpoint != "" {
					t.Errorf("PP-13 off: status %d, endpoint %q", a.status, m.ChallengeEndpoint)
				}
				s.granted(t, with(inClaims("challenge", "anything")))
				return
			}
			var body map[string]string
			if err := json.Unmarshal(a.body, &body); err != nil || a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" || m.ChallengeEndpoint != issuer+oauth.PathChallenge {
				t.Fatalf("PP-13 %d %v %s %v, endpoint %q", a.status, a.header, a.body, err, m.ChallengeEndpoint)
			}
			given := body["attestation_challenge"]
			s.granted(t, with(inClaims("challenge", given)))
			s.granted(t, with(inClaims("challenge", given))) // any number of proofs
			wrong := s.refused(t, with(inClaims("challenge", "A"+given)), refusal{"use_attestation_challenge", oauth.ReasonChallengeBad, "PP-12"})
			fresh := wrong.header.Get(oauth.HeaderClientAttestationChallenge)
			s.granted(t, with(inClaims("challenge", fresh)))
			if bare == (refusal{}) {
				s.granted(t, with())
			} else {
				s.refused(t, with(), bare)
			}
			if s.addresses["mtls"] != "" {
				if a := s.do(t, call{target: oauth.PathChallenge, cert: td.svid(t, "/edge")}); a.status != http.StatusOK {
					t.Errorf("PP-13 at the mtls listener: %d", a.status)
				}
			}
		})
	}
}

// EC-1, MD-1, BU-12: spiffe_wit is offered while a bundle has keys for it, and not where it
// is switched off.
func TestWITIsOfferedWhileItWorks(t *testing.T) {
	td := newFileDomain(t, "example.org", devca.Options{})
	withKeys := newWITDomain(t)
	off := newFileDomain(t, "off.example", devca.Options{WIT: true})
	off.more = ", enable_wit: false"
	seed := newFileDomain(t, "seed.example", devca.Options{WIT: true})
	seed.more = ", profile: seed"
	s := start(t, witClients+`  - {client_id: off, spiffe_id: "spiffe://off.example/a", auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
`, td, off, seed)
	offered := func() bool {
		var m oauth.Metadata
		if err := json.Unmarshal(s.do(t, call{method: http.MethodGet, target: oauth.PathASMetadata}).body, &m); err != nil {
			t.Fatal(err)
		}
		for _, method := range m.TokenEndpointAuthMethodsSupported {
			if method == oauth.MethodWIT {
				return true
			}
		}
		return false
	}
	if offered() {
		t.Error("MD-1 offered without a key")
	}
	h := withKeys.wit(t, "/edge")
	s.refused(t, withWIT(td.id("/edge"), h.attestation, h.proof(t)), refusal{"invalid_client", oauth.ReasonBundleNoKeys, "BU-12"})
	h = off.wit(t, "/a")
	s.refused(t, withWIT(td.id("/edge"), h.attestation, h.proof(t)), refusal{"invalid_client", oauth.ReasonMethodNotAllowed, "CA-3"})
	h = seed.wit(t, "/a")
	s.refused(t, withWIT(td.id("/edge"), h.attestation, h.proof(t)), refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"})
	td.serve(t, string(withKeys.Bundle()))
	until(t, "spiffe_wit in the metadata", offered)
	h = withKeys.wit(t, "/edge")
	s.granted(t, withWIT(td.id("/edge"), h.attestation, h.proof(t)))
	td.serve(t, `{"keys":[],"spiffe_sequence":99}`)
	until(t, "no spiffe_wit in the metadata", func() bool { return !offered() })
}

// explain reads a WIT-SVID with and without its proof, and finds a decision.
func TestExplainWIT(t *testing.T) {
	td := newFileDomain(t, "example.org", devca.Options{WIT: true})
	s := start(t, witClients, td)
	h := td.wit(t, "/edge")
	type report struct {
		Accepted bool
		Reason   string
		Method   string
		Rules    []struct {
			ID string
			OK *bool
		}
		Next  string
		Notes []string
	}
	explained := func(content string, flags ...string) (r report, judged map[string]*bool) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "svid")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, _ := command(t, s.dir, append([]string{"explain", file, "--json"}, flags...)...)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v: %s%s", err, out, errs)
		}
		judged = map[string]*bool{}
		for _, rule := range r.Rules {
			judged[rule.ID] = rule.OK
		}
		return r, judged
	}
	bundle := []string{"--bundle", td.file, "--trust-domain", "example.org", "--audience", issuer}
	proof := h.proof(t, inClaimsAt("iat", 45*time.Second)) // good for a while
	for name, flags := range map[string][]string{"server": {"--client-id", td.id("/edge")}, "config": {"--config", "svidgate.yaml", "--client-id", td.id("/edge")}, "bundle": bundle} {
		alone, rules := explained(h.attestation, flags...)
		if !alone.Accepted || alone.Method != "spiffe_wit" || rules["WS-14"] == nil || !*rules["WS-14"] || rules["PP-4"] != nil || rules["PP-8"] != nil || !strings.Contains(strings.Join(alone.Notes, "\n"), "no proof was given") {
			t.Errorf("%s: %+v", name, alone)
		}
		both, rules := explained(h.attestation+"\n"+proof+"\n", flags...)
		if !both.Accepted || rules["PP-4"] == nil || !*rules["PP-4"] {
			t.Errorf("%s: %+v", name, both)
		}
		other, _ := explained(h.attestation+"\n"+td.wit(t, "/edge").proof(t)+"\n", flags...)
		if other.Accepted || other.Reason != "pop_bad" || !strings.Contains(other.Next, "spiffe_wit") {
			t.Errorf("%s: %+v", name, other)
		}
	}
	c := withWIT(td.id("/edge"), h.attestation, proof)
	s.granted(t, c)
	if again, _ := explained(h.attestation+"\n"+proof+"\n", "--client-id", td.id("/edge")); again.Accepted || again.Reason != "pop_replayed" {
		t.Errorf("PP-8 %+v", again)
	}
	a := s.refused(t, c, refusal{"invalid_client", oauth.ReasonPoPReplayed, "PP-8"})
	out, errs, code := command(t, s.dir, "explain", "--request-id", a.id)
	if code != 0 || !strings.Contains(out, "pop_replayed (PP-8)") || !strings.Contains(out, "the proof was not used before") || !strings.Contains(out, "spiffe_wit") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	out, errs, code = commandWith(t, s.dir, nil, []byte(h.attestation+"\n"+proof), "inspect", "-", "--json")
	if code != 0 || !strings.Contains(out, "WIT-SVID and its proof") || strings.Contains(out, proof[strings.LastIndexByte(proof, '.')+1:]) {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
