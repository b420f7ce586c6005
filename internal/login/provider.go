package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/svidgate/svidgate/internal/regularfile"
	"github.com/svidgate/svidgate/oauth"
)

// A ProviderConfig is an OpenID Connect provider that people sign in at. All of it
// is required unless said otherwise.
type ProviderConfig struct {
	Name       string // begins the subjects of its users
	Title      string // for pages
	Issuer     string // byte for byte that of its metadata and tokens
	ClientID   string
	SecretFile string         // empty for a public client; read at each sign-in
	RootCAs    *x509.CertPool // nil for those of the system
	Scopes     []string       // with openid among them
	UserClaim  string
	NameClaim  string
	// Allow says who may sign in: one must hold. Empty is everybody.
	Allow []Allowed
	// Callback is the URL that the provider sends people back to.
	Callback string
}

// Allowed is what a claim may say.
type Allowed struct {
	Claim  string
	Values []string
}

// Bounds of what is asked of a provider. Somebody waits for the answer.
const (
	askTimeout  = 5 * time.Second
	maxDocument = 1 << 20
	maxSecret   = 4 << 10
	// metadataKept is how long a provider's metadata, and the keys that it leads to, are
	// used before they are fetched again.
	metadataKept = time.Hour
	// metadataMost is how long they are used when that fails: whoever keeps the provider
	// from answering keeps a key that it withdrew no longer than that (AK-32).
	metadataMost = 24 * time.Hour
	// failureKept is how long nobody asks again after the metadata could not be had,
	// so that people who try again do not make it worse.
	failureKept = 5 * time.Second
	// maxAsking is how many sign-ins wait for one provider at once.
	maxAsking = 32
)

// A provider is one that people sign in at. It asks nothing before the first does.
type provider struct {
	config ProviderConfig
	now    func() time.Time
	http   *http.Client
	asking chan struct{}

	mu       sync.Mutex // held while the metadata is fetched
	metadata *metadata  // guarded by mu; the last good one, while it may be used
	next     time.Time  // guarded by mu; when it is fetched again
	failure  error      // guarded by mu; why there is none
}

// metadata is what a provider says of itself.
type metadata struct {
	endpoint   oauth2.Endpoint
	keys       *keySet
	algorithms []string
	answersISS bool // RFC 9207
	fetched    time.Time
}

func newProvider(c ProviderConfig, now func() time.Time) *provider {
	return &provider{
		config: c, now: now, asking: make(chan struct{}, maxAsking),
		http: &http.Client{
			Timeout: askTimeout,
			Transport: bounded{&http.Transport{
				TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs, Time: now},
				TLSHandshakeTimeout:    askTimeout,
				ResponseHeaderTimeout:  askTimeout,
				MaxConnsPerHost:        maxAsking,
				MaxIdleConnsPerHost:    2,
				IdleConnTimeout:        time.Minute,
				MaxResponseHeaderBytes: 64 << 10,
				ForceAttemptHTTP2:      true,
				// No proxy of the environment (FX-1).
			}},
			CheckRedirect: redirects,
		},
	}
}

// redirects follows where a document is, to https only, and never with what was
// posted: that is a code, and perhaps a secret.
func redirects(r *http.Request, via []*http.Request) error {
	switch {
	case via[0].Method != http.MethodGet:
		return fmt.Errorf("%w what was posted to it", errRedirects)
	case r.URL.Scheme != "https":
		return fmt.Errorf("%w to something other than https", errRedirects)
	case len(via) > 5:
		return fmt.Errorf("%w more than 5 times", errRedirects)
	}
	return nil
}

var errRedirects = errors.New("it redirects")

// bounded ends a body that is too long, and takes an answer that says that the
// provider is broken for none.
type bounded struct{ next http.RoundTripper }

var errTooLong = fmt.Errorf("the answer has more than %d bytes", maxDocument)

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("only https is spoken with a provider")
	}
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 500 {
		response.Body.Close()
		return nil, fmt.Errorf("it answers with status %d", response.StatusCode)
	}
	response.Body = &boundedBody{response.Body, maxDocument}
	return response, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err
		}
		return 0, errTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// ask takes one of the turns in which something waits for the provider.
func (p *provider) ask() (done func(), err error) {
	select {
	case p.asking <- struct{}{}:
		return func() { <-p.asking }, nil
	default:
		return nil, p.unavailable("fewer people who wait for it", fmt.Errorf("%d wait already", maxAsking))
	}
}

func (p *provider) unavailable(expected string, err error) *oauth.Error {
	return oauth.Refuse(oauth.Unavailable, oauth.ReasonProviderUnavailable, "AZ-12", expected, p.config.Issuer).Because(oauth.ShownError(err))
}

func (p *provider) badAnswer(expected, presented string, err error) *oauth.Error {
	e := oauth.Refuse(oauth.InvalidRequest, oauth.ReasonProviderAnswerBad, "AZ-12", expected, oauth.Shown(presented))
	if err != nil {
		e = e.Because(oauth.ShownError(err))
	}
	return e
}

// fault tells a provider that is away from one that answers nonsense.
func (p *provider) fault(expected string, err error) *oauth.Error {
	if _, transport := errors.AsType[*url.Error](err); (transport || errors.Is(err, context.DeadlineExceeded)) && !errors.Is(err, errTooLong) && !errors.Is(err, errRedirects) {
		return p.unavailable(expected, err)
	}
	return p.badAnswer(expected, "something else", err)
}

// known is the provider's metadata, fetched if there is none that is new enough.
func (p *provider) known(ctx context.Context) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.metadata != nil && now.Sub(p.metadata.fetched) >= metadataMost {
		p.metadata = nil
	}
	if now.Before(p.next) {
		if p.metadata != nil {
			return p.metadata, nil
		}
		return nil, p.failure
	}
	found, err := p.fetch(ctx)
	switch {
	case err == nil:
		found.fetched = now
		p.metadata, p.failure, p.next = found, nil, now.Add(metadataKept)
	case ctx.Err() != nil: // the person went away, which says nothing of the provider
		return nil, err
	default:
		p.failure, p.next = err, now.Add(failureKept)
		if p.metadata == nil {
			return nil, err
		}
	}
	return p.metadata, nil
}

func (p *provider) fetch(ctx context.Context) (*metadata, error) {
	ctx = oidc.ClientContext(ctx, p.http)
	found, err := oidc.NewProvider(ctx, p.config.Issuer)
	if wrong, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return nil, p.badAnswer("metadata of "+p.config.Issuer, "that of "+wrong.Discovered, nil)
	}
	if err != nil {
		return nil, p.fault("the metadata of "+p.config.Issuer, err)
	}
	var more struct {
		JWKSURI    string   `json:"jwks_uri"`
		Methods    []string `json:"token_endpoint_auth_methods_supported"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
		ISS        bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, p.badAnswer("metadata of an OpenID provider", "something else", err)
	}
	m := &metadata{endpoint: found.Endpoint(), answersISS: more.ISS}
	for _, u := range []string{m.endpoint.AuthURL, m.endpoint.TokenURL, more.JWKSURI} {
		if parsed, err := url.Parse(u); err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.Fragment != "" {
			return nil, p.badAnswer("https URLs of its endpoints and keys", u, nil)
		}
	}
	m.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	switch {
	case p.config.SecretFile == "", len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic"):
		m.endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	for _, alg := range more.Algorithms {
		if slices.Contains(algorithms, alg) {
			m.algorithms = append(m.algorithms, alg)
		}
	}
	if len(m.algorithms) == 0 {
		m.algorithms = []string{oidc.RS256} // which every provider has
	}
	m.keys = &keySet{provider: p, url: more.JWKSURI}
	return m, nil
}

// algorithms are those that an ID token may be signed with (GL-9).
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// client is this server as a client of the provider.
func (p *provider) client(m *metadata) (*oauth2.Config, error) {
	c := &oauth2.Config{ClientID: p.config.ClientID, Endpoint: m.endpoint, RedirectURL: p.config.Callback, Scopes: p.config.Scopes}
	if p.config.SecretFile != "" {
		secret, err := regularfile.Read(p.config.SecretFile, maxSecret)
		if err == nil && strings.TrimSpace(string(secret)) == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			return nil, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "AZ-12", "the client_secret_file of the provider "+p.config.Name, "none that can be read").Because(err)
		}
		c.ClientSecret = strings.TrimSpace(string(secret))
	}
	return c, nil
}
