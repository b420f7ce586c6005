package keys

import (
	"crypto"
	"fmt"
	"io"
	"log/slog"

	"github.com/svidgate/svidgate/internal/jose"
)

// A Signer is the key that signs now. Key may be a key in this process or stand
// for one in a hardware module (KR-5): whoever signs needs no more than
// crypto.Signer.
//
// Printed, logged or encoded, a Signer shows its kid and algorithm only.
type Signer struct {
	KeyID     string
	Algorithm jose.Algorithm
	Key       crypto.Signer
}

func (s Signer) String() string               { return fmt.Sprintf("%s key %s", s.Algorithm, s.KeyID) }
func (s Signer) GoString() string             { return s.String() }
func (s Signer) Format(f fmt.State, _ rune)   { io.WriteString(f, s.String()) } // every verb, %x and %d too
func (s Signer) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Signer) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A sealed private key signs and shows nothing. It is a function, the one thing
// that fmt never looks into: from somebody's unexported field, where fmt cannot
// call the methods below, it would print an Ed25519 key byte by byte.
type sealed struct{ key func() crypto.Signer }

func seal(key crypto.Signer) *sealed {
	return &sealed{func() crypto.Signer { return key }}
}

func (k *sealed) Public() crypto.PublicKey { return k.key().Public() }

func (k *sealed) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.key().Sign(rand, digest, opts)
}

const private = "private key"

func (k *sealed) String() string               { return private }
func (k *sealed) GoString() string             { return private }
func (k *sealed) Format(f fmt.State, _ rune)   { io.WriteString(f, private) }
func (k *sealed) LogValue() slog.Value         { return slog.StringValue(private) }
func (k *sealed) MarshalText() ([]byte, error) { return []byte(private), nil }
