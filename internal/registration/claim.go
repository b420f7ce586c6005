package registration

import (
	"context"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
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
	if exact := c.registry.exactly(id); len(exact) == 1 {
		return exact[0].profile
	}
	return ""
}

// Claim finds the claimed client and the method. The error is an *oauth.Error.
//
// A client certificate authenticates only a client that is registered for it
// (CX-7); beside an assertion or a WIT-SVID it is no second method (CA-6).
func (r *Registry) Claim(req *tokenrequest.Request) (Claim, error) {
	s := &claiming{
		claim:      Claim{registry: r, clientID: req.ClientID()},
		credential: req.Credential(), certificate: len(req.Certificates()) > 0,
	}
	if !req.Parsed() {
		return s.claim, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a parsed request", "none")
	}
	s.Facts = factSaid
	if e := judge.FirstRefusal(context.Background(), claimRules, s); e != nil { // nothing here waits
		return s.claim, e
	}
	if s.credential == tokenrequest.NoCredential && s.claim.method != oauth.MethodNone {
		s.claim.method = oauth.MethodX509
	}
	return s.claim, nil
}

// Public is the public client that the claim names; false for every other claim.
// There is nothing to prove and nothing to associate.
func (c Claim) Public() (Client, bool) {
	if c.method != oauth.MethodNone || c.client == nil {
		return Client{}, false
	}
	return *c.client, true
}

// claiming is what a request shows, while its claim is judged.
type claiming struct {
	judge.Judgement
	claim       Claim
	credential  tokenrequest.Credential
	certificate bool // on the connection
}

// The facts that the rules of this package build on.
const (
	factSaid   judge.Fact = 1 << iota // it is known whether the request has client_id, and which
	factID                            // a SPIFFE ID is at hand
	factClient                        // its client was found
)

// methodOf is the method that the credential stands for. A certificate stands for
// one only where the client named is registered for it (CX-7).
func (s *claiming) methodOf() oauth.AuthMethod {
	switch s.credential {
	case tokenrequest.JWTSVID:
		return oauth.MethodJWT
	case tokenrequest.Attestation:
		return oauth.MethodWIT
	case tokenrequest.NoCredential:
		if s.public() {
			return oauth.MethodNone
		}
		if s.claim.client != nil && s.claim.client.MayUse(oauth.MethodX509) {
			return oauth.MethodX509
		}
		if s.claim.client == nil && s.certificate && s.claim.registry.mayBeNew(s.claim.clientID) {
			return oauth.MethodX509 // its template decides
		}
	}
	return ""
}

// public says that the request names a public client and shows nothing, so there
// is nothing to verify (TK-2).
func (s *claiming) public() bool {
	return s.bare() && !s.certificate && s.claim.client != nil && s.claim.client.Public()
}

func (s *claiming) bare() bool { return s.credential == tokenrequest.NoCredential }

// Refusal gives a reason its code.
func (s *claiming) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	return refusal(reason, rule, expected, presented)
}

func refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	code := oauth.InvalidClient
	switch reason {
	case oauth.ReasonClientIDMissing:
		code = oauth.InvalidRequest
	case oauth.ReasonInternal:
		code = oauth.ServerError
	case oauth.ReasonStoreUnavailable:
		code = oauth.Unavailable
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}

// claimRules are what is asked of a request before its credential is judged, in
// order. Each says all that it asks and leans on none before it.
var claimRules = []judge.Rule[*claiming]{
	{
		ID: "CA-2", Source: "RFC 6749 2.3", What: "client_id, if there, names a registered client", Needs: factSaid,
		Judge: func(_ context.Context, s *claiming) oauth.Reason {
			if id := s.claim.clientID; id != "" {
				if s.claim.client = s.claim.registry.named(id); s.claim.client == nil && !s.claim.registry.mayBeNew(id) {
					return oauth.ReasonClientNotFound
				}
			}
			s.claim.method = s.methodOf()
			return ""
		},
		Expected:  func(*claiming) string { return "a registered client_id" },
		Presented: func(s *claiming) string { return shownClientID(s.claim.clientID) },
	},
	{
		ID: "CX-1", Source: "draft section 3.2", What: "a request without an assertion has a certificate, where its client is of spiffe_x509", Needs: factSaid,
		Judge: func(_ context.Context, s *claiming) oauth.Reason {
			if s.bare() && s.methodOf() == oauth.MethodX509 && !s.certificate {
				return oauth.ReasonCertMissing
			}
			return ""
		},
		Expected:  func(*claiming) string { return "an X.509-SVID on the connection" },
		Presented: presentedCertificate,
	},
	{
		ID: "TK-2", Source: "RFC 6749 3.2.1", What: "the request authenticates its client",
		Judge: func(_ context.Context, s *claiming) oauth.Reason {
			if s.bare() && !s.certificate && !s.public() {
				return oauth.ReasonAssertionMissing
			}
			return ""
		},
		Expected: func(*claiming) string { return "client authentication" },
		Presented: func(s *claiming) string {
			if s.bare() && !s.certificate {
				return "none"
			}
			return s.presented()
		},
	},
	{
		ID: "CX-2", Source: "draft section 3.2", What: "a request by certificate has client_id", Needs: factSaid,
		Judge: func(_ context.Context, s *claiming) oauth.Reason {
			if s.bare() && s.certificate && s.claim.clientID == "" {
				return oauth.ReasonClientIDMissing
			}
			return ""
		},
		Expected:  func(*claiming) string { return "client_id beside a certificate" },
		Presented: func(s *claiming) string { return shownClientID(s.claim.clientID) },
	},
	{
		ID: "CW-6", Source: "draft section 3.3.2", What: "a request by WIT-SVID has client_id", Needs: factSaid,
		Judge: func(_ context.Context, s *claiming) oauth.Reason {
			if s.credential == tokenrequest.Attestation && s.claim.clientID == "" {
				return oauth.ReasonClientIDMissing
			}
			return ""
		},
		Expected:  func(*claiming) string { return "client_id beside a WIT-SVID" },
		Presented: func(s *claiming) string { return shownClientID(s.claim.clientID) },
	},
	{
		ID: "CA-7", Source: "RFC 7591 2", What: "the client named, and this server, take the method", Needs: factSaid,
		Judge: func(_ context.Context, s *claiming) oauth.Reason {
			client, method := s.claim.client, s.methodOf()
			switch {
			case s.credential == tokenrequest.SharedSecret || s.credential == tokenrequest.OtherAssertion:
				return oauth.ReasonMethodNotAllowed
			case s.bare() && client != nil && method != oauth.MethodX509 && method != oauth.MethodNone:
				return oauth.ReasonMethodNotAllowed
			case client != nil && !client.MayUse(method):
				return oauth.ReasonMethodNotAllowed
			}
			return ""
		},
		Expected:  func(s *claiming) string { return expectedMethod(s.claim.client) },
		Presented: (*claiming).presented,
	},
}

func shownClientID(id string) string {
	if id == "" {
		return "none"
	}
	return oauth.Shown(id)
}

func presentedCertificate(s *claiming) string {
	if s.certificate {
		return "a client certificate"
	}
	return "no client certificate"
}

// presented is the credential in words.
func (s *claiming) presented() string {
	switch method := s.methodOf(); {
	case s.credential == tokenrequest.SharedSecret || s.credential == tokenrequest.OtherAssertion:
		return "a shared secret or an Authorization header"
	case method == "":
		return "a client certificate only"
	default:
		return string(method)
	}
}

func expectedMethod(c *Client) string {
	if c == nil {
		return "a method this server offers"
	}
	return fmt.Sprintf("one of %v", c.methods)
}
