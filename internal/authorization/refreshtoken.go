package authorization

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// A refresh token is what its family has in common, a secret of its own, and a
// check that tells a token which was cut or mistyped from one that was replaced: only
// the latter revokes a grant.
const (
	handleLen  = 16
	secretLen  = 32
	checkLen   = 4
	refreshLen = handleLen + secretLen + checkLen
)

type refreshToken struct {
	handle [handleLen]byte
	secret [secretLen]byte
}

// Format keeps every verb of fmt from it.
func (refreshToken) Format(f fmt.State, _ rune) { io.WriteString(f, "redacted") }

func newRefreshToken() refreshToken {
	var t refreshToken
	rand.Read(t.handle[:]) // it never fails
	rand.Read(t.secret[:])
	return t
}

// successor is the token that replaces this one. Who has the token and the salt
// makes the same again, so that a lost answer can be repeated though the store has
// no token in it (RT-4); who has the store alone makes none.
func (t refreshToken) successor(salt [sha256.Size]byte) refreshToken {
	mac := hmac.New(sha256.New, t.secret[:])
	mac.Write([]byte("svidgate refresh token successor\x00"))
	mac.Write(t.handle[:])
	mac.Write(salt[:])
	next := refreshToken{handle: t.handle}
	mac.Sum(next.secret[:0])
	return next
}

// family finds the grant of the token.
func (t refreshToken) family() Digest {
	return sha256.Sum256(append([]byte("svidgate refresh token family\x00"), t.handle[:]...))
}

func (t refreshToken) digest() Digest { return digestOf(string(t.wire())) }

func (t refreshToken) wire() oauth.RefreshToken {
	b := append(append(make([]byte, 0, refreshLen), t.handle[:]...), t.secret[:]...)
	sum := sha256.Sum256(b)
	return oauth.RefreshToken(oauth.RefreshTokenPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:checkLen]...)))
}

var strictURL = base64.RawURLEncoding.Strict()

// parseRefreshToken reads a refresh token; false for what was never one.
func parseRefreshToken(s string) (refreshToken, bool) {
	encoded, ok := strings.CutPrefix(s, oauth.RefreshTokenPrefix)
	if !ok || len(encoded) != strictURL.EncodedLen(refreshLen) {
		return refreshToken{}, false
	}
	b, err := strictURL.DecodeString(encoded)
	if err != nil || len(b) != refreshLen {
		return refreshToken{}, false
	}
	sum := sha256.Sum256(b[:handleLen+secretLen])
	if subtle.ConstantTimeCompare(sum[:checkLen], b[handleLen+secretLen:]) != 1 {
		return refreshToken{}, false
	}
	var t refreshToken
	copy(t.handle[:], b)
	copy(t.secret[:], b[handleLen:])
	return t, true
}
