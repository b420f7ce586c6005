package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

const (
	// assumedLife is for servers that leave expires_in out, which RFC 6749 allows.
	assumedLife = time.Minute
	// longestLife keeps a mistaken expires_in from running over.
	longestLife = 365 * 24 * time.Hour
	// longestPause keeps a mistaken Retry-After from stopping a workload for good.
	longestPause = time.Hour
)

// requestToken asks the server once, in the order of the wire: endpoint,
// credentials, form, answer.
func (c *Client) requestToken(ctx context.Context, request Request, h holder) (lease[Token], error) {
	var none lease[Token]
	if err := c.paused(); err != nil {
		return none, err
	}
	// Whoever waits for this must not wait for ever, whatever a source does.
	ctx, cancel := context.WithTimeout(ctx, svidTimeout+2*c.config.Timeout)
	defer cancel()
	m, err := c.metadata.get(ctx)
	if err != nil {
		return none, err
	}
	// AM-5, CX-8: where there is a certificate to show, the endpoint that asks for it.
	endpoint, hc := m.tokenEndpoint, c.plain
	if h.session != nil {
		hc = h.session.http
		if m.mtlsTokenEndpoint != "" {
			endpoint = m.mtlsTokenEndpoint
		}
	}
	form := url.Values{oauth.ParamGrantType: {string(oauth.GrantClientCredentials)}}
	if request.Resource != "" {
		form.Set(oauth.ParamResource, request.Resource)
	}
	if request.Scope != "" {
		form.Set(oauth.ParamScope, request.Scope)
	}
	audience := c.audience(endpoint)
	var a assertion // with spiffe_jwt only
	if h.method == oauth.MethodJWT {
		if a, err = c.assertions.get(ctx, audience); err != nil {
			return none, err
		}
	}
	if err := c.authenticate(form, a, h); err != nil {
		return none, err
	}

	sent := c.now() // before the request: the token is never thought to live longer than it does
	answer, err := c.post(ctx, &exchange{hc, endpoint, audience, m.challengeEndpoint, form, a, h})
	if err != nil {
		err = explainTLS(err)
		c.pauseFor(err, 0)
		return none, err
	}
	if answer.status != http.StatusOK {
		refusal := answer.refusal(c.now())
		refusal.ClientID, refusal.Method, refusal.Endpoint = form.Get(oauth.ParamClientID), h.method, endpoint
		refusal.Resource, refusal.Scope = request.Resource, request.Scope
		if answer.status == http.StatusTooManyRequests || answer.status >= 500 {
			c.pauseFor(refusal, refusal.RetryAfter)
		} else {
			c.resume()
		}
		return none, refusal
	}
	c.resume()
	if !isJSON(answer.header) {
		return none, fmt.Errorf("%s answered with something that is not application/json; is it a token endpoint?", endpoint)
	}
	token, expiresIn, err := parseToken(answer.body, request.Scope, h.attestation)
	if err != nil {
		return none, fmt.Errorf("the answer of %s: %w", endpoint, err)
	}
	return token.lease(sent, expiresIn), nil
}

// lease says when the token is renewed: at a random moment between 50 and 80 % of
// its life, so that the tokens of a fleet that started together do not end
// together (LD-5, F38). In its last seconds callers wait for a new one, since the
// old one could end on its way.
func (t Token) lease(sent time.Time, expiresIn int64) lease[Token] {
	life := assumedLife
	if expiresIn > 0 {
		life = time.Duration(min(expiresIn, int64(longestLife/time.Second))) * time.Second
	}
	t.ExpiresAt = sent.Add(life)
	l := lease[Token]{
		value:   t,
		renewAt: sent.Add(jitter(life, 0.5, 0.8)),
		waitAt:  t.ExpiresAt.Add(-min(10*time.Second, life/10)),
		end:     t.ExpiresAt,
	}
	// CL-8: without its key the token is of no use.
	if t.attestation != nil && t.attestation.end.Before(l.end) {
		l.end = t.attestation.end
		l.waitAt = earlier(l.waitAt, l.end)
		l.renewAt = earlier(l.renewAt, l.end)
	}
	return l
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// audience of a JWT-SVID: the issuer (CJ-11, LC-2), or in the seed draft's form
// the endpoint called, without its query.
func (c *Client) audience(endpoint string) string {
	if !c.config.EndpointAudience {
		return c.config.Issuer
	}
	endpoint, _, _ = strings.Cut(endpoint, "?")
	return endpoint
}

// authenticate sets client_id, which is always sent (CJ-11, CX-2), and the
// assertion, where there is one. There is never a second method: with
// spiffe_x509 the body has no assertion, with spiffe_jwt a certificate on the
// connection only binds (CA-5, CA-6), and with spiffe_wit the headers say it all.
func (c *Client) authenticate(form url.Values, a assertion, h holder) error {
	clientID, s := c.config.ClientID, h.session
	switch {
	case clientID != "":
	case s != nil:
		clientID = s.svid.ID.String()
	case h.attestation != nil:
		clientID = h.attestation.id.String()
	}
	if a.token != "" {
		if s != nil && s.svid.ID != a.id {
			return fmt.Errorf("the JWT-SVID is of %s and the X.509-SVID of %s: the server refuses two workloads in one request (TK-3)", a.id, s.svid.ID)
		}
		if clientID == "" {
			clientID = a.id.String()
		}
		form.Set(oauth.ParamClientAssertionType, oauth.ClientAssertionTypeJWTSPIFFE)
		form.Set(oauth.ParamClientAssertion, a.token)
	}
	form.Set(oauth.ParamClientID, clientID)
	return nil
}

// paused returns the error that stopped the client from asking, or nil.
func (c *Client) paused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pause.blocked(c.now())
}

// pauseFor holds back the requests for all tokens, since it is the server that
// cannot answer. A wait that the server asked for is honoured and spread by a
// fifth, or everybody would be back in the same second (LC-3, F38).
func (c *Client) pauseFor(err error, asked time.Duration) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause.fail(now, err)
	if asked > 0 {
		until := now.Add(jitter(min(asked, longestPause), 1, 1.2))
		if until.After(c.pause.until) {
			c.pause.until = until
		}
	}
}

func (c *Client) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = backoff{}
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds or a date. Zero
// when there is none, or none that makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
