package login_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/login"
)

// An upstream is an OpenID Connect provider over TLS. It asks nobody who they are: a
// code is the nonce that the ID token gets.
type upstream struct {
	*httptest.Server
	now func() time.Time

	mu     sync.Mutex
	keys   []map[string]any // its JWK Set
	signer crypto.Signer
	header map[string]any // of its ID tokens
	broken string         // a path that answers with 503
	asked  map[string]int // by path
}

func newUpstream(t *testing.T, now func() time.Time) *upstream {
	t.Helper()
	u := &upstream{now: now, asked: map[string]int{}}
	u.signsWith(newKey(t), "ES256", "one")
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": u.URL, "authorization_endpoint": u.URL + "/authorize", "token_endpoint": u.URL + "/token", "jwks_uri": u.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256", "RS256", "PS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		u.mu.Lock()
		defer u.mu.Unlock()
		answer(w, map[string]any{"keys": u.keys})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		claims := map[string]any{"iss": u.URL, "aud": "svidgate", "sub": "4711", "iat": u.now().Unix(), "exp": u.now().Add(time.Minute).Unix(), "nonce": r.PostFormValue("code")}
		u.mu.Lock()
		defer u.mu.Unlock()
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, u.signer, u.header, claims)})
	})
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.asked[r.URL.Path]++
		broken := r.URL.Path == u.broken
		u.mu.Unlock()
		if broken {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	u.Config.ErrorLog = log.New(io.Discard, "", 0)
	u.StartTLS()
	t.Cleanup(u.Close)
	return u
}

// sign makes a JWT also with a key that no product of ours would sign with.
func sign(t *testing.T, signer crypto.Signer, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Error(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Error(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	if key, ok := signer.(*rsa.PrivateKey); ok && header["alg"] == "RS256" {
		input := encode(h) + "." + encode(c)
		sum := sha256.Sum256([]byte(input))
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Error(err)
		}
		return input + "." + encode(signature)
	}
	token, err := jose.Sign(jose.Algorithm(header["alg"].(string)), signer, h, c)
	if err != nil {
		t.Error(err)
	}
	return token
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// published is an entry of a JWK Set with nothing but the key and its kid.
func published(signer crypto.Signer, kid string) map[string]any {
	entry := map[string]any{}
	raw, err := jose.MarshalJWK(signer.Public(), kid, "", "")
	if err == nil {
		err = json.Unmarshal(raw, &entry)
	}
	if err != nil {
		panic(err)
	}
	return entry
}

// signsWith has the provider sign with one key, and publish no other.
func (u *upstream) signsWith(key crypto.Signer, alg, kid string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.signer, u.header, u.keys = key, map[string]any{"alg": alg, "kid": kid}, []map[string]any{published(key, kid)}
}

func (u *upstream) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

func (u *upstream) times(path string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[path]
}

// desk is one of which the provider has not been asked anything.
func (u *upstream) desk(t *testing.T, state login.State) *login.Desk {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(u.Certificate())
	d, err := login.New(login.Config{State: state, Now: u.now, Providers: []login.ProviderConfig{{
		Name: "corp", Title: "Example Corp", Issuer: u.URL, ClientID: "svidgate", RootCAs: roots, Scopes: []string{"openid"},
		UserClaim: "sub", NameClaim: "name", Callback: "https://as.example.com/login/callback/corp",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// begin goes to the provider; who comes back from there calls finish.
func begin(t *testing.T, d *login.Desk) (finish func() error, err error) {
	t.Helper()
	browser := login.NewSecret()
	location, err := d.Begin(t.Context(), home, "corp", browser, "")
	if err != nil {
		return nil, err
	}
	_, query, _ := strings.Cut(location, "?")
	asked, err := url.ParseQuery(query)
	if err != nil {
		t.Error(err)
	}
	return func() error {
		t.Helper()
		arrival, err := d.Finish(t.Context(), "corp", browser, url.Values{"state": asked["state"], "code": asked["nonce"]})
		if (err == nil) != (arrival.Subject == "corp:4711") {
			t.Errorf("it is %q who arrives, %v", arrival.Subject, err)
		}
		return err
	}, nil
}

func signIn(t *testing.T, d *login.Desk) error {
	t.Helper()
	finish, err := begin(t, d)
	if err != nil {
		return err
	}
	return finish()
}
