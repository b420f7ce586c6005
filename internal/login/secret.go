package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// A Secret is a random value of 256 bits that a browser holds in a cookie (GL-13).
// It prints as nothing. The zero value is none: nobody was given it, and everybody
// can say it.
type Secret struct{ bytes [32]byte }

// A Digest is what the store keeps of a secret.
type Digest [sha256.Size]byte

// NewSecret makes one.
func NewSecret() Secret {
	var s Secret
	rand.Read(s.bytes[:]) // never fails
	return s
}

// ReadSecret reads what Value wrote, in its one spelling. Of anything else the Secret
// is zero.
func ReadSecret(value string) (Secret, bool) {
	var s Secret
	if len(value) != base64.RawURLEncoding.EncodedLen(len(s.bytes)) {
		return Secret{}, false
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return Secret{}, false
	}
	copy(s.bytes[:], decoded)
	return s, s != Secret{}
}

// Value is the value of the cookie.
func (s Secret) Value() string { return base64.RawURLEncoding.EncodeToString(s.bytes[:]) }

// Digest is what may be kept of it.
func (s Secret) Digest() Digest { return sha256.Sum256(s.bytes[:]) }

func (s Secret) String() string   { return "[secret]" }
func (s Secret) GoString() string { return "[secret]" }

// derive makes another secret of this one, for one use.
func (s Secret) derive(use string) Secret {
	mac := hmac.New(sha256.New, s.bytes[:])
	mac.Write([]byte(use))
	return Secret{[32]byte(mac.Sum(nil))}
}
