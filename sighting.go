package svidgate

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/oauth"
)

// A Sighting is a genuine SVID as it was met: a JWT-SVID whose signature was
// good, whatever another rule said of it then, or an X.509-SVID or a WIT-SVID
// that was accepted. It tells of clocks and lifetimes, and proves nothing: decisions are
// made by an [Identity].
type Sighting struct {
	TrustDomain spiffeid.TrustDomain
	Method      oauth.AuthMethod
	// At is when it was judged, by the verifier's clock.
	At time.Time
	// IssuedAt is the iat of a JWT-SVID by the clock of its issuer. It is zero
	// where there is none, for a WIT-SVID, which is kept for long, and for a
	// certificate, whose notBefore is commonly some time before it was made.
	IssuedAt time.Time
	// ExpiresAt is the exp of a JWT-SVID or a WIT-SVID, or the notAfter of a
	// certificate.
	ExpiresAt time.Time
}

// sighted tells of a JWT-SVID after it was judged.
func (v *Verifier) sighted(s *jwtState) {
	if v.sight == nil || !s.Has(factSigned) {
		return
	}
	issued, _ := s.claim("iat").NumericDate()
	v.sight(Sighting{TrustDomain: s.id.TrustDomain(), Method: oauth.MethodJWT, At: s.now, IssuedAt: issued, ExpiresAt: s.expiry})
}

// sightedX509 tells of an X.509-SVID that was accepted.
func (v *Verifier) sightedX509(s *x509State, i Identity) {
	if v.sight != nil {
		v.sight(Sighting{TrustDomain: i.id.TrustDomain(), Method: oauth.MethodX509, At: s.now, ExpiresAt: i.expiresAt})
	}
}

// sightedWIT tells of a WIT-SVID that was accepted.
func (v *Verifier) sightedWIT(s *witState, i Identity) {
	if v.sight != nil {
		v.sight(Sighting{TrustDomain: i.id.TrustDomain(), Method: oauth.MethodWIT, At: s.now, ExpiresAt: i.expiresAt})
	}
}
