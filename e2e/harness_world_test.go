package e2e

import (
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A world is one trust domain, one server and some clients: what most tests need.
type world struct {
	*server
	td *domain
}

const worldConfig = `
resources:
  - {resource: https://api.example.com/, scopes: [read, write]}
  - {resource: https://ledger.example.com/, scopes: [read, audit]}
  - {resource: https://vault.example.com/, scopes: [read]}
clients:
  - {client_id: "spiffe://example.org/billing", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://example.org/orders", token_endpoint_auth_method: spiffe_x509, resources: ["https://api.example.com/"], scope: read write}
  - {client_id: named, spiffe_id: "spiffe://example.org/named", auth_methods: [spiffe_jwt, spiffe_x509], resources: ["https://api.example.com/"], scope: read}
  - {client_id: named-jwt, spiffe_id: "spiffe://example.org/named-jwt", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: several, spiffe_id: "spiffe://example.org/several", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/", "https://ledger.example.com/"], scope: read audit}
  - {client_id: fleet, spiffe_id: "spiffe://example.org/ns/ci/*", auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
  - {client_id: fleet-x509, spiffe_id: "spiffe://example.org/ns/x/*", auth_methods: [spiffe_x509], resources: ["https://api.example.com/"], scope: read}
  - {client_id: flat, spiffe_id: "spiffe://example.org/flat/*", spiffe_id_depth: 1, auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
  - {client_id: twin-a, spiffe_id: "spiffe://example.org/twin", auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
  - {client_id: twin-b, spiffe_id: "spiffe://example.org/twin", auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: write}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	td := newDomain(t, "example.org", devca.Options{Intermediate: true, WIT: true})
	return &world{start(t, worldConfig, td), td}
}

// billing is a request with a JWT-SVID that is accepted.
func (w *world) billing(t *testing.T) call {
	return withJWT(w.td.id("/billing"), w.td.jwt(t, "/billing", issuer))
}

// orders is a request with an X.509-SVID that is accepted.
func (w *world) orders(t *testing.T) call {
	return call{cert: w.td.svid(t, "/orders"), form: form("client_id", w.td.id("/orders"))}
}

// notHere are the reasons that no request to this server can have: those of
// resource servers, and what only a fault of our own would give.
var notHere = []oauth.Reason{
	oauth.ReasonTokenMissing, oauth.ReasonTokenMalformed, oauth.ReasonIssuerMismatch, oauth.ReasonCnfMismatch,
	oauth.ReasonDPoPBad, oauth.ReasonDPoPNonce, oauth.ReasonKeysUnavailable, oauth.ReasonInternal,
	oauth.ReasonAuditUnavailable, // there is no line of it; see TestAuditUnavailable
	oauth.ReasonStoreUnavailable, // it needs a broken disk
	oauth.ReasonPARRequired,      // no client here must push
	oauth.ReasonKIDUnknown,       // a server always asks for the bundle again
}
