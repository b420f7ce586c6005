package svidgate

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// An Identity is a proven workload. Only a Verifier makes one; the zero value
// proves nothing, and Proven says so.
type Identity struct {
	id         spiffeid.ID
	method     oauth.AuthMethod
	expiresAt  time.Time
	digest     [32]byte
	token      *jose.Compact // a JWT-SVID; by its address, which is all that fmt prints of it anywhere
	keyID      string
	tokenID    string
	sequence   uint64
	sequenced  bool
	legacyAud  bool
	thumbprint [32]byte // of the certificate, or of the WIT-SVID's key
	proof      [32]byte // names the proof beside a WIT-SVID
	proofUntil time.Time
	proofMade  time.Time
	remembered bool
}

// Format is all that an identity prints as: its method and SPIFFE ID.
func (i Identity) Format(f fmt.State, _ rune) {
	if !i.Proven() {
		io.WriteString(f, "nobody")
		return
	}
	io.WriteString(f, string(i.method)+" "+i.id.String())
}

// LogValue does the same for slog.
func (i Identity) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(i)) }

// Proven reports whether a Verifier made the identity.
func (i Identity) Proven() bool { return i.method != "" }

// SPIFFEID is the concrete workload.
func (i Identity) SPIFFEID() spiffeid.ID { return i.id }

// Method is how it was proven.
func (i Identity) Method() oauth.AuthMethod { return i.method }

// ExpiresAt is the exp of a JWT-SVID or a WIT-SVID, or the notAfter of a
// certificate.
func (i Identity) ExpiresAt() time.Time { return i.expiresAt }

// CertificateThumbprint is the SHA-256 of the leaf's DER form, the value of
// x5t#S256 (MT-1); false without a certificate.
func (i Identity) CertificateThumbprint() ([32]byte, bool) {
	return i.thumbprint, i.method == oauth.MethodX509
}

// KeyThumbprint is the RFC 7638 SHA-256 thumbprint of the key that a WIT-SVID
// names and whose possession was proven, the value of jkt; false without a
// WIT-SVID.
func (i Identity) KeyThumbprint() ([32]byte, bool) {
	return i.thumbprint, i.method == oauth.MethodWIT
}

// A ProofUse is what single use of a WIT-SVID's proof is counted by (PP-8).
type ProofUse struct {
	// Mark names the proof: a digest of the key's thumbprint and of jti.
	Mark [32]byte
	// Made is the proof's iat.
	Made time.Time
	// Until is when its time alone refuses it, so that the mark may be forgotten.
	Until time.Time
}

// ProofUse is the use of the proof that came with a WIT-SVID; false without one.
func (i Identity) ProofUse() (ProofUse, bool) {
	return ProofUse{i.proof, i.proofMade, i.proofUntil}, i.method == oauth.MethodWIT
}

// Digest is the SHA-256 of the credential as presented: it names the credential
// in an audit line without showing it (CA-14).
func (i Identity) Digest() [32]byte { return i.digest }

// UseDigest is the SHA-256 of a JWT-SVID's header.payload: what single use is
// counted by, since an ECDSA signature has a valid twin (CJ-13).
func (i Identity) UseDigest() [32]byte {
	if i.method != oauth.MethodJWT {
		return [32]byte{}
	}
	return sha256.Sum256([]byte(i.token.SigningInput))
}

// UseDigest is what [Identity.UseDigest] is of an assertion that is accepted, for
// whoever looks up whether one was used without using it.
func UseDigest(assertion string) [32]byte {
	return sha256.Sum256([]byte(assertion[:max(0, strings.LastIndexByte(assertion, '.'))]))
}

// Remembered reports whether the signature, or the path to an anchor, was one that
// the Verifier had found good before. Everything else was judged now.
func (i Identity) Remembered() bool { return i.remembered }

// KeyID is the kid of the key that verified a JWT-SVID or a WIT-SVID, or the
// serial number of a certificate; for the audit record (CA-14).
func (i Identity) KeyID() string { return i.keyID }

// TokenID is the jti of a JWT-SVID or a WIT-SVID that had one, made fit to print.
func (i Identity) TokenID() string { return i.tokenID }

// BundleSequence is the spiffe_sequence of the bundle that was used; false when
// it had none.
func (i Identity) BundleSequence() (uint64, bool) { return i.sequence, i.sequenced }

// LegacyAudience reports whether the profile transition let an older form pass:
// the audience was the endpoint's URL and not the issuer (CJ-7).
func (i Identity) LegacyAudience() bool { return i.legacyAud }
