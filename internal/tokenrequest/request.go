package tokenrequest

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"

	"github.com/svidgate/svidgate/oauth"
)

// An Endpoint is where a request came in: built from configuration, never from
// the request's Host (PX-7).
type Endpoint struct {
	Name string // token, introspect, …: the event name in the audit record
	URL  string // as clients know it on the listener that took the request
	// Parameters are those that the endpoint reads besides the ones that all have.
	// No others are kept.
	Parameters []string
}

// A Credential is the kind of client authentication a request carries in its
// headers and body. A client certificate is none of these: whether it
// authenticates depends on the client (CA-6, CX-7).
type Credential int

const (
	// NoCredential: nothing but perhaps a certificate.
	NoCredential Credential = iota
	// JWTSVID: client_assertion with the type for JWT-SVIDs.
	JWTSVID
	// Attestation: the headers of a WIT-SVID and its proof.
	Attestation
	// SharedSecret: an Authorization header or client_secret.
	SharedSecret
	// OtherAssertion: client_assertion of a type this server does not know.
	OtherAssertion
)

// A Request is a form request of sound shape. Only Parse makes one; the zero
// value is refused by the next stage.
type Request struct {
	endpoint     Endpoint
	source       netip.Addr
	grantType    oauth.GrantType
	clientID     string
	credential   Credential
	scheme       string
	assertion    string
	attestation  string
	proof        string
	scope        string
	resources    []string
	certificates []*x509.Certificate
	parameters   form
}

// String is all that a request prints and logs as: its credentials must not get
// into a log by way of fmt (AU-2).
func (r *Request) String() string {
	return "request to " + r.endpoint.Name + " by " + oauth.Shown(r.clientID)
}

// Format keeps every verb of fmt to String.
func (r Request) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// Parsed reports whether Parse made the request.
func (r *Request) Parsed() bool { return r.endpoint.Name != "" }

// Endpoint is where the request came in.
func (r *Request) Endpoint() Endpoint { return r.endpoint }

// Source is the address of the peer.
func (r *Request) Source() netip.Addr { return r.source }

// GrantType is grant_type, perhaps unknown; empty when it was not sent.
func (r *Request) GrantType() oauth.GrantType { return r.grantType }

// ClientID is client_id; empty when it was not sent.
func (r *Request) ClientID() string { return r.clientID }

// Credential is the one way of authentication in headers and body.
func (r *Request) Credential() Credential { return r.credential }

// AuthorizationScheme is the scheme of an Authorization header, in lower case,
// when there was one.
func (r *Request) AuthorizationScheme() string { return r.scheme }

// Assertion is the JWT-SVID, unjudged.
func (r *Request) Assertion() string { return r.assertion }

// Attestation is the WIT-SVID, unjudged.
func (r *Request) Attestation() string { return r.attestation }

// Proof is the proof that came with the WIT-SVID, unjudged.
func (r *Request) Proof() string { return r.proof }

// Scope is scope as it was sent.
func (r *Request) Scope() string { return r.scope }

// Resources are the values of resource, in order.
func (r *Request) Resources() []string { return r.resources }

// Parameter is what the body has under one of the names that the endpoint reads;
// empty when it was not sent. It is unjudged, and may be a secret.
func (r *Request) Parameter(name string) string { return r.parameters.get(name) }

// Certificates are what the TLS peer sent, leaf first, unjudged; none without a
// client certificate.
func (r *Request) Certificates() []*x509.Certificate { return r.certificates }
