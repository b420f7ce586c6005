package client_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// newWITWorld is a server that offers WIT-SVIDs and binds tokens to their keys.
func newWITWorld(t testing.TB) *world {
	w := newWorld(t)
	w.edge.publishes("token_endpoint_auth_methods_supported", []string{"spiffe_jwt", "spiffe_wit"})
	w.edge.answers(keyBound)
	return w
}

// keyBound answers with a token that tells the key it is bound to.
func keyBound(n int, r captured) reply {
	return reply{status: 200, body: fmt.Sprintf(`{"access_token":"token-%d-%s","token_type":"DPoP","expires_in":300,"scope":"read"}`, n, keyOf(r))}
}

func textOf(m strictjson.Members, name string) string {
	v, _ := m.Get(name)
	text, _ := v.Text()
	return text
}

// keyOf is the thumbprint of the key that the WIT-SVID of a request names.
func keyOf(r captured) string {
	_, key := witOf(r)
	return must(jose.Thumbprint(key.Key))
}

func witOf(r captured) (*jose.Compact, jose.JWK) {
	wit := must(jose.ParseCompact(r.header.Get("OAuth-Client-Attestation")))
	cnf, _ := wit.Payload.Get("cnf")
	jwk, _ := must(cnf.Object()).Get("jwk")
	return wit, must(jose.ParseJWK([]byte(jwk)))
}

// proofOf checks the proof of a token request as a server does, and returns its
// claims.
func (w *world) proofOf(r captured) strictjson.Members {
	w.Helper()
	for _, name := range []string{"OAuth-Client-Attestation", "OAuth-Client-Attestation-PoP"} {
		if n := len(r.header.Values(name)); n != 1 {
			w.Fatalf("PP-1: %d %s headers", n, name)
		}
	}
	_, key := witOf(r)
	proof := must(jose.ParseCompact(r.header.Get("OAuth-Client-Attestation-PoP")))
	if typ := textOf(proof.Header, "typ"); typ != "oauth-client-attestation-pop+jwt" {
		w.Errorf("PP-2: typ %q", typ)
	}
	if alg := textOf(proof.Header, "alg"); alg != string(key.Algorithm) {
		w.Errorf("PP-3: alg %q and %q", alg, key.Algorithm)
	}
	if err := proof.Verify(key.Algorithm, key.Key); err != nil {
		w.Errorf("PP-4: %v", err)
	}
	if aud := textOf(proof.Payload, "aud"); aud != w.edge.issuer {
		w.Errorf("PP-5: aud %q", aud)
	}
	if textOf(proof.Payload, "jti") == "" {
		w.Error("PP-6: no jti")
	}
	iat, _ := proof.Payload.Get("iat")
	if at, ok := iat.NumericDate(); !ok || w.now().Sub(at).Abs() > time.Second {
		w.Errorf("PP-7: iat %s", iat)
	}
	return proof.Payload
}

// dpopOf checks the proof of a call as an API does, and returns its jti.
func (w *world) dpopOf(c call, target string) string {
	w.Helper()
	scheme, token, _ := strings.Cut(c.authorization, " ")
	if scheme != "DPoP" || len(c.dpop) != 1 {
		w.Fatalf("DP-1: Authorization %q with %d proofs", c.authorization, len(c.dpop))
	}
	proof := must(jose.ParseCompact(c.dpop[0]))
	jwk, _ := proof.Header.Get("jwk")
	key := must(jose.ParseJWK([]byte(jwk)))
	if err := proof.Verify(jose.Algorithm(textOf(proof.Header, "alg")), key.Key); err != nil || textOf(proof.Header, "typ") != "dpop+jwt" {
		w.Errorf("DP-1: typ %q, %v", textOf(proof.Header, "typ"), err)
	}
	if jkt := must(jose.Thumbprint(key.Key)); !strings.HasSuffix(token, jkt) {
		w.Errorf("DP-4: a proof by %s for %s", jkt, token)
	}
	if htm, htu := textOf(proof.Payload, "htm"), textOf(proof.Payload, "htu"); htm != c.method || htu != target {
		w.Errorf("DP-2: htm %q, htu %q, want %s %s", htm, htu, c.method, target)
	}
	sum := sha256.Sum256([]byte(token))
	if ath := textOf(proof.Payload, "ath"); ath != base64.RawURLEncoding.EncodeToString(sum[:]) {
		w.Errorf("DP-5: ath %q", ath)
	}
	return textOf(proof.Payload, "jti")
}

func TestRequestWithWITSVID(t *testing.T) { // CW-1, PP-1 to PP-7, CA-4
	w := newWITWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt), client.X509SVID(w.x509), client.WITSVID(w.wit)))
	token := w.token(c, client.Request{Scope: "read"})
	if token.TokenType != "DPoP" || !strings.HasSuffix(string(token.AccessToken), w.wit.held.jkt) {
		t.Errorf("got %v", token)
	}
	r := w.edge.last()
	w.proofOf(r)
	if r.header.Get("OAuth-Client-Attestation") != w.wit.held.token {
		t.Error("WS-17: another WIT-SVID was sent")
	}
	if r.form.Has("client_assertion") || r.form.Has("client_assertion_type") || r.mtls || r.thumbprint != "" || r.header.Get("Authorization") != "" {
		t.Errorf("CA-5: a second method: %v, certificate %q", r.form, r.thumbprint)
	}
	if got := r.form.Get("client_id"); got != "spiffe://example.org/billing" {
		t.Errorf("CW-6: client_id %q", got)
	}
	if w.proofOf(r); slices.Contains(names(w.proofOf(r)), "challenge") {
		t.Error("a challenge that nobody gave")
	}
	config := w.config(client.WITSVID(w.wit))
	config.ClientID = "billing"
	w.token(w.client(config), client.Request{})
	if got := w.edge.last().form.Get("client_id"); got != "billing" {
		t.Errorf("CX-3: client_id %q", got)
	}
}

func names(m strictjson.Members) []string {
	var all []string
	for _, member := range m {
		all = append(all, member.Name)
	}
	return all
}

// PP-15: each request has a proof of its own, the second attempt over a broken
// connection as well.
func TestEveryRequestHasItsOwnProof(t *testing.T) {
	w := newWITWorld(t)
	w.edge.answers(func(n int, r captured) reply {
		if n == 1 {
			return reply{hangUp: true}
		}
		return keyBound(n, r)
	})
	c := w.client(w.config(client.WITSVID(w.wit)))
	for i := range 4 {
		w.token(c, resource(i))
	}
	seen := map[string]bool{}
	for _, r := range w.edge.seen() {
		seen[textOf(w.proofOf(r), "jti")] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different proofs in 5 requests", len(seen))
	}
}

func TestTokenTypeMustFit(t *testing.T) { // DP-4, TK-6
	for _, row := range []struct {
		name, kind string
		credential func(*world) client.Credential
		want       string // of the error; empty: accepted
	}{
		{"DPoP for a WIT-SVID", "DPoP", func(w *world) client.Credential { return client.WITSVID(w.wit) }, ""},
		{"dpop in lower case", "dpop", func(w *world) client.Credential { return client.WITSVID(w.wit) }, ""},
		{"a server that does not bind", "Bearer", func(w *world) client.Credential { return client.WITSVID(w.wit) }, ""},
		{"DPoP for a JWT-SVID", "DPoP", func(w *world) client.Credential { return client.JWTSVID(w.jwt) }, "no key"},
		{"DPoP for an X.509-SVID", "DPoP", func(w *world) client.Credential { return client.X509SVID(w.x509) }, "no key"},
		{"something else", "MAC", func(w *world) client.Credential { return client.WITSVID(w.wit) }, "token_type"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.edge.publishes("token_endpoint_auth_methods_supported", []string{"spiffe_jwt", "spiffe_wit", "spiffe_x509"})
			w.edge.answers(func(int, captured) reply {
				return reply{status: 200, body: `{"access_token":"secret","token_type":"` + row.kind + `","expires_in":300}`}
			})
			token, err := w.client(w.config(row.credential(w))).Token(t.Context(), client.Request{})
			if row.want == "" && (err != nil || !strings.EqualFold(token.TokenType, row.kind)) || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, %v", token, err)
			}
		})
	}
}

func TestWITSVIDFromTheSourceIsChecked(t *testing.T) {
	other := must(devca.GenerateKey(devca.P256))
	for _, row := range []struct {
		name   string
		mutate func(header, claims map[string]any)
		change func(*held)
		want   string
	}{
		{"WS-2 typ", func(h, _ map[string]any) { h["typ"] = "JWT" }, nil, "WS-2"},
		{"WS-6 sub", func(_, c map[string]any) { c["sub"] = "wimse://example.org/billing" }, nil, "SPIFFE ID"},
		{"WS-7 no exp", func(_, c map[string]any) { delete(c, "exp") }, nil, "exp"},
		{"WS-12 no cnf", func(_, c map[string]any) { delete(c, "cnf") }, nil, "WS-12"},
		{"WS-12 no jwk", func(_, c map[string]any) { c["cnf"] = map[string]any{"jkt": "x"} }, nil, "WS-12"},
		{"WS-13 no alg", func(_, c map[string]any) { delete(c["cnf"].(map[string]any)["jwk"].(map[string]any), "alg") }, nil, "WS-13"},
		{"WS-13 alg of another key", func(_, c map[string]any) { c["cnf"].(map[string]any)["jwk"].(map[string]any)["alg"] = "RS256" }, nil, "WS-13"},
		{"CL-8 ended", func(_, c map[string]any) { c["exp"] = 1 }, nil, "ended"},
		{"PP-14 too long", func(_, c map[string]any) { c["x"] = strings.Repeat("x", 6200) }, nil, "PP-14"},
		{"another key", nil, func(h *held) { h.key = other }, "another key"},
		{"no key", nil, func(h *held) { h.key = nil }, "private key"},
		{"no token", nil, func(h *held) { h.token = "" }, "empty"},
		{"no JWT", nil, func(h *held) { h.token = "x" }, "compact"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWITWorld(t)
			mutate := row.mutate
			if mutate == nil {
				mutate = func(_, _ map[string]any) {}
			}
			w.wit.rotate(mutate)
			if row.change != nil {
				row.change(w.wit.held)
			}
			c := w.client(w.config(client.WITSVID(w.wit)))
			_, err := c.Token(t.Context(), client.Request{})
			if err == nil || !strings.Contains(err.Error(), row.want) || len(w.edge.seen()) != 0 {
				t.Errorf("got %v, and %d requests", err, len(w.edge.seen()))
			}
			if err != nil && len(w.wit.held.token) > 20 && strings.Contains(err.Error(), w.wit.held.token[20:60]) {
				t.Error("the error repeats the WIT-SVID")
			}
			w.wit.rotate()
			w.advance(time.Minute)
			w.token(c, client.Request{}) // a sound one mends it
		})
	}
}

// PP-13, LC-3: where challenges come from, and that a refusal is answered once.
func TestChallenges(t *testing.T) {
	const header = "OAuth-Client-Attestation-Challenge"
	given := func(w *world) []string {
		var all []string
		for _, r := range w.edge.seen() {
			proof := must(jose.ParseCompact(r.header.Get("OAuth-Client-Attestation-PoP")))
			all = append(all, textOf(proof.Payload, "challenge"))
		}
		return all
	}
	refusal := func(challenge string) reply {
		r := reply{status: 400, body: `{"error":"use_attestation_challenge"}`}
		if challenge != "" {
			r.header = map[string]string{header: challenge}
		}
		return r
	}
	t.Run("the answer gives one", func(t *testing.T) {
		w := newWITWorld(t)
		w.edge.answers(func(n int, r captured) reply {
			if n == 1 {
				return refusal("one")
			}
			a := keyBound(n, r)
			a.header = map[string]string{header: "two"}
			return a
		})
		c := w.client(w.config(client.WITSVID(w.wit)))
		w.token(c, resource(1))
		w.token(c, resource(2))
		if got := given(w); !slices.Equal(got, []string{"", "one", "two"}) {
			t.Errorf("challenges %q", got)
		}
	})
	t.Run("a server that is never content", func(t *testing.T) {
		w := newWITWorld(t)
		w.edge.answers(func(n int, _ captured) reply { return refusal(fmt.Sprint("c", n)) })
		_, err := w.client(w.config(client.WITSVID(w.wit))).Token(t.Context(), client.Request{})
		if !errors.Is(err, oauth.UseAttestationChallenge) || len(w.edge.seen()) != 2 {
			t.Errorf("got %v after %d requests", err, len(w.edge.seen()))
		}
	})
	t.Run("one that gives none", func(t *testing.T) {
		w := newWITWorld(t)
		w.edge.answers(func(int, captured) reply { return refusal("") })
		if _, err := w.client(w.config(client.WITSVID(w.wit))).Token(t.Context(), client.Request{}); err == nil || len(w.edge.seen()) != 1 {
			t.Errorf("got %v after %d requests", err, len(w.edge.seen()))
		}
	})
	t.Run("challenge_endpoint", func(t *testing.T) {
		w := newWITWorld(t)
		var fetched atomic.Int64
		body := func(n int64) string { return fmt.Sprintf(`{"attestation_challenge":"fetched-%d"}`, n) }
		server := serve(w, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if req.Method != http.MethodPost || req.ContentLength > 0 {
				t.Errorf("%s with %d bytes", req.Method, req.ContentLength)
			}
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprint(rw, body(fetched.Add(1)))
		}), must(w.webCA.Certificate("127.0.0.1")), tls.NoClientCert)
		w.edge.publishes("challenge_endpoint", server.URL+"/challenge")
		w.edge.answers(func(n int, r captured) reply {
			if n == 4 { // it has forgotten what it gave
				return refusal("")
			}
			return keyBound(n, r)
		})
		c := w.client(w.config(client.WITSVID(w.wit)))
		w.token(c, resource(1))
		w.token(c, resource(2))
		w.advance(2 * time.Minute)
		w.token(c, resource(3))
		w.token(c, resource(4))
		if got := given(w); !slices.Equal(got, []string{"fetched-1", "fetched-1", "fetched-2", "fetched-2", "fetched-3"}) {
			t.Errorf("challenges %q", got)
		}
		for name, bad := range map[string]string{
			"no member": `{}`, "no text": `{"attestation_challenge":1}`, "empty": `{"attestation_challenge":""}`, "no JSON": `x`,
			"line break": `{"attestation_challenge":"a\nb"}`, "long": `{"attestation_challenge":"` + strings.Repeat("x", 1025) + `"}`,
		} {
			body = func(int64) string { return bad }
			w.advance(2 * time.Minute)
			before := len(w.edge.seen())
			if _, err := c.Token(t.Context(), client.Request{Scope: "a" + strings.ReplaceAll(name, " ", "-")}); err == nil || len(w.edge.seen()) != before {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
	t.Run("challenge_endpoint without TLS", func(t *testing.T) { // CL-10
		w := newWITWorld(t)
		w.edge.publishes("challenge_endpoint", "http://127.0.0.1/challenge")
		if _, err := client.New(t.Context(), w.config(client.WITSVID(w.wit))); err == nil || !strings.Contains(err.Error(), "challenge_endpoint") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTransportProvesTheKey(t *testing.T) { // DP-1, DP-5, DP-10
	w := newWITWorld(t)
	a := newAPI(w, tls.NoClientCert)
	c := w.client(w.config(client.WITSVID(w.wit), client.X509SVID(w.x509)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	w.get(hc, a.URL)
	w.get(hc, a.URL+"/b%2Fooks?page=1#top")
	if _, err := w.do(hc, http.MethodPut, a.URL+"/books/1", "text"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, target := range []string{a.URL + "/", a.URL + "/b%2Fooks", a.URL + "/books/1"} {
		seen[w.dpopOf(a.seen()[i], target)] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d different proofs in 3 calls", len(seen))
	}
	token := w.token(c, client.Request{Resource: a.URL})
	req := must(http.NewRequest(http.MethodGet, a.URL+"/by-hand", nil))
	req.Header.Set("DPoP", "of-somebody-else")
	if err := token.Authorize(req); err != nil {
		t.Fatal(err)
	}
	w.dpopOf(call{authorization: req.Header.Get("Authorization"), dpop: req.Header.Values("DPoP"), method: "GET"}, a.URL+"/by-hand")
	copied := client.Token{AccessToken: token.AccessToken, TokenType: token.TokenType}
	if err := copied.Authorize(req); err == nil {
		t.Error("a Token without its key makes a request")
	}
	bearer := client.Token{AccessToken: "x", TokenType: "Bearer"}
	if err := bearer.Authorize(req); err != nil || req.Header.Get("DPoP") != "" || req.Header.Get("Authorization") != "Bearer x" {
		t.Errorf("a bearer token: %v, %v", err, req.Header)
	}
}

func TestRedirectsGetProofsOfTheirOwn(t *testing.T) { // LC-4, DP-2
	w := newWITWorld(t)
	a, foreign := newAPI(w, tls.NoClientCert), newAPI(w, tls.NoClientCert)
	a.handles(func(_ int, c call, rw http.ResponseWriter) {
		switch c.path {
		case "/first":
			rw.Header().Set("Location", a.URL+"/second")
			rw.WriteHeader(http.StatusTemporaryRedirect)
		case "/away":
			rw.Header().Set("Location", foreign.URL+"/there")
			rw.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	c := w.client(w.config(client.WITSVID(w.wit)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	w.get(hc, a.URL+"/first")
	if w.dpopOf(a.seen()[0], a.URL+"/first") == w.dpopOf(a.seen()[1], a.URL+"/second") {
		t.Error("one proof for two requests")
	}
	w.get(hc, a.URL+"/away")
	if got := foreign.seen()[0]; got.authorization != "" || len(got.dpop) != 0 {
		t.Errorf("another origin saw %q and %d proofs", got.authorization, len(got.dpop))
	}
}

// A proof that the API calls invalid is replaced once, with the same token; a token
// that it calls invalid is replaced by another.
func TestRefusedProofsAndTokens(t *testing.T) {
	answer := func(rw http.ResponseWriter, code string) {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="api", DPoP realm="api", error="`+code+`", algs="ES256"`)
		rw.WriteHeader(http.StatusUnauthorized)
	}
	for _, row := range []struct {
		code   string
		always bool
		status int
		calls  int
		tokens int
	}{
		{"invalid_dpop_proof", false, 200, 2, 1},
		{"invalid_dpop_proof", true, 401, 2, 1},
		{"invalid_token", false, 200, 2, 2},
		{"use_dpop_nonce", false, 401, 1, 1},
	} {
		t.Run(fmt.Sprint(row.code, " always ", row.always), func(t *testing.T) {
			w := newWITWorld(t)
			a := newAPI(w, tls.NoClientCert)
			a.handles(func(n int, _ call, rw http.ResponseWriter) {
				if n == 1 || row.always {
					answer(rw, row.code)
				}
			})
			c := w.client(w.config(client.WITSVID(w.wit)))
			hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
			resp, err := w.do(hc, http.MethodPost, a.URL+"/", "text")
			if err != nil || resp.StatusCode != row.status {
				t.Fatalf("got %v, %v", resp, err)
			}
			jtis, tokens := map[string]bool{}, map[string]bool{}
			for _, c := range a.seen() {
				if c.body != "text" {
					t.Errorf("a call with the body %q", c.body)
				}
				jtis[w.dpopOf(c, a.URL+"/")] = true
				tokens[c.authorization] = true
			}
			if len(a.seen()) != row.calls || len(jtis) != row.calls || len(tokens) != row.tokens {
				t.Errorf("%d calls, %d proofs, %d tokens", len(a.seen()), len(jtis), len(tokens))
			}
		})
	}
}

// DP-6, LC-3: an API that asks for a nonce gets it at once, in a new proof with the same
// token, and from then on with every call; another origin does not.
func TestDPoPNonces(t *testing.T) {
	w := newWITWorld(t)
	nonceOf := func(c call) string {
		v, _ := must(jose.ParseCompact(c.dpop[0])).Payload.Get("nonce")
		text, _ := v.Text()
		return text
	}
	var want atomic.Value // what the API wants now; what it gives with every refusal
	asks := func(_ int, c call, rw http.ResponseWriter) {
		nonces := want.Load().([]string)
		if len(nonces) == 1 && nonceOf(c) == nonces[0] || len(nonces) == 2 && nonceOf(c) == nonces[1] {
			return
		}
		for _, nonce := range nonces {
			rw.Header().Add("DPoP-Nonce", nonce)
		}
		rw.Header().Set("WWW-Authenticate", `DPoP realm="api", error="use_dpop_nonce", algs="ES256"`)
		rw.WriteHeader(http.StatusUnauthorized)
	}
	a, other := newAPI(w, tls.NoClientCert), newAPI(w, tls.NoClientCert)
	a.handles(asks)
	c := w.client(w.config(client.WITSVID(w.wit)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL}, other.URL)}
	for _, row := range []struct {
		name   string
		nonces []string
		status int
		calls  int
	}{
		{"the first", []string{"one"}, 200, 2},
		{"the same again", []string{"one"}, 200, 1},
		{"another", []string{"two"}, 200, 2},
		{"asked for, and none given", nil, 401, 1},
		{"two at once", []string{"three", "four"}, 401, 2},
		{"of characters that no nonce has", []string{"a b"}, 401, 2},
		{"too long", []string{strings.Repeat("a", 1025)}, 401, 2},
		{"after all that", []string{"two"}, 200, 1},
	} {
		want.Store(row.nonces)
		seen := len(a.seen())
		resp, err := w.do(hc, http.MethodPost, a.URL+"/", "text")
		if err != nil || resp.StatusCode != row.status {
			t.Fatalf("%s: got %v, %v", row.name, resp, err)
		}
		calls := a.seen()[seen:]
		if len(calls) != row.calls {
			t.Errorf("%s: %d calls", row.name, len(calls))
		}
		for _, c := range calls {
			w.dpopOf(c, a.URL+"/")
			if c.body != "text" || c.authorization != a.seen()[0].authorization {
				t.Errorf("%s: a call with the body %q, or another token", row.name, c.body)
			}
		}
	}
	w.get(hc, other.URL+"/")
	if got := nonceOf(other.seen()[0]); got != "" {
		t.Errorf("another origin was told the nonce %q", got)
	}
}

// Rotation of the WIT-SVID costs the application nothing: the old token goes with
// its own key until there is a new one (F23, DP-10).
func TestWITRotationUnderLoad(t *testing.T) {
	w := newWITWorld(t)
	a := newAPI(w, tls.NoClientCert)
	a.handles(func(_ int, c call, rw http.ResponseWriter) {
		proof := must(jose.ParseCompact(c.dpop[0]))
		jwk, _ := proof.Header.Get("jwk")
		if !strings.HasSuffix(c.authorization, must(jose.Thumbprint(must(jose.ParseJWK([]byte(jwk))).Key))) {
			refuse(rw)
		}
	})
	c := w.client(w.config(client.WITSVID(w.wit)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	var wg sync.WaitGroup
	var served atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := w.get(hc, a.URL); got != 200 {
					t.Errorf("F23: the application saw %d", got)
					return
				}
				served.Add(1)
			}
		})
	}
	keys := map[string]bool{}
	for range 15 {
		before := served.Load()
		keys[w.wit.rotate()] = true
		w.until("requests went on after the rotation", func() bool { return served.Load() > before+40 || t.Failed() })
	}
	close(stop)
	wg.Wait()
	used := map[string]bool{}
	for _, c := range a.seen() {
		for key := range keys {
			if strings.HasSuffix(c.authorization, key) {
				used[key] = true
			}
		}
	}
	if len(used) < 10 {
		t.Errorf("only %d keys were used in 15", len(used))
	}
}

// CL-8: with the server down the old token serves with its own key, but not after
// the WIT-SVID of that key has ended; and what is withdrawn is used no more.
func TestWITKeyEndsWithItsWITSVID(t *testing.T) {
	w := newWITWorld(t)
	short := func(_, c map[string]any) { c["exp"] = w.now().Add(2 * time.Minute).Unix() }
	first := w.wit.rotate(short)
	c := w.client(w.config(client.WITSVID(w.wit)))
	if token := w.token(c, client.Request{}); !strings.HasSuffix(string(token.AccessToken), first) {
		t.Fatal(token)
	}
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	w.wit.rotate()
	for range 3 {
		if token := w.token(c, client.Request{}); !strings.HasSuffix(string(token.AccessToken), first) {
			t.Fatal("the old token does not serve while the server is down")
		}
	}
	old := w.token(c, client.Request{})
	w.advance(2*time.Minute + time.Second) // the token itself lives on
	if !w.now().Before(old.ExpiresAt) {
		t.Fatal("the token should outlive the WIT-SVID here")
	}
	if token, err := c.Token(t.Context(), client.Request{}); err == nil {
		t.Errorf("a token whose key has ended is served: %v", token)
	}
	req := must(http.NewRequest(http.MethodGet, "https://127.0.0.1/", nil))
	if err := old.Authorize(req); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("a proof by a key that has ended: %v", err)
	}
	w.edge.answers(keyBound)
	w.advance(time.Minute)
	w.token(c, client.Request{})
	w.wit.withdraw()
	if token, err := c.Token(t.Context(), client.Request{}); err == nil {
		t.Errorf("after the WIT-SVID was withdrawn: %v", token)
	}
}

// Another identity is another workload: nothing of the old one's is used.
func TestAnotherWITIdentityUsesNothingOfTheOld(t *testing.T) {
	w := newWITWorld(t)
	c := w.client(w.config(client.WITSVID(w.wit)))
	w.token(c, client.Request{})
	w.wit.path = "/orders"
	key := w.wit.rotate()
	if token := w.token(c, client.Request{}); !strings.HasSuffix(string(token.AccessToken), key) || w.edge.last().form.Get("client_id") != "spiffe://example.org/orders" {
		t.Errorf("got %s for %s", token.AccessToken, w.edge.last().form.Get("client_id"))
	}
}

// F50: neither the WIT-SVID nor its key is in what people print.
func TestTokenHidesItsKey(t *testing.T) {
	w := newWITWorld(t)
	token := w.token(w.client(w.config(client.WITSVID(w.wit))), client.Request{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		said := fmt.Sprintf(verb, *token) + fmt.Sprintf(verb, struct{ T *client.Token }{token}) + fmt.Sprintf(verb, []client.Token{*token})
		for part := range strings.SplitSeq(w.wit.held.token, ".") {
			if strings.Contains(said, part[:20]) {
				t.Errorf("%s shows the WIT-SVID", verb)
			}
		}
		if strings.Contains(said, string(token.AccessToken)) {
			t.Errorf("%s shows the token", verb)
		}
	}
}
