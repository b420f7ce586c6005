package doctor

import (
	"context"
	"strings"

	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

// audience is the only one of the JWT-SVID, or all of them with commas.
func (p *patient) audience() string {
	v := p.claim("aud")
	if one, ok := v.Text(); ok {
		return one
	}
	several, _ := v.Texts()
	return strings.Join(several, ", ")
}

func (p *patient) severalAudiences() bool {
	several, ok := p.claim("aud").Texts()
	return ok && len(several) > 1
}

// endpoint is the one that package client calls with a JWT-SVID: where there is a
// certificate to show, the one that asks for it (AM-5).
func (p *patient) endpoint() string {
	endpoint := p.document.tokenEndpoint
	if p.callsAlias() {
		endpoint = p.document.alias
	}
	endpoint, _, _ = strings.Cut(endpoint, "?")
	return endpoint
}

func (p *patient) callsAlias() bool { return p.x509 != nil && p.document.alias != "" }

// olderAudience reports whether the JWT-SVID is in the seed draft's form. It need
// not have been asked for: a file may hold one.
func (p *patient) olderAudience() bool {
	return p.jwt != nil && p.document.tokenEndpoint != "" && p.audience() == p.endpoint()
}

// issuerAudience is the commonest mistake: a JWT-SVID for another audience than the
// server's name for itself (CJ-6).
func issuerAudience(_ context.Context, p *patient) verdict {
	issuer, aud := p.document.issuer, p.audience()
	switch {
	case p.severalAudiences():
		return failed("fetch JWT-SVIDs for one audience", "the JWT-SVID is for %s, and the server accepts one audience and no second (EC-4)", oauth.Shown(aud))
	case p.olderAudience():
		return passed("the JWT-SVID is for the token endpoint, %s: the older form, which profile seed wants, profile transition accepts and counts, and profile latest refuses (CJ-7)", oauth.Shown(aud))
	case p.EndpointAudience:
		return failed("fetch JWT-SVIDs for the audience "+oauth.Shown(p.endpoint()), "the JWT-SVID is for %s, the token endpoint is %s; %s (CJ-7)",
			oauth.Shown(aud), oauth.Shown(p.endpoint()), difference(p.endpoint(), aud))
	case aud == issuer:
		return passed("both are %s, byte for byte", oauth.Shown(issuer))
	case p.callsAlias() && aud == p.document.tokenEndpoint:
		return failed("fetch JWT-SVIDs for the audience "+oauth.Shown(issuer), "the JWT-SVID is for %s, and with a certificate the client calls %s (CJ-7)", oauth.Shown(aud), oauth.Shown(p.endpoint()))
	}
	return failed("fetch JWT-SVIDs for the audience "+oauth.Shown(issuer),
		"the JWT-SVID is for %s, the server calls itself %s; %s (CJ-6)", oauth.Shown(aud), oauth.Shown(issuer), difference(issuer, aud))
}

// difference is where two identifiers part that should be the same bytes.
func difference(expected, presented string) string {
	d, _ := explain.FirstDifference(expected, presented)
	return "they first differ in: " + d.String()
}
