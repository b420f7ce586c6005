package registration

import (
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// A Claim is what a request says of its client before anything is proven: the
// client that client_id names, if it was sent, and the method in use.
type Claim struct {
	registry *Registry
	clientID string
	client   *Client // nil without client_id
	method   oauth.AuthMethod
}

// Method is the method by which the request authenticates.
func (c Claim) Method() oauth.AuthMethod { return c.method }

// Profile is the profile that the client behind id is held to: its own if it has
// one, else empty, which means its trust domain's. It is what
// svidgate.JWTPresentation asks for.
func (c Claim) Profile(id spiffeid.ID) svidgate.Profile {
	if c.client != nil {
		return c.client.profile
	}
	if exact := c.registry.byExact[id]; len(exact) == 1 {
		return exact[0].profile
	}
	return ""
}

// Claim finds the claimed client and the method. The error is an *oauth.Error.
//
// A client certificate authenticates only a client that is registered for it
// (CX-7); beside an assertion it is no second method (CA-6).
func (r *Registry) Claim(req *tokenrequest.Request) (Claim, error) {
	claim := Claim{registry: r, clientID: req.ClientID()}
	if !req.Parsed() {
		return claim, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a parsed request", "none")
	}
	if claim.clientID != "" {
		if claim.client = r.byID[claim.clientID]; claim.client == nil {
			return claim, oauth.Refuse(oauth.InvalidClient, oauth.ReasonClientNotFound, "CA-2", "a registered client_id", oauth.Shown(claim.clientID))
		}
	}
	certificate := len(req.Certificates()) > 0
	switch req.Credential() {
	case tokenrequest.JWTSVID:
		claim.method = oauth.MethodJWT
	case tokenrequest.Attestation:
		claim.method = oauth.MethodWIT
	case tokenrequest.NoCredential:
		if claim.client != nil && claim.client.MayUse(oauth.MethodX509) {
			claim.method = oauth.MethodX509
		}
		if err := claim.byCertificate(certificate); err != nil {
			return claim, err
		}
		claim.method = oauth.MethodX509
	default:
		return claim, claim.methodNotAllowed("a shared secret or an Authorization header")
	}
	if claim.client != nil && !claim.client.MayUse(claim.method) {
		return claim, claim.methodNotAllowed(string(claim.method))
	}
	if claim.method == oauth.MethodWIT {
		return claim, claim.methodNotAllowed(string(claim.method))
	}
	return claim, nil
}

// byCertificate judges a request that has no credential but perhaps a
// certificate. Each case says all that it asks and leans on none before it.
func (c Claim) byCertificate(shown bool) error {
	switch {
	case c.method == oauth.MethodX509 && !shown:
		return oauth.Refuse(oauth.InvalidClient, oauth.ReasonCertMissing, "CX-1", "an X.509-SVID on the connection", "no client certificate")
	case !shown:
		return oauth.Refuse(oauth.InvalidClient, oauth.ReasonAssertionMissing, "TK-2", "client authentication", "none")
	case c.client == nil:
		return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CX-2", "client_id beside a certificate", "none")
	case c.client != nil && c.method != oauth.MethodX509:
		return c.methodNotAllowed("a client certificate only")
	}
	return nil
}

func (c Claim) methodNotAllowed(presented string) *oauth.Error {
	expected := "a method this server offers"
	if c.client != nil {
		expected = fmt.Sprintf("one of %v", c.client.methods)
	}
	return oauth.Refuse(oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CA-7", expected, presented)
}
