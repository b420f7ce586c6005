package svidgate

import (
	"fmt"

	"github.com/svidgate/svidgate/oauth"
)

// A Profile is an edition of the client-authentication draft whose rules apply
// where editions differ (client-authentication section 15.2). The zero value
// means "not said" and is never judged by.
type Profile string

const (
	// Transition accepts what the first and the newest text each demand, and
	// counts every use of an older form. It is the default.
	Transition Profile = "transition"
	// Latest is the working group's editors' copy of August 2026.
	Latest Profile = "latest"
	// IETF02 is draft-ietf-oauth-spiffe-client-auth-02.
	IETF02 Profile = "ietf-02"
	// Seed is draft-schwenkschuster-oauth-spiffe-client-auth of October 2025.
	Seed Profile = "seed"
)

// Profiles are all profiles, the default first.
var Profiles = []Profile{Transition, Latest, IETF02, Seed}

// ParseProfile reads a profile's name.
func ParseProfile(s string) (Profile, error) {
	for _, p := range Profiles {
		if s == string(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("profile is one of transition, latest, ietf-02, seed")
}

// AcceptsIssuerAudience reports whether the issuer is an accepted audience
// (CJ-6).
func (p Profile) AcceptsIssuerAudience() bool { return p == Transition || p == Latest || p == IETF02 }

// AcceptsEndpointAudience reports whether the URL of the endpoint called is an
// accepted audience (CJ-7).
func (p Profile) AcceptsEndpointAudience() bool { return p == Transition || p == Seed }

// ClientIDRequired reports whether a request with this method must carry
// client_id (CJ-10, CX-2).
func (p Profile) ClientIDRequired(m oauth.AuthMethod) bool {
	return m != oauth.MethodJWT || p == Latest
}

// ClientIDIsSPIFFEID reports whether client_id must be the certificate's SPIFFE
// ID instead of any identifier it is associated with (CX-3).
func (p Profile) ClientIDIsSPIFFEID(m oauth.AuthMethod) bool {
	return m == oauth.MethodX509 && (p == IETF02 || p == Seed)
}

// AllowsWIT reports whether WIT-SVIDs authenticate at all: the first edition did
// not know them.
func (p Profile) AllowsWIT() bool { return p == Transition || p == Latest || p == IETF02 }

// AllowsWildcard reports whether a spiffe_id ending in /* takes part with this
// method (MD-20).
func (p Profile) AllowsWildcard(m oauth.AuthMethod) bool {
	switch p {
	case Transition, Latest:
		return true
	case IETF02:
		return m == oauth.MethodJWT
	}
	return false
}
