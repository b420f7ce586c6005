package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// Transport returns a RoundTripper that sends each request with a token for the
// API that request names. Redirects keep the token at the origin of
// request.Resource and at the origins named besides, such as
// "https://api.example.com:8443"; these are needed when the resource is not an
// https URL. A redirect to any other origin goes on without it (LC-4), and a
// request that begins at another origin is an error. An Authorization header that
// is there already is replaced, so a token that the workload received never
// travels on (LC-5).
//
// An answer 401 with error="invalid_token" is tried once more with another token,
// if there is one and the body can be sent again. Where a token is bound to the key
// of a WIT-SVID each sending has a DPoP proof of its own, and one that the API calls
// invalid is replaced once in the same way: net/http may have sent it twice. So is one
// that lacks the nonce that the API asks for, which goes into all later proofs for that
// origin until it gives another (DP-6).
//
// When the client shows an X.509-SVID, tokens may be bound to it. If base is nil or
// an *http.Transport without a client certificate, a custom TLS dialer or a
// foreign HTTP/2, the RoundTripper works on copies of it, one per SVID, each
// presenting the very certificate that its tokens are bound to, so that no request
// is lost when the SVID rotates. Any other base must present it itself, with
// [Client.TLSConfig]; then only its idle connections can be closed at a rotation.
// A nil base is a plain http.Transport that trusts the system's roots.
func (c *Client) Transport(base http.RoundTripper, request Request, moreOrigins ...string) http.RoundTripper {
	t := &transport{client: c, request: request, base: base}
	if err := request.validate(); err != nil {
		t.err = err
		return t
	}
	t.origins, t.err = origins(request.Resource, moreOrigins)
	if base == nil {
		t.base = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, Time: c.now},
			TLSHandshakeTimeout: defaultTimeout,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		}
	}
	if c.certificates != nil {
		t.template = certificateTemplate(t.base)
	}
	return t
}

type transport struct {
	client  *Client
	request Request
	base    http.RoundTripper
	origins map[string]bool
	err     error // of the arguments of Transport

	// template is what copies that present a certificate are made of; nil when base
	// is used as it is.
	template *http.Transport

	mu       sync.Mutex
	presents *session // the session that the last copy belongs to
	copy     *http.Transport
	nonces   map[string]string // of the proofs for an origin; what it gave last
}

// RoundTrip never changes req, and closes its body on every path.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.err != nil {
		closeBody(req)
		return nil, fmt.Errorf("client: transport: %w", t.err)
	}
	if req.URL == nil {
		closeBody(req)
		return nil, errors.New("client: transport: the request has no URL")
	}
	if !t.trusted(req) {
		if req.Response != nil {
			return t.elsewhere(req)
		}
		closeBody(req)
		return nil, fmt.Errorf("client: transport: a token for %q is not sent to %s (LC-4)",
			oauth.Shown(t.request.Resource), oauth.Shown(req.URL.Scheme+"://"+req.URL.Host))
	}
	token, s, err := t.client.pair(req.Context(), t.request, t.template != nil)
	if err != nil {
		closeBody(req)
		return nil, fmt.Errorf("client: %w", err)
	}
	resp, err := t.send(req, attempt{token, s, req.Body})
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	var second attempt
	ok := false
	switch challenges := resp.Header.Values("WWW-Authenticate"); {
	case isInvalidToken(challenges):
		second, ok = t.again(req, token)
	case token.attestation != nil && (isInvalidProof(challenges) || asksForNonce(challenges) && resp.Header.Get(oauth.HeaderDPoPNonce) != ""):
		second, ok = t.repeat(req, attempt{token, s, req.Body})
	}
	if !ok {
		return resp, nil
	}
	// Read what little there is, so that the connection can be used again.
	io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
	return t.send(req, second)
}

// An attempt is what one sending of a request needs.
type attempt struct {
	token   Token
	session *session
	body    io.ReadCloser
}

// again prepares a second attempt with another token; false when there is none, or
// the body cannot be sent twice.
func (t *transport) again(req *http.Request, bad Token) (attempt, bool) {
	if !repeatable(req) {
		return attempt{}, false
	}
	token, s, err := t.client.another(req.Context(), t.request, bad)
	if err != nil {
		t.client.log.Warn("the API refused a token and there is no other", "resource", t.request.Resource, "error", err)
		return attempt{}, false
	}
	return t.repeat(req, attempt{token, s, req.Body})
}

func repeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// repeat gives an attempt the body anew; false when it cannot be sent twice.
func (t *transport) repeat(req *http.Request, a attempt) (attempt, bool) {
	if !repeatable(req) {
		return attempt{}, false
	}
	if req.Body != nil && req.Body != http.NoBody {
		var err error
		if a.body, err = req.GetBody(); err != nil {
			return attempt{}, false
		}
	}
	return a, true
}

func (t *transport) send(req *http.Request, a attempt) (*http.Response, error) {
	out := cloneOf(req)
	out.Body = a.body
	if err := a.token.authorize(out, t.nonce(req.URL)); err != nil {
		closeBody(out)
		return nil, fmt.Errorf("client: %w", err)
	}
	resp, err := t.forSession(a.session).RoundTrip(out)
	if resp != nil {
		t.noteNonce(req.URL, resp.Header[http.CanonicalHeaderKey(oauth.HeaderDPoPNonce)])
		resp.Request = req // not the copy, whose header has the token
	}
	return resp, err
}

// maxNonce bounds what is put into a proof on an API's word.
const maxNonce = 1 << 10

// nonce is what the origin of a URL gave last, or empty.
func (t *transport) nonce(u *url.URL) string {
	origin, _ := originOf(u)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nonces[origin]
}

// noteNonce keeps the nonce that an answer has, for this origin alone. Only the origins
// that tokens go to have one, so there are few.
func (t *transport) noteNonce(u *url.URL, values []string) {
	if len(values) != 1 || len(values[0]) > maxNonce || !isVisible(values[0]) {
		return
	}
	origin, _ := originOf(u)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nonces == nil {
		t.nonces = map[string]string{}
	}
	t.nonces[origin] = values[0]
}

// elsewhere follows a redirect to another origin, with no token at all: not ours,
// and not one that the caller put there.
func (t *transport) elsewhere(req *http.Request) (*http.Response, error) {
	out := cloneOf(req)
	out.Header.Del("Authorization")
	out.Header.Del(oauth.HeaderDPoP)
	resp, err := t.base.RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// cloneOf copies req. One that was put together by hand may have no header yet.
func cloneOf(req *http.Request) *http.Request {
	out := req.Clone(req.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	return out
}

// forSession returns the RoundTripper whose connections present the session's
// certificate. Connections of the one before it end as soon as they are idle.
func (t *transport) forSession(s *session) http.RoundTripper {
	if s == nil {
		return t.base
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.presents == s {
		if t.copy != nil {
			return t.copy
		}
		return t.base
	}
	if t.presents != nil {
		t.closeIdle()
	}
	t.presents = s
	if t.template == nil {
		return t.base
	}
	t.copy = t.template.Clone()
	t.copy.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &s.cert, nil
	}
	return t.copy
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeIdle()
	if t.copy != nil {
		closeIdle(t.base)
	}
}

// closeIdle closes the idle connections that present a certificate. t.mu is held.
func (t *transport) closeIdle() {
	if t.copy != nil {
		t.copy.CloseIdleConnections()
		return
	}
	closeIdle(t.base)
}

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// certificateTemplate returns a copy of base that a client certificate can be put
// into, or nil if base is not of that kind.
func certificateTemplate(base http.RoundTripper) *http.Transport {
	b, ok := base.(*http.Transport)
	if !ok || b.DialTLSContext != nil {
		return nil
	}
	t := b.Clone()
	if t.TLSNextProto["h2"] != nil { // its connections would go to base's pool
		return nil
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if len(t.TLSClientConfig.Certificates) > 0 || t.TLSClientConfig.GetClientCertificate != nil {
		return nil
	}
	// A resumed connection would show the certificate of the one before (MT-7).
	t.TLSClientConfig.ClientSessionCache = nil
	// Clone has made base offer HTTP/2 in the handshake and the copy with its TLS
	// configuration not speak it, unless it is told to.
	if slices.Contains(t.TLSClientConfig.NextProtos, "h2") {
		t.ForceAttemptHTTP2 = true
	}
	return t
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
