package introspection_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// What the others are to be compared with: one check of an ES256 signature and
// nothing else.
func BenchmarkBareVerify(b *testing.B) {
	s := newScene(b)
	signer := s.ring.Signer()
	_, key, _ := s.ring.Verifying(signer.KeyID)
	public := key.(*ecdsa.PublicKey)
	digest := sha256.Sum256([]byte("x"))
	der, err := signer.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.VerifyASN1(public, digest[:], der) {
			b.Fatal("bad")
		}
	}
}

// A token that was asked about before by the same client.
func BenchmarkRemembered(b *testing.B) {
	s := newScene(b)
	token := s.token(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.in.Introspect(b.Context(), s.callers[apiA], token); err != nil {
			b.Fatal(err)
		}
	}
}

// One that was not.
func BenchmarkFirst(b *testing.B) {
	s := newScene(b)
	tokens := make([]string, 1<<15) // more than are remembered
	for i := range tokens {
		tokens[i] = s.token(b, claim("jti", fmt.Sprint(i)))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.in.Introspect(b.Context(), s.callers[apiA], tokens[i%len(tokens)]); err != nil {
			b.Fatal(err)
		}
	}
}

// Inactive for each of the three reasons that a client must not tell apart by time
// (AK-28); what is no token of ours at all is another thing, and no secret.
func BenchmarkInactive(b *testing.B) {
	s := newScene(b)
	foreign := s.token(b, claim("aud", books))
	ended := s.token(b, claim("exp", s.Clock.Now().Unix()))
	revoked := s.token(b, claim("jti", "revoked"))
	s.revoke(b, "jti", "revoked")
	for name, token := range map[string]string{"foreign": foreign, "expired": ended, "revoked": revoked} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.in.Introspect(b.Context(), s.callers[apiA], token); oauth.AsError(err).Code != oauth.InvalidToken {
					b.Fatal(err)
				}
			}
		})
	}
}
