package inspect

import (
	"strings"

	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// recognise goes by typ first, since that is what typ is for (RFC 8725 3.11).
func (t *token) recognise() *Report {
	typ, typed := t.Header.Get("typ")
	name, _ := typ.Text()
	sub := text(t.Payload, "sub")
	spiffe := strictid.Cut(sub).Scheme != ""
	short := strings.ToLower(strings.TrimPrefix(strings.ToLower(name), "application/"))
	switch {
	case short == "at+jwt":
		return &Report{Kind: AccessToken, Name: "access token (RFC 9068)", Because: "typ is " + oauth.Shown(name)}
	case short == "wit+jwt":
		return &Report{Kind: WITSVID, Name: "WIT-SVID", Because: "typ is " + oauth.Shown(name)}
	case short == oauth.TypeAttestationPoP:
		return &Report{Kind: WITProof, Name: "proof of a WIT-SVID (client attestation PoP)", Because: "typ is " + oauth.Shown(name)}
	case spiffe && (!typed || short == "jwt" || short == "jose"):
		because := "sub is a SPIFFE ID and there is no typ"
		if typed {
			because = "sub is a SPIFFE ID and typ is " + oauth.Shown(name)
		}
		return &Report{Kind: JWTSVID, Name: "JWT-SVID", Because: because}
	}
	r := &Report{Kind: JWT, Name: "JWT of another kind"}
	switch {
	case typed && short != "jwt" && short != "jose":
		r.Because = "typ is " + shown(typ)
		if what := otherTypes[short]; what != "" {
			r.Name = what
		}
	case sub != "":
		r.Because = "sub is no SPIFFE ID, so it is no JWT-SVID, and typ is not at+jwt, so it is no access token"
	default:
		r.Because = "it has neither sub nor a typ that says more"
	}
	return r
}

// otherTypes are kinds of JWT that are often taken for one of ours.
var otherTypes = map[string]string{
	"dpop+jwt":                     "DPoP proof (RFC 9449)",
	"oauth-client-attestation+jwt": "client attestation",
	"wpt+jwt":                      "workload proof token",
	"token-introspection+jwt":      "introspection response (RFC 9701)",
	"logout+jwt":                   "logout token",
	"secevent+jwt":                 "security event token",
}
