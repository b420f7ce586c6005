package resource

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// The way of a token seen for the first time, by algorithm, and the cost of
// middleware and binding on top.
func BenchmarkVerify(b *testing.B) {
	v, mine := newVerifier(b), leaf(b)
	for _, row := range []struct {
		name string
		key  testKey
	}{
		{"ES256", keyOf("es256", jose.ES256, "p256")}, {"EdDSA", keyOf("eddsa", jose.EdDSA, "ed25519")},
		{"PS256", keyOf("ps256", jose.PS256, "rsa")}, {"RS256", keyOf("rsa", jose.RS256, "rsa")},
	} {
		b.Run(row.name, func(b *testing.B) {
			p := newPresentation()
			p.as(row.key)
			r := p.request()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), r, "read"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("ES256 bound", func(b *testing.B) {
		p := newPresentation()
		p.bound(mine)
		r := p.request()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), r, "read"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ES256 through Require", func(b *testing.B) {
		r, w := newPresentation().request(), httptest.NewRecorder()
		h := v.Require("read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	})
	b.Run("wrong audience", func(b *testing.B) {
		p := newPresentation()
		p.claims["aud"] = issuerA
		r := p.request()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), r, "read"); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}
