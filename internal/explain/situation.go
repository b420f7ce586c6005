package explain

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// ErrNoCertificates is why an X.509-SVID cannot be judged where none can be shown.
var ErrNoCertificates = errors.New("no listener of this server asks for client certificates: see listen.mtls and public_client_certificates")

// Who judged.
const (
	ByServer = "server" // the running one
	ByConfig = "config" // a configuration file with what it has on disk
	ByBundle = "bundle" // a bundle file alone
)

// A Situation is what the credential was judged by, as far as it helps to say
// what is wrong: the names that are configured, and where.
type Situation struct {
	By     string
	Now    time.Time // the clock that judged
	Issuer string
	// EndpointURL is the URL of the endpoint that is taken to be called.
	EndpointURL  string
	TrustDomains []TrustDomain
	Clients      []Client
	Resources    []Resource
	// EndpointAudience says that the trust domain's profile wants the endpoint's
	// URL as audience and not the issuer.
	EndpointAudience bool
	// Certificates says that a listener asks for client certificates.
	Certificates bool
	// Covering are the ids of the clients that a SPIFFE ID belongs to; nil where no
	// client is known.
	Covering   func(spiffeID string) []string
	ConfigFile string // empty offline
	Socket     string // administration socket, empty without one
}

// A TrustDomain is a configured one.
type TrustDomain struct {
	Name string
	// Federated says that its bundle comes from a Workload API, so that it is for
	// SPIRE to fetch it.
	Federated bool
	Leeway    time.Duration
	// WITOff says that enable_wit is false for it.
	WITOff bool
}

// A Client is a registered one.
type Client struct {
	ID       string
	SPIFFEID string // a pattern
	Methods  []oauth.AuthMethod
	// Permits are the methods that the configuration lets it have: check-config
	// refuses any other.
	Permits []oauth.AuthMethod
}

func (c Client) mayUse(m oauth.AuthMethod) bool { return slices.Contains(c.Methods, m) }

// A Resource is a configured API.
type Resource struct {
	Resource string
	Scopes   []string
}

// A Question is what is asked of whoever judges. It goes through the
// administration socket as JSON; nobody logs it.
type Question struct {
	Credential string  `json:"credential"`          // as for credential.Read, in text
	ClientID   *string `json:"client_id,omitempty"` // nil: not told
	Listener   string  `json:"listener,omitempty"`  // public or mtls; empty is public for a JWT-SVID, mtls for certificates
	// Asked is the clock of whoever asks.
	Asked time.Time `json:"asked"`
}

// Format keeps the credential out of whatever prints the question (AU-2).
func (q Question) Format(f fmt.State, _ rune) { io.WriteString(f, "a question about a credential") }

// LogValue does the same for slog.
func (q Question) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(q)) }

// Verdict is what judging the credential came to.
type Verdict struct {
	oauth.Explanation
	ClientID     string // whose it is, empty if unknown
	ClientIDOpen bool   // client_id was not told, and matters
}

// covering is Covering, for those who have none, too.
func (s Situation) covering(spiffeID string) []string {
	if s.Covering == nil || spiffeID == "" {
		return nil
	}
	return s.Covering(spiffeID)
}

func (s Situation) client(id string) (Client, bool) {
	for _, c := range s.Clients {
		if c.ID == id {
			return c, true
		}
	}
	return Client{}, false
}

func (s Situation) trustDomain(name string) (TrustDomain, bool) {
	for _, td := range s.TrustDomains {
		if td.Name == name {
			return td, true
		}
	}
	return TrustDomain{}, false
}
