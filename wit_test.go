package svidgate_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// A holder is a WIT-SVID with its key.
type holder struct {
	attestation string
	key         crypto.Signer
}

func (d domain) holder(t testing.TB, kind devca.KeyAlgorithm, changes ...change) holder {
	t.Helper()
	key, err := devca.GenerateKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	attestation, err := d.WITSVID("/a", key.Public(), changes...)
	if err != nil {
		t.Fatal(err)
	}
	return holder{attestation, key}
}

func (h holder) proof(t testing.TB, changes ...change) string {
	t.Helper()
	proof, err := devca.Proof(h.key, issuer, noon, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// shown is the WIT-SVID with a proof, as in a request.
func (h holder) shown(t testing.TB, changes ...change) svidgate.WITPresentation {
	t.Helper()
	return svidgate.WITPresentation{Attestation: h.attestation, Proof: h.proof(t, changes...)}
}

// judgeWIT does for a WIT-SVID and its proof what judgeJWT does for an assertion.
func judgeWIT(t testing.TB, v *svidgate.Verifier, p svidgate.WITPresentation, w want) svidgate.Identity {
	t.Helper()
	id, err := v.VerifyWITSVID(context.Background(), p)
	e, use := v.ExplainWITSVID(context.Background(), p)
	checkOutcome(t, id, err, w)
	checkExplanation(t, oauth.MethodWIT, err, e)
	for _, token := range []string{p.Attestation, p.Proof} {
		if i := strings.LastIndexByte(token, '.'); i >= 0 && len(token)-i > 20 {
			checkHidden(t, token[i+1:], err, e)
		}
	}
	if of, ok := id.ProofUse(); ok != (err == nil) || of != use {
		t.Errorf("PP-8 the proof is used as %x, explained as %x", of.Mark, use.Mark)
	}
	return id
}

var witKeyUnknown = refused(oauth.ReasonKIDUnknown, "WS-14")

// What is proven, and what the next stages are told of it.
func TestWITIdentity(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	v := newVerifier(t, bundlesOf(t, d))
	h := d.holder(t, "", claim("jti", "wit-7"))
	first := judgeWIT(t, v, h.shown(t, claim("jti", "one")), accepted)
	kid, _, _ := d.WITKey()
	sum, err := jose.ThumbprintSum(h.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	thumbprint, bound := first.KeyThumbprint()
	_, certified := first.CertificateThumbprint()
	sequence, sequenced := first.BundleSequence()
	if first.Method() != oauth.MethodWIT || first.SPIFFEID().String() != "spiffe://example.org/a" || thumbprint != sum || !bound || certified ||
		first.KeyID() != kid || first.TokenID() != "wit-7" || !first.ExpiresAt().Equal(noon.Add(5*time.Minute)) || sequence != 1 || !sequenced || first.LegacyAudience() {
		t.Errorf("%v: %+v", first, first)
	}
	use, ok := first.ProofUse()
	if !ok || !use.Made.Equal(noon) || !use.Until.Equal(noon.Add(61*time.Second)) {
		t.Errorf("PP-8 the use is %+v", use)
	}
	same := judgeWIT(t, v, h.shown(t, claim("jti", "one"), claim("x", 1)), accepted)
	other := judgeWIT(t, v, h.shown(t, claim("jti", "two")), accepted)
	stranger := judgeWIT(t, v, d.holder(t, "").shown(t, claim("jti", "one")), accepted)
	for name, id := range map[string]svidgate.Identity{"the same jti": same, "another jti": other, "the same jti by another key": stranger} {
		of, _ := id.ProofUse()
		if (of.Mark == use.Mark) != (name == "the same jti") {
			t.Errorf("PP-8 %s has the same mark: %t", name, of.Mark == use.Mark)
		}
	}
	if first.Digest() != other.Digest() || first.Digest() == stranger.Digest() {
		t.Error("CA-14 the digest is not that of the WIT-SVID")
	}
	jwt, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: d.svid(t), EndpointURL: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := jwt.KeyThumbprint(); ok {
		t.Error("DP-4 a JWT-SVID has a key")
	}
	if _, ok := jwt.ProofUse(); ok {
		t.Error("PP-8 a JWT-SVID has a proof")
	}
}

// The proof may be made with any of the nine algorithms that has a key here, and
// the WIT-SVID be signed with any; ES256 is one of them (WS-20).
func TestWITAlgorithms(t *testing.T) {
	for _, alg := range jose.SVIDAlgorithms {
		d := newDomain(t, "example.org", devca.Options{WIT: true, JWTAlgorithm: alg})
		judgeWIT(t, newVerifier(t, bundlesOf(t, d)), d.holder(t, "").shown(t), accepted)
	}
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	v := newVerifier(t, bundlesOf(t, d))
	for _, kind := range []devca.KeyAlgorithm{devca.P256, devca.P384, devca.P521, devca.RSA2048} {
		judgeWIT(t, v, d.holder(t, kind).shown(t), accepted)
	}
	key, err := devca.GenerateKey(devca.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []jose.Algorithm{jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		attestation, err := d.WITSVID("/a", key.Public(), func(_, c map[string]any) { c["cnf"].(map[string]any)["jwk"].(map[string]any)["alg"] = alg })
		if err != nil {
			t.Fatal(err)
		}
		proof, err := devca.SignJWT(map[string]any{"alg": alg, "typ": oauth.TypeAttestationPoP}, map[string]any{"aud": issuer, "jti": "1", "iat": noon.Unix()}, key, alg)
		if err != nil {
			t.Fatal(err)
		}
		judgeWIT(t, v, svidgate.WITPresentation{Attestation: attestation, Proof: proof}, accepted)
	}
}

// A signature that was found good is remembered with the key it vouches for; the
// proof, the time and the rest are judged again.
func TestRememberedWIT(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	stranger := newDomain(t, "example.org", devca.Options{WIT: true})
	b := bundlesOf(t, d)
	var m moment
	v := m.verifier(t, b, func(c *svidgate.Config) { c.Settings.MaxBundleAge = svidgate.Unbounded })
	h := d.holder(t, "")
	other := d.holder(t, "")
	proof := func(h holder) func() string {
		return func() string {
			p, err := devca.Proof(h.key, issuer, m.now)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	made := proof(h)
	first := b[d.TrustDomain()]
	runSteps(t, []step{
		{"CW-3 the first time it is verified", nil, accepted, false},
		{"CW-3 then it is remembered", nil, accepted, true},
		{"PP-4 but not for another key", func() { made = proof(other) }, refused(oauth.ReasonPoPBad, "PP-4"), false},
		{"CW-3 of a bundle without its key nothing is remembered", func() { made, b[d.TrustDomain()] = proof(h), stranger.snapshot(t) }, witKeyUnknown, false},
		{"CW-3 the old bundle again, and it is remembered", func() { b[d.TrustDomain()] = first }, accepted, true},
		{"CW-3 another bundle with the same key: verified anew", func() {
			if _, err := d.RotateWITKey(); err != nil {
				t.Fatal(err)
			}
			b[d.TrustDomain()] = d.snapshot(t)
		}, accepted, false},
		{"WS-7 expired meanwhile", func() { m.now = noon.Add(2 * time.Hour) }, refused(oauth.ReasonExpired, "WS-7"), false},
		{"CW-3 back at noon", func() { m.now = noon }, accepted, true},
	}, func(w want) svidgate.Identity {
		return judgeWIT(t, v, svidgate.WITPresentation{Attestation: h.attestation, Proof: made()}, w)
	})
	p := h.shown(t)
	p.Attestation = flipped(p.Attestation)
	for range 2 {
		judgeWIT(t, v, p, refused(oauth.ReasonSignatureBad, "CW-3"))
	}
}

// The key that signs is not in the bundle at hand (JS-15, BE-17).
func TestWITRefresh(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	before := d.snapshot(t)
	old := d.holder(t, "")
	if _, err := d.RotateWITKey(); err != nil {
		t.Fatal(err)
	}
	after, rotated := d.snapshot(t), d.holder(t, "")
	stranger := newDomain(t, "example.org", devca.Options{WIT: true})
	jwtKID, _, _ := d.JWTKey()
	still := refused(oauth.ReasonKIDUnknownAfterRefresh, "WS-14")
	for _, c := range []struct {
		name  string
		h     holder
		fetch *fetcher
		want  want
		calls int
	}{
		{"WS-14 a known kid needs no fetch", old, &fetcher{answer: after}, accepted, 0},
		{"F1 a kid rotated in since the last poll", rotated, &fetcher{answer: after}, accepted, 1},
		{"WS-14 a kid of nobody", stranger.holder(t, ""), &fetcher{answer: after}, still, 1},
		{"WS-14 the fetch fails", rotated, &fetcher{err: errors.New("no route")}, still, 1},
		{"WS-14 no fetching at all", rotated, nil, witKeyUnknown, 0},
		{"WS-14 no fetch for a jwt-svid key's kid", d.holder(t, "", header("kid", jwtKID)), &fetcher{answer: after}, refused(oauth.ReasonKeyWrongUse, "WS-14"), 0},
		{"WS-4 no fetch without kid", stranger.holder(t, "", withoutHeader("kid")), &fetcher{answer: after}, refused(oauth.ReasonKIDMissing, "WS-4"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifier(t, bundles{d.TrustDomain(): before}, func(cfg *svidgate.Config) {
				if c.fetch != nil {
					cfg.Refresh = c.fetch.refresh
				}
			})
			id, err := v.VerifyWITSVID(context.Background(), c.h.shown(t))
			checkOutcome(t, id, err, c.want)
			if c.fetch != nil && len(c.fetch.calls) != c.calls {
				t.Errorf("fetched %q, want %d fetches", c.fetch.calls, c.calls)
			}
		})
	}
}

// AK-3: no key of another trust domain; AK-5: no entry of another use.
func TestWITAcrossTrustDomains(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.RS256} {
		bothWays(t, devca.Options{JWTAlgorithm: alg, WIT: true}, func(t *testing.T, victim, attacker domain, b bundles) {
			v := newVerifier(t, b)
			asVictim := claim("sub", victim.idOf("/a"))
			kid, _, _ := victim.WITKey()
			jwtKID, jwtAlg, jwtKey := victim.JWTKey()
			judgeWIT(t, v, victim.holder(t, "").shown(t), accepted)
			judgeWIT(t, v, attacker.holder(t, "").shown(t), accepted)
			judgeWIT(t, v, attacker.holder(t, "", asVictim).shown(t), witKeyUnknown)
			judgeWIT(t, v, attacker.holder(t, "", asVictim, header("kid", kid)).shown(t), refused(oauth.ReasonSignatureBad, "CW-3"))
			byJWT := victim.holder(t, "")
			var claims map[string]any
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(byJWT.attestation, ".")[1])
			if err != nil || json.Unmarshal(payload, &claims) != nil {
				t.Fatal(err)
			}
			for _, name := range []string{jwtKID, kid} {
				byJWT.attestation, err = devca.SignJWT(map[string]any{"alg": string(jwtAlg), "kid": name, "typ": "wit+jwt"}, claims, jwtKey, jwtAlg)
				if err != nil {
					t.Fatal(err)
				}
				want := refused(oauth.ReasonKeyWrongUse, "WS-14")
				if name == kid {
					want = refused(oauth.ReasonSignatureBad, "CW-3")
				}
				judgeWIT(t, v, byJWT.shown(t), want)
			}
		})
	}
}

// The profile in force is the client's, or the trust domain's.
func TestWITByProfile(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	off := refused(oauth.ReasonMethodNotAllowed, "CA-3")
	for _, general := range svidgate.Profiles {
		for _, own := range append([]svidgate.Profile{""}, svidgate.Profiles...) {
			for _, noWIT := range []bool{false, true} {
				t.Run(fmt.Sprintf("CA-3 %s, client %q, off %t", general, own, noWIT), func(t *testing.T) {
					v := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) {
						c.Settings.Profile, c.Settings.NoWIT = general, noWIT
					})
					p := d.holder(t, "").shown(t)
					p.Profile = func(spiffeid.ID) svidgate.Profile { return own }
					inForce := general
					if own != "" {
						inForce = own
					}
					want := accepted
					if noWIT || inForce == svidgate.Seed {
						want = off
					}
					judgeWIT(t, v, p, want)
				})
			}
		}
	}
}

// An explanation that was not told of the proof, or of client_id, judges all that
// needs neither, and refuses nothing for want of them.
func TestExplainWITWithoutProof(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	v := newVerifier(t, bundlesOf(t, d))
	h := d.holder(t, "")
	outcomes := func(p svidgate.WITPresentation) map[string]oauth.Outcome {
		e, use := v.ExplainWITSVID(context.Background(), p)
		if e.Refusal != nil || use != (svidgate.ProofUse{}) {
			t.Errorf("%v, %+v", e.Refusal, use)
		}
		all := map[string]oauth.Outcome{}
		for _, f := range e.Findings {
			all[f.Rule] = f.Outcome
		}
		return all
	}
	untold := outcomes(svidgate.WITPresentation{Attestation: h.attestation, ProofUntold: true, ClientIDUntold: true})
	p := h.shown(t, claim("iss", "whoever"))
	p.ClientIDUntold = true
	told := outcomes(p)
	for _, rule := range []string{"WS-17", "PP-1", "PP-2", "PP-4", "PP-5", "PP-6", "PP-7", "PP-9"} {
		if untold[rule] != oauth.NotJudged {
			t.Errorf("%s is %s without a proof", rule, untold[rule])
		}
		if told[rule] != oauth.Passed && rule != "PP-9" || rule == "PP-9" && told[rule] != oauth.NotJudged {
			t.Errorf("%s is %s without client_id", rule, told[rule])
		}
	}
	if untold["CW-3"] != oauth.Passed || untold["WS-13"] != oauth.Passed {
		t.Errorf("%v", untold)
	}
	// Verifying knows no such thing.
	p = svidgate.WITPresentation{Attestation: h.attestation, ProofUntold: true, ClientIDUntold: true}
	if id, err := v.VerifyWITSVID(context.Background(), p); id.Proven() || !errors.Is(err, oauth.ReasonPoPMissing) {
		t.Errorf("WS-17 a WIT-SVID alone proves %v: %v", id, err)
	}
}

// Every bit of both counts.
func TestWITEveryByteCounts(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	v := newVerifier(t, bundlesOf(t, d))
	good := d.holder(t, "").shown(t)
	judgeWIT(t, v, good, accepted)
	for i := range good.Attestation {
		p := good
		p.Attestation = p.Attestation[:i] + string([]byte{p.Attestation[i] ^ 1}) + p.Attestation[i+1:]
		if id, err := v.VerifyWITSVID(context.Background(), p); err == nil {
			t.Fatalf("byte %d of the WIT-SVID changed: %v", i, id)
		}
	}
	for i := range good.Proof {
		p := good
		p.Proof = p.Proof[:i] + string([]byte{p.Proof[i] ^ 1}) + p.Proof[i+1:]
		if id, err := v.VerifyWITSVID(context.Background(), p); err == nil {
			t.Fatalf("byte %d of the proof changed: %v", i, id)
		}
	}
}

// AU-2: whoever prints a presentation prints neither.
func TestWITPresentationHidesItself(t *testing.T) {
	p := svidgate.WITPresentation{Attestation: "canary-wit", Proof: "canary-proof"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		if got := fmt.Sprintf(verb+verb+verb, p, &p, struct{ P svidgate.WITPresentation }{p}); strings.Contains(got, "canary") || strings.Contains(got, fmt.Sprintf("%x", "canary")) {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// Any header and claims of a proof, truly signed: verifying and explaining agree.
func FuzzSignedProof(f *testing.F) {
	d := newDomain(f, "example.org", devca.Options{WIT: true})
	v := newVerifier(f, bundlesOf(f, d))
	h := d.holder(f, "")
	now := fmt.Sprint(noon.Unix())
	good := `{"alg":"ES256","typ":"oauth-client-attestation-pop+jwt"}`
	for _, c := range [][2]string{
		{good, `{"aud":"` + issuer + `","jti":"1","iat":` + now + `}`}, {good, `{"aud":["` + issuer + `"],"jti":"1","iat":` + now + `,"iss":"spiffe://example.org/a","challenge":"x"}`},
		{`{"alg":"none","typ":"oauth-client-attestation-pop+jwt"}`, `{}`}, {good, `{"aud":"` + issuer + `","jti":1,"iat":"` + now + `","exp":1e400}`}, {`[]`, `[]`},
	} {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		if len(header) == 0 || len(payload) == 0 {
			return
		}
		proof, err := jose.Sign(jose.ES256, h.key, header, payload)
		if err != nil {
			t.Fatal(err)
		}
		p := svidgate.WITPresentation{Attestation: h.attestation, Proof: proof}
		id, err := v.VerifyWITSVID(context.Background(), p)
		e, _ := v.ExplainWITSVID(context.Background(), p)
		checkExplanation(t, oauth.MethodWIT, err, e)
		if err != nil {
			return
		}
		exact := map[string]json.RawMessage{}
		var jti string
		var iat float64
		if json.Unmarshal(payload, &exact) != nil || json.Unmarshal(exact["jti"], &jti) != nil || json.Unmarshal(exact["iat"], &iat) != nil {
			t.Fatalf("accepted: %s", payload)
		}
		if jti == "" || iat < float64(noon.Unix()-60) || iat > float64(noon.Unix()+60) || id.SPIFFEID().String() != "spiffe://example.org/a" {
			t.Fatalf("accepted: %s", payload)
		}
	})
}

// Any cnf in a WIT-SVID that is truly signed.
func FuzzConfirmation(f *testing.F) {
	d := newDomain(f, "example.org", devca.Options{WIT: true})
	v := newVerifier(f, bundlesOf(f, d))
	h := d.holder(f, "")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(h.attestation, ".")[1])
	if err != nil {
		f.Fatal(err)
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(payload, &claims); err != nil {
		f.Fatal(err)
	}
	proof := h.proof(f)
	for _, cnf := range []string{string(claims["cnf"]), `{}`, `{"jkt":"x"}`, `{"jwk":{"kty":"oct","k":"AA"}}`, `{"jwk":{"kty":"RSA","n":"AQ","e":"AQ","alg":"RS256"}}`, `{"jwk":{"kty":"EC","crv":"P-256","x":"","y":""}}`, `null`, `[]`, `"x"`} {
		f.Add([]byte(cnf))
	}
	kid, alg, key := d.WITKey()
	f.Fuzz(func(t *testing.T, cnf []byte) {
		if !json.Valid(cnf) {
			return
		}
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"wit+jwt"}`, alg, kid)
		attestation, err := jose.Sign(alg, key, []byte(header), fmt.Appendf(nil, `{"sub":"spiffe://example.org/a","exp":%d,"cnf":%s}`, noon.Unix()+60, cnf))
		if err != nil {
			t.Fatal(err)
		}
		p := svidgate.WITPresentation{Attestation: attestation, Proof: proof}
		id, err := v.VerifyWITSVID(context.Background(), p)
		e, _ := v.ExplainWITSVID(context.Background(), p)
		checkExplanation(t, oauth.MethodWIT, err, e)
		if err != nil {
			return
		}
		sum, sumErr := jose.ThumbprintSum(h.key.Public())
		if got, _ := id.KeyThumbprint(); sumErr != nil || got != sum {
			t.Fatalf("WS-12 accepted with the key %s", cnf)
		}
	})
}

func BenchmarkVerifyWITSVID(b *testing.B) {
	d := newDomain(b, "example.org", devca.Options{WIT: true})
	bundles := bundlesOf(b, d)
	var all []svidgate.WITPresentation
	for range different {
		all = append(all, d.holder(b, "").shown(b))
	}
	sights(b, func() func(i int) error {
		v := newVerifier(b, bundles)
		return func(i int) error {
			_, err := v.VerifyWITSVID(b.Context(), all[i])
			return err
		}
	})
}
