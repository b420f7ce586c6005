package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// rsaBits is the length of the RSA keys made here; shorter ones of at least
// jose.MinRSABits are read (KR-4).
const rsaBits = 3072

// A state is where a key stands in its life (KR-2).
type state string

const (
	stateActive   state = "active"   // signs; exactly one key
	stateRetiring state = "retiring" // published, signs no more
)

// A key is one entry of the file.
type key struct {
	id      string // RFC 7638 thumbprint
	alg     jose.Algorithm
	state   state
	created time.Time
	private crypto.Signer
}

// makeKey makes an active key.
func makeKey(alg jose.Algorithm, created time.Time) (key, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch alg {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case jose.PS256, jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		err = fmt.Errorf("no key can be made for this algorithm")
	}
	if err != nil {
		return key{}, err
	}
	id, err := jose.Thumbprint(private.Public())
	if err != nil {
		return key{}, err
	}
	return key{id: id, alg: alg, state: stateActive, created: created, private: private}, nil
}

// active is the one key that signs. The reader of the file has seen to it that
// there is one.
func active(keys []key) key {
	for _, k := range keys {
		if k.state == stateActive {
			return k
		}
	}
	return key{}
}
