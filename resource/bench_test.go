package resource

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// distinct are requests with as many tokens, made by a presentation each.
func distinct(n int, change func(*presentation)) []*http.Request {
	requests := make([]*http.Request, n)
	for i := range requests {
		p := newPresentation()
		change(p)
		p.claims["jti"] = fmt.Sprintf("t-%d", i)
		requests[i] = p.request()
	}
	return requests
}

// forgetful is a verifier that has never seen the tokens of distinct, of which
// there are more than it remembers.
func forgetful(tb testing.TB) *Verifier {
	v := newVerifier(tb)
	v.use(newMemory(2, 1))
	return v
}

func benchmarkVerify(b *testing.B, v *Verifier, requests []*http.Request) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := v.Verify(b.Context(), requests[i%len(requests)], "read"); err != nil {
			b.Fatal(err)
		}
	}
	if m := v.Remembered(); (m.Hits > 0) != (len(requests) == 1) {
		b.Fatalf("it measured something else: %+v", m)
	}
}

// The way of a token that is seen for the first time, by algorithm and binding.
func BenchmarkFirstSight(b *testing.B) {
	mine := leaf(b)
	for _, row := range []struct {
		name   string
		change func(*presentation)
	}{
		{"ES256", with(keyOf("es256", jose.ES256, "p256"))}, {"EdDSA", with(keyOf("eddsa", jose.EdDSA, "ed25519"))},
		{"PS256", with(keyOf("ps256", jose.PS256, "rsa"))}, {"RS256", with(keyOf("rsa", jose.RS256, "rsa"))},
		{"ES256 bound", boundTo(mine)},
	} {
		b.Run(row.name, func(b *testing.B) { benchmarkVerify(b, forgetful(b), distinct(16, row.change)) })
	}
}

// The way of a token that was accepted before.
func BenchmarkRepeated(b *testing.B) {
	mine := leaf(b)
	for _, row := range []struct {
		name   string
		change func(*presentation)
	}{
		{"ES256", with(keyOf("es256", jose.ES256, "p256"))}, {"RS256", with(keyOf("rsa", jose.RS256, "rsa"))},
		{"ES256 bound", boundTo(mine)}, {"of the second issuer", func(p *presentation) { p.as(keyOf("only-b", jose.ES256, "p256b")); p.claims["iss"] = issuerB }},
	} {
		b.Run(row.name, func(b *testing.B) { benchmarkVerify(b, newVerifier(b), distinct(1, row.change)) })
	}
	b.Run("in parallel", func(b *testing.B) {
		v, r := newVerifier(b), newPresentation().request()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := v.Verify(b.Context(), r, "read"); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// What middleware costs on top, and a refusal.
func BenchmarkRequire(b *testing.B) {
	for _, row := range []struct {
		name   string
		change func(*presentation)
		want   int
	}{
		{"repeated", func(*presentation) {}, http.StatusOK},
		{"wrong audience", set("aud", issuerA), http.StatusUnauthorized},
	} {
		b.Run(row.name, func(b *testing.B) {
			r, w := distinct(1, row.change)[0], httptest.NewRecorder()
			h := newVerifier(b).Require("read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			b.ReportAllocs()
			for b.Loop() {
				w.Body.Reset()
				h.ServeHTTP(w, r)
			}
			if w.Code != row.want {
				b.Fatal(w.Code)
			}
		})
	}
}
