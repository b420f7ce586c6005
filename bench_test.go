package svidgate_test

import (
	"crypto/x509"
	"fmt"
	"testing"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
)

// different is how many SVIDs a benchmark of first sight has. After so many, a
// verifier that has seen none takes over.
const different = 2000

func BenchmarkVerifyJWTSVID(b *testing.B) {
	d := newDomain(b, "example.org", devca.Options{})
	bundles := bundlesOf(b, d)
	var all []svidgate.JWTPresentation
	for i := range different {
		token := d.svid(b, claim("jti", fmt.Sprint(i)))
		all = append(all, svidgate.JWTPresentation{Assertion: token, EndpointURL: endpoint})
	}
	sights(b, func() func(i int) error {
		v := newVerifier(b, bundles)
		return func(i int) error {
			_, err := v.VerifyJWTSVID(b.Context(), all[i])
			return err
		}
	})
}

func BenchmarkVerifyX509SVID(b *testing.B) {
	for _, intermediate := range []bool{false, true} {
		b.Run(fmt.Sprintf("intermediate=%t", intermediate), func(b *testing.B) {
			d := newDomain(b, "example.org", devca.Options{Intermediate: intermediate})
			bundles := bundlesOf(b, d)
			var all [][]*x509.Certificate
			for range different {
				svid, err := d.X509SVID("/a")
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, svid.Certificates)
			}
			sights(b, func() func(i int) error {
				v := newVerifier(b, bundles)
				return func(i int) error {
					_, err := v.VerifyX509SVID(b.Context(), all[i])
					return err
				}
			})
		})
	}
}

// sights measures a verifier with SVIDs that it sees for the first time, and with
// one that it sees again. fresh makes a verifier that has seen none.
func sights(b *testing.B, fresh func() func(i int) error) {
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		verify, i := fresh(), 0
		for b.Loop() {
			if i == different {
				b.StopTimer()
				verify, i = fresh(), 0
				b.StartTimer()
			}
			if err := verify(i); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("repeated", func(b *testing.B) {
		b.ReportAllocs()
		verify := fresh()
		for b.Loop() {
			if err := verify(0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
