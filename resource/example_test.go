package resource_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"expvar"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/resource"
)

// An API that lets callers in by scope. In production the keys are a
// NewRemoteKeys whose Run goes on beside the server.
func Example() {
	keys, token := issuer()
	verifier, err := resource.New(resource.Config{
		Resource: "https://api.example.com/",
		Issuers:  []resource.KeySource{keys},
	})
	if err != nil {
		log.Fatal(err)
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := resource.CallerFrom(r.Context())
		fmt.Fprintf(w, "hello, %s", caller.Subject())
	})
	mux := http.NewServeMux()
	mux.Handle("GET /invoices", verifier.Require("read")(hello))
	mux.Handle("POST /invoices", verifier.Require("write")(hello))

	for _, call := range []struct{ method, authorization string }{
		{"GET", "Bearer " + token}, {"POST", "Bearer " + token}, {"GET", ""},
	} {
		r := httptest.NewRequest(call.method, "/invoices", nil)
		if call.authorization != "" {
			r.Header.Set("Authorization", call.authorization)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
		} else {
			fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	// Output:
	// 200 hello, spiffe://example.org/billing
	// 403 Bearer realm="https://api.example.com/", error="insufficient_scope", error_description="The access token does not carry the scope this needs.", scope="write"
	// 401 Bearer realm="https://api.example.com/", scope="read", DPoP realm="https://api.example.com/", algs="EdDSA RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512"
}

// issuer stands in for an authorization server: its keys, and a token.
func issuer() (*resource.StaticKeys, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	jwk, err := jose.MarshalJWK(key.Public(), "k1", "sig", jose.ES256)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := resource.NewStaticKeys("https://as.example.com", fmt.Appendf(nil, `{"keys":[%s]}`, jwk))
	if err != nil {
		log.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "https://as.example.com", "aud": "https://api.example.com/", "sub": "spiffe://example.org/billing", "client_id": "billing",
		"jti": "1", "scope": "read", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jose.Sign(jose.ES256, key, []byte(`{"typ":"at+jwt","alg":"ES256","kid":"k1"}`), claims)
	if err != nil {
		log.Fatal(err)
	}
	return keys, token
}

// How often a signature need not be verified again, as a metric. Any library for
// metrics will do in the place of expvar.
func ExampleVerifier_Remembered() {
	keys, token := issuer()
	verifier, err := resource.New(resource.Config{
		Resource: "https://api.example.com/",
		Issuers:  []resource.KeySource{keys},
	})
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("access_tokens", expvar.Func(func() any { return verifier.Remembered() }))

	for range 3 {
		if _, err := verifier.VerifyToken(context.Background(), token, nil, "read"); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(expvar.Get("access_tokens"))
	// Output: {"Hits":2,"Misses":1,"Held":1}
}
