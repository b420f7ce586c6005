package svidgate_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
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

// BenchmarkVerifyX509SVIDAmongAnchors is first sight in a trust domain with five
// anchors of one name, of which another one signed each time.
func BenchmarkVerifyX509SVIDAmongAnchors(b *testing.B) {
	var anchors []ca
	var entries []map[string]any
	for i := range 5 {
		a := newCA(b, "example.org", func(c *x509.Certificate) {
			c.Subject, c.SubjectKeyId = pkix.Name{CommonName: "one name for all"}, []byte{byte(i)}
		})
		anchors, entries = append(anchors, a), append(entries, a.entry())
	}
	var all [][]*x509.Certificate
	for i := range different {
		all = append(all, []*x509.Certificate{anchors[i%5].leaf(b)})
	}
	of := bundles{exampleOrg: bundleOf(b, exampleOrg, entries...)}
	sights(b, func() func(i int) error {
		v := newVerifier(b, of)
		return func(i int) error {
			_, err := v.VerifyX509SVID(b.Context(), all[i])
			return err
		}
	})
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
