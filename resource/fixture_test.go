package resource

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

const (
	issuerA = "https://as.example.com"
	issuerB = "https://other.example.com/t1"
	api     = "https://api.example.com/"
	worker  = "spiffe://example.org/billing"
)

// noon is now in tests, unless a test moves its clock.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// A testKey signs as one entry of a JWK Set.
type testKey struct {
	id     string
	alg    jose.Algorithm
	signer crypto.Signer
}

func (k testKey) jwk(tb testing.TB, withAlg bool) json.RawMessage {
	tb.Helper()
	var alg jose.Algorithm
	if withAlg {
		alg = k.alg
	}
	return must(jose.MarshalJWK(k.signer.Public(), k.id, "sig", alg))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// signers are made once: RSA keys take their time.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{
		"p256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), "p256b": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), "p521": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"rsa": must(rsa.GenerateKey(rand.Reader, 2048)), "ed25519": ed,
	}
})

func keyOf(id string, alg jose.Algorithm, signer string) testKey {
	return testKey{id, alg, signers()[signer]}
}

func jwks(entries ...json.RawMessage) []byte {
	if entries == nil {
		entries = []json.RawMessage{}
	}
	return must(json.Marshal(map[string]any{"keys": entries}))
}

// staticA has one key of every kind; the RSA key is there with the alg PS256 and
// again without any.
func staticA(tb testing.TB) *StaticKeys {
	return must(NewStaticKeys(issuerA, jwks(
		keyOf("es256", jose.ES256, "p256").jwk(tb, true), keyOf("es256-b", jose.ES256, "p256b").jwk(tb, true),
		keyOf("es384", jose.ES384, "p384").jwk(tb, true), keyOf("es512", jose.ES512, "p521").jwk(tb, true),
		keyOf("eddsa", jose.EdDSA, "ed25519").jwk(tb, true),
		keyOf("ps256", jose.PS256, "rsa").jwk(tb, true), keyOf("rsa", jose.RS256, "rsa").jwk(tb, false),
	)))
}

// staticB has the kid es256 too, of another key, and one kid of its own.
func staticB(tb testing.TB) *StaticKeys {
	return must(NewStaticKeys(issuerB, jwks(
		keyOf("es256", jose.ES256, "p256b").jwk(tb, true), keyOf("only-b", jose.ES256, "p256b").jwk(tb, true))))
}

func newVerifier(tb testing.TB, change ...func(*Config)) *Verifier {
	tb.Helper()
	c := Config{Resource: api, Issuers: []KeySource{staticA(tb), staticB(tb)}, Now: atNoon}
	for _, f := range change {
		f(&c)
	}
	v, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	if v.since.Equal(noon.Add(proofAhead)) { // it began long ago, unless a test says when
		v.since = noon.Add(-time.Hour)
	}
	return v
}

// A presentation is what a caller sends, right in every respect until a test
// changes one.
type presentation struct {
	config         []func(*Config)
	header, claims map[string]any
	key            testKey
	token          func(string) string   // changes the signed token
	authorization  func(string) []string // makes header values of it
	query          string
	peers          []*x509.Certificate
	scopes         []string
	method, target string
	proof          *proofOf              // nil: none
	headers        func(string) []string // makes DPoP header values of the proof
}

// A proofOf is what a DPoP proof is made of.
type proofOf struct {
	header, claims map[string]any
	key            crypto.Signer
	alg            jose.Algorithm
	proof          func(string) string // changes the signed proof
}

func newPresentation() *presentation {
	return &presentation{
		header: map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": "es256"},
		claims: map[string]any{
			"iss": issuerA, "aud": api, "sub": worker, "client_id": "billing", "jti": "t-1", "scope": "read write",
			"iat": noon.Unix(), "exp": noon.Add(5 * time.Minute).Unix(),
		},
		key:           keyOf("es256", jose.ES256, "p256"),
		token:         func(s string) string { return s },
		authorization: func(s string) []string { return []string{"Bearer " + s} },
		scopes:        []string{"read"},
	}
}

// as signs with this key and says so.
func (p *presentation) as(k testKey) {
	p.key, p.header["alg"], p.header["kid"] = k, string(k.alg), k.id
}

// bound binds the token to the first certificate.
func (p *presentation) bound(chain ...*x509.Certificate) {
	p.claims["cnf"] = map[string]any{"x5t#S256": thumbprintOf(chain[0])}
	p.peers = chain
}

func (p *presentation) sign() string {
	return p.token(must(jose.Sign(p.key.alg, p.key.signer, must(json.Marshal(p.header)), must(json.Marshal(p.claims)))))
}

// keyed binds the token to a key, and has a proof by it.
func (p *presentation) keyed(signer string, alg jose.Algorithm) {
	key := signers()[signer]
	p.claims["cnf"] = map[string]any{"jkt": must(jose.Thumbprint(key.Public()))}
	p.authorization = func(s string) []string { return []string{"DPoP " + s} }
	p.headers = func(s string) []string { return []string{s} }
	p.proof = &proofOf{
		header: map[string]any{"typ": "dpop+jwt", "alg": string(alg), "jwk": json.RawMessage(must(jose.MarshalJWK(key.Public(), "", "", "")))},
		claims: map[string]any{"htm": "GET", "htu": "https://api.example.com/", "iat": noon.Unix()},
		key:    key, alg: alg, proof: func(s string) string { return s },
	}
}

// proofCount makes the jti of each proof another one, unless a test sets it.
var proofCount atomic.Int64

// proofFor makes the proof for a token.
func (p *presentation) proofFor(token string) string {
	claims := maps.Clone(p.proof.claims)
	if _, ok := claims["jti"]; !ok {
		claims["jti"] = fmt.Sprintf("p-%d", proofCount.Add(1))
	}
	if _, ok := claims["ath"]; !ok {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return p.proof.proof(must(jose.Sign(p.proof.alg, p.proof.key, must(json.Marshal(p.proof.header)), must(json.Marshal(claims)))))
}

func (p *presentation) request() *http.Request {
	r := httptest.NewRequest(cmp.Or(p.method, http.MethodGet), cmp.Or(p.target, "/"), nil)
	if p.query != "" {
		r.URL.RawQuery = p.query
	}
	token := p.sign()
	if values := p.authorization(token); values != nil {
		r.Header["Authorization"] = values
	}
	if p.proof != nil {
		if values := p.headers(p.proofFor(token)); values != nil {
			r.Header["Dpop"] = values
		}
	}
	r.TLS = &tls.ConnectionState{PeerCertificates: p.peers}
	return r
}

func thumbprintOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// certificate makes a self-signed one: for the binding the chain does not matter
// (RS-4).
func certificate(tb testing.TB, change ...func(*x509.Certificate)) tls.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: "client"},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), DNSNames: []string{"client.test"},
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	for _, f := range change {
		f(template)
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

func leaf(tb testing.TB, change ...func(*x509.Certificate)) *x509.Certificate {
	return certificate(tb, change...).Leaf
}

// longCertificate makes a certificate of more than n bytes.
func longCertificate(n int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for i := 0; i*12 < n; i++ {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("host%06d.t", i))
		}
	}
}

// padded makes the token the longest of at most n bytes, or with over the
// shortest above.
func padded(p *presentation, n int, over bool) {
	for pad := 11000; ; pad++ {
		p.claims["pad"] = string(slices.Repeat([]byte{'a'}, pad))
		if len(p.sign()) > n {
			if !over {
				p.claims["pad"] = p.claims["pad"].(string)[1:]
			}
			return
		}
	}
}

// A sourceFunc is a KeySource of issuerA.
type sourceFunc func() (*KeySet, error)

func (f sourceFunc) Issuer() string                                      { return issuerA }
func (f sourceFunc) KeySet(_ context.Context, _ string) (*KeySet, error) { return f() }
