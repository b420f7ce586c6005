package svidgate_test

import (
	"testing"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

// The table of section 15.2, column by column.
func TestProfiles(t *testing.T) {
	const jwt, cert, wit = oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT
	type byMethod map[oauth.AuthMethod]bool
	for _, c := range []struct {
		profile  svidgate.Profile
		issuer   bool // an audience
		endpoint bool // an audience
		clientID byMethod
		equal    byMethod
		wildcard byMethod
	}{
		{svidgate.Transition, true, true, byMethod{jwt: false, cert: true, wit: true}, byMethod{}, byMethod{jwt: true, cert: true, wit: true}},
		{svidgate.Latest, true, false, byMethod{jwt: true, cert: true, wit: true}, byMethod{}, byMethod{jwt: true, cert: true, wit: true}},
		{svidgate.IETF02, true, false, byMethod{jwt: false, cert: true, wit: true}, byMethod{cert: true}, byMethod{jwt: true}},
		{svidgate.Seed, false, true, byMethod{jwt: false, cert: true, wit: true}, byMethod{cert: true}, byMethod{}},
		{"", false, false, byMethod{jwt: false, cert: true, wit: true}, byMethod{}, byMethod{}},
	} {
		t.Run("15.2 "+string(c.profile), func(t *testing.T) {
			if got := c.profile.AcceptsIssuerAudience(); got != c.issuer {
				t.Errorf("CJ-6 the issuer as audience: %v", got)
			}
			if got := c.profile.AcceptsEndpointAudience(); got != c.endpoint {
				t.Errorf("CJ-7 the endpoint as audience: %v", got)
			}
			for _, m := range []oauth.AuthMethod{jwt, cert, wit} {
				if got := c.profile.ClientIDRequired(m); got != c.clientID[m] {
					t.Errorf("CJ-10, CX-2 client_id required with %s: %v", m, got)
				}
				if got := c.profile.ClientIDIsSPIFFEID(m); got != c.equal[m] {
					t.Errorf("CX-3 client_id is the SPIFFE ID with %s: %v", m, got)
				}
				if got := c.profile.AllowsWildcard(m); got != c.wildcard[m] {
					t.Errorf("MD-20 a wildcard with %s: %v", m, got)
				}
			}
		})
	}
}

func TestParseProfile(t *testing.T) {
	for _, p := range svidgate.Profiles {
		if got, err := svidgate.ParseProfile(string(p)); err != nil || got != p {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "Transition", "ietf-01", "ietf02", "latest ", "none"} {
		if got, err := svidgate.ParseProfile(s); err == nil || got != "" {
			t.Errorf("%q is the profile %q", s, got)
		}
	}
	if svidgate.Profiles[0] != svidgate.Transition || len(svidgate.Profiles) != 4 {
		t.Errorf("15.2 the profiles are %v", svidgate.Profiles)
	}
}
