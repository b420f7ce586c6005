// Package keys: PLACEHOLDER so that the rest compiles while the real package is
// being written. Whoever writes the real one deletes this file first.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

type Config struct {
	File      string
	Algorithm jose.Algorithm
	Now       func() time.Time
}
type Signer struct {
	KeyID     string
	Algorithm jose.Algorithm
	Key       crypto.Signer
}
type Ring struct{ s Signer }

func Open(Config) (*Ring, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	kid, err := jose.Thumbprint(k.Public())
	return &Ring{Signer{kid, jose.ES256, k}}, err
}
func (r *Ring) Signer() Signer { return r.s }
func (r *Ring) JWKS() []byte {
	b, _ := jose.MarshalJWK(r.s.Key.Public(), r.s.KeyID, "sig", r.s.Algorithm)
	return append(append([]byte(`{"keys":[`), b...), "]}"...)
}
