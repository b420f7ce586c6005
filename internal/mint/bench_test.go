package mint_test

import (
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

// The token itself: claims and signature.
func BenchmarkMint(b *testing.B) {
	for _, row := range []struct {
		key devca.KeyAlgorithm
		alg jose.Algorithm
	}{{devca.P256, jose.ES256}, {devca.Ed25519, jose.EdDSA}} {
		b.Run(string(row.alg), func(b *testing.B) {
			p := newPress(b)
			p.signer = signer(b, row.key, row.alg)
			a, d := p.authorize(b, byJWT(b, p.World, nil), oauth.MethodJWT)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.mint.Mint(a, d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What stands between the client and its token: what it asks for, and whether it
// may have that.
func BenchmarkGrantAndPolicy(b *testing.B) {
	p := newPress(b)
	req := byJWT(b, p.World, nil, oauth.ParamScope, "read")
	grants := grant.New()
	caller, table := p.Caller(b, client(b, oauth.MethodJWT), req), policy.New(p.table)
	b.ReportAllocs()
	for b.Loop() {
		authorize, err := grants.For(req.GrantType())
		if err != nil {
			b.Fatal(err)
		}
		a, err := authorize(b.Context(), caller, req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := table.Decide(a.Question()); err != nil {
			b.Fatal(err)
		}
	}
}
