package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/testidentity"
)

// discard is a response that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkToken is the way of a request through the whole pipeline without HTTP
// and TLS. What signature and verification alone cost, BenchmarkCryptography
// says.
func BenchmarkToken(b *testing.B) {
	s := newSite(b)
	fresh := make([]string, 2000)
	for i := range fresh {
		svid := s.JWT(b, billing, func(_, claims map[string]any) { claims["jti"] = fmt.Sprint(i) })
		fresh[i] = testidentity.Assertion(billing, svid).Encode()
	}
	certificate := url.Values{"grant_type": {"client_credentials"}, "client_id": {orders}}.Encode()
	public, mutual := s.server.Public(), s.server.MTLS()
	for _, bench := range []struct {
		name  string
		h     http.Handler
		forms []string
		chain []*x509.Certificate
	}{
		{"jwt first sight", public, fresh, nil},
		{"jwt repeated", public, fresh[:1], nil},
		{"x509", mutual, []string{certificate}, s.Chain(b, orders)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i > 0 && i%len(fresh) == 0 && len(bench.forms) > 1 { // nothing is seen a second time
					b.StopTimer()
					s.forget(b)
					b.StartTimer()
				}
				form := bench.forms[i%len(bench.forms)]
				w := &discard{header: http.Header{}, status: http.StatusOK}
				r := &http.Request{
					Method: http.MethodPost, URL: &url.URL{Path: "/token"}, RequestURI: "/token", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
					Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Host: "as.example.com",
					RemoteAddr: "127.0.0.1:1234", ContentLength: int64(len(form)), Body: io.NopCloser(strings.NewReader(form)),
					TLS: &tls.ConnectionState{PeerCertificates: bench.chain},
				}
				bench.h.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("status %d, %s", w.status, s.log.String())
				}
			}
		})
	}
}

// forget gives the site a verifier that remembers nothing.
func (s *site) forget(b *testing.B) {
	v, err := svidgate.NewVerifier(svidgate.Config{Issuer: testidentity.Issuer, Settings: svidgate.DefaultSettings(), Bundles: s.config.Bundles, Now: s.Clock.Now})
	if err != nil {
		b.Fatal(err)
	}
	s.config.Authenticator.Verifier = v
}

// BenchmarkCryptography is one verification and one signature.
func BenchmarkCryptography(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("header.payload"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
