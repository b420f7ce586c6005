package svidgate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// edited changes one byte of what was valid, puts one in or takes one out.
func edited(valid []byte, at uint, bits, how byte) []byte {
	i := int(at % uint(len(valid)))
	head, tail := valid[:i:i], valid[i:]
	switch how % 3 {
	case 1:
		return append(append(head, bits), tail...)
	case 2:
		return append(head, tail[1:]...)
	}
	return append(append(head, tail[0]^bits), tail[1:]...)
}

// One byte of a certificate that a valid X.509-SVID needs is changed, of the leaf
// or of the intermediate: refused, by the same rule twice, and explained alike.
func FuzzX509SVIDEdited(f *testing.F) {
	d := newDomain(f, "example.org", devca.Options{Intermediate: true})
	v := newVerifier(f, bundlesOf(f, d))
	chain := d.chain(f)
	if len(chain) != 2 {
		f.Fatalf("%d certificates", len(chain))
	}
	for i := 0; i < len(chain[0].Raw); i += 11 {
		f.Add(uint(i), byte(1<<(i%8)), byte(i), i%2 == 0)
	}
	f.Add(uint(0), byte(0), byte(0), true) // nothing is changed
	f.Fuzz(func(t *testing.T, at uint, bits, how byte, leaf bool) {
		which := 0
		if !leaf {
			which = 1
		}
		der := edited(chain[which].Raw, at, bits, how)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		sent := []*x509.Certificate{chain[0], chain[1]}
		sent[which] = cert
		id, err := v.VerifyX509SVID(context.Background(), sent)
		if (err == nil) != bytes.Equal(der, chain[which].Raw) {
			t.Fatalf("certificate %d changed at %d: %v, %v", which, at, id.SPIFFEID(), err)
		}
		again, errAgain := v.VerifyX509SVID(context.Background(), sent)
		if again.Afresh() != id.Afresh() || err != nil && errAgain.Error() != err.Error() {
			t.Fatalf("two answers: %v and %v", err, errAgain)
		}
		checkExplanation(t, oauth.MethodX509, err, v.ExplainX509SVID(context.Background(), sent))
	})
}

// Of all texts only those are accepted that are the valid assertion with a
// signature of the same length: its ECDSA twin is a good signature, too (CJ-13).
func FuzzJWTSVIDText(f *testing.F) {
	d := newDomain(f, "example.org", devca.Options{})
	v := newVerifier(f, bundlesOf(f, d))
	valid := d.svid(f)
	signed := valid[:strings.LastIndexByte(valid, '.')+1]
	for _, s := range []string{
		valid, "", ".", "..", "a.b.c", valid + "=", valid + "\n", " " + valid, valid[1:], signed, signed + "AA", strings.ToLower(valid),
		strings.Replace(valid, ".", "..", 1), strings.ReplaceAll(valid, "_", "/"), b64(`{"alg":"none"}`) + valid[strings.IndexByte(valid, '.'):],
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := svidgate.JWTPresentation{Assertion: s, EndpointURL: endpoint}
		id, err := v.VerifyJWTSVID(context.Background(), p)
		again, errAgain := v.VerifyJWTSVID(context.Background(), p)
		if again.Afresh() != id.Afresh() || (err == nil) != (errAgain == nil) || err != nil && errAgain.Error() != err.Error() {
			t.Fatalf("two answers: %v and %v", err, errAgain)
		}
		if err == nil && (!strings.HasPrefix(s, signed) || len(s) != len(valid)) {
			t.Fatalf("accepted another text as %s: %q", id.SPIFFEID(), s)
		}
		if err != nil && s == valid {
			t.Fatal(err)
		}
	})
}
