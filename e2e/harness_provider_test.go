package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/internal/devca"
	svidjose "github.com/svidgate/svidgate/internal/jose"
)

// A provider is an OpenID Connect provider over TLS: discovery, keys, a page on
// which somebody signs in, and a token endpoint that checks client, code and PKCE.
type provider struct {
	*httptest.Server
	secret string

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	kid    string
	codes  map[string]url.Values // the authorization request, by its code
	user   map[string]any        // claims of who signs in there
	fault  fault
	asked  map[string]int // by path
	closed chan struct{}
}

// A fault is one thing that the provider does wrong. The zero value is none.
type fault struct {
	typ      any                                                       // in the header of the ID token
	claims   func(claims map[string]any)                               // of the ID token, changed
	token    func(token string) string                                 // the ID token, changed
	serve    func(w http.ResponseWriter, r *http.Request, next func()) // in place of an endpoint
	redirect func(v url.Values)                                        // what the browser brings back, changed
	key      *ecdsa.PrivateKey                                         // signs in place of the one that is published
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{
		secret: secrets.add("client secret", "s3cret-of-svidgate-at-corp"), codes: map[string]url.Values{}, asked: map[string]int{}, closed: make(chan struct{}),
		user: map[string]any{"sub": "4711", "name": "Bob Builder", "email": "bob@example.net", "email_verified": true, "groups": []string{"staff", "dev"}},
	}
	p.rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.page)
	mux.HandleFunc("POST /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		serve := p.fault.serve
		p.mu.Unlock()
		next := func() { mux.ServeHTTP(w, r) }
		if serve != nil {
			serve(w, r, next)
			return
		}
		next()
	}))
	pair, err := serverCA().Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(func() {
		close(p.closed)
		p.Server.Close()
	})
	return p
}

func (p *provider) issuer() string { return p.Server.URL }

// does makes the provider do something wrong from now on.
func (p *provider) does(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// rotate replaces the signing key at once.
func (p *provider) rotate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.kid = newKey(), rand.Text()
}

func (p *provider) times(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": p.issuer(), "authorization_endpoint": p.issuer() + "/authorize", "token_endpoint": p.issuer() + "/token", "jwks_uri": p.issuer() + "/keys",
		"id_token_signing_alg_values_supported": []string{"ES256", "none", "HS256"}, "subject_types_supported": []string{"public"}, "response_types_supported": []string{"code"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *provider) keys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.kid, Algorithm: "ES256", Use: "sig"}}}
	p.mu.Unlock()
	writeJSON(w, http.StatusOK, set)
}

// page asks who it is, in a form.
func (p *provider) page(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != "svidgate" || q.Get("redirect_uri") != issuer+"/login/callback/corp" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		http.Error(w, "the request is no good", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Example Corp</title><main><h1>Example Corp</h1><form method="post" action="/authorize?%s"><button name="who" value="bob">I am Bob</button><button name="who" value="nobody">Cancel</button></form></main>`,
		strings.ReplaceAll(r.URL.RawQuery, "&", "&amp;"))
}

// authorize sends the browser back.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back := url.Values{"state": {q.Get("state")}, "iss": {p.issuer()}}
	p.mu.Lock()
	if r.PostFormValue("who") == "bob" {
		code := rand.Text()
		p.codes[code] = q
		back.Set("code", secrets.add("code of the provider", code))
	} else {
		back.Set("error", "access_denied")
	}
	if p.fault.redirect != nil {
		p.fault.redirect(back)
	}
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, _ := r.BasicAuth()
	asked, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case id != "svidgate" || secret != p.secret:
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	case !ok || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	access := secrets.add("access token of the provider", rand.Text())
	digest := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.issuer(), "aud": "svidgate", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": asked.Get("nonce"),
		"auth_time": time.Now().Add(-time.Hour).Unix(), "amr": []string{"otp", "pwd"}, "acr": "urn:example:silver",
		"at_hash": base64.RawURLEncoding.EncodeToString(digest[:16]),
	}
	for name, value := range p.user {
		claims[name] = value
	}
	if p.fault.claims != nil {
		p.fault.claims(claims)
	}
	var key crypto.Signer = p.key
	if p.fault.key != nil {
		key = p.fault.key
	}
	header := map[string]any{"alg": "ES256", "kid": p.kid}
	if p.fault.typ != nil {
		header["typ"] = p.fault.typ
	}
	token := must(devca.SignJWT(header, claims, key, svidjose.ES256))
	if p.fault.token != nil {
		token = p.fault.token(token)
	}
	writeJSON(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 60, "id_token": secrets.jwt(token)})
}
