package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// maxKeys bounds the cache: past it the token that was used longest ago goes
// (F41). A workload that talks to more APIs than this asks more often, no more.
const maxKeys = 1000

// A Client gets tokens from one authorization server for one workload. Any number
// of goroutines may use it. It needs no closing: nothing runs while nobody asks.
type Client struct {
	config       Config
	log          *slog.Logger
	now          func() time.Time
	plain        *http.Client  // presents no certificate
	assertions   *assertions   // nil without a JWT-SVID
	certificates *certificates // nil without an X.509-SVID
	attestations *attestations // nil without a WIT-SVID
	challenges   attestationChallenges
	metadata     *kept[metadata]

	mu      sync.Mutex
	entries map[key]*entry
	uses    uint64  // counts calls, to know the oldest
	pause   backoff // of the server as a whole: unreachable, busy, not ready
}

// A Request says what a token is for.
type Request struct {
	// Resource is the API's identifier (RFC 8707): an absolute URI without
	// fragment. Empty leaves it to the server, which then knows one for the client.
	Resource string
	// Scope is a list of scopes with one space between them. Empty means the
	// client's default.
	Scope string
}

// A Token is an access token and what the server said about it. The client reads
// nothing out of the token itself. It prints and logs without the access token;
// only JSON encoding shows that, also of a struct that holds a Token.
type Token struct {
	AccessToken oauth.AccessToken // prints and logs as "redacted"
	// TokenType is "Bearer", for tokens bound to a certificate too, or "DPoP" for
	// those bound to the key of a WIT-SVID, of which each use needs a proof: see
	// Authorize.
	TokenType string
	Scope     string    // as granted, which may be less than was asked
	ExpiresAt time.Time // by this host's clock, never later than the server's word

	attestation *attestation // whose key the token is bound to; nil with "Bearer"
}

// Format keeps the access token out of whatever prints the Token, under every verb
// (AU-2).
func (t Token) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s token, scope %q, until %s", t.TokenType, t.Scope, t.ExpiresAt.UTC().Format(time.RFC3339))
}

// LogValue does the same for slog.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("type", t.TokenType), slog.String("scope", t.Scope), slog.Time("until", t.ExpiresAt))
}

// key is what tokens are kept by: never by less than everything that makes two
// tokens differ (F37, MT-4).
type key struct {
	request    Request
	method     oauth.AuthMethod
	thumbprint [32]byte // of the holder; zero where there is nothing to bind to
}

type entry struct {
	kept[Token]
	used uint64 // guarded by Client.mu
}

// Token returns a token for the request that has not expired, from the cache when
// there is one for the workload's present certificate. Callers who ask for the
// same at the same time share one request to the server.
//
// From a random moment between 50 and 80 % of a token's life it is renewed in the
// background; when that fails the old one is returned until it ends (LD-5). An
// error is a *[ResponseError] when the server has refused, an error of ctx, or
// says what else went wrong: no SVID, no connection. After a failure the server
// is not asked again at once; until then the same error comes back.
func (c *Client) Token(ctx context.Context, request Request) (*Token, error) {
	t, _, err := c.pair(ctx, request, false)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &t, nil
}

// pair returns a token and the session of the certificate that it may be bound
// to. With overlap the old pair serves after a rotation until there is a new one,
// so that the rotation costs no caller anything (MT-4c, F23); that is for callers
// who can present the old certificate. A token that is bound to the key of a
// WIT-SVID brings that key along, so there the old pair always serves.
func (c *Client) pair(ctx context.Context, request Request, overlap bool) (Token, *session, error) {
	h, previous, err := c.holders()
	if err != nil {
		return Token{}, nil, err
	}
	e, err := c.entry(request, h)
	if err != nil {
		return Token{}, nil, err
	}
	if previous.attestation != nil || previous.session != nil && overlap {
		if _, ok := e.peek(); !ok {
			if t, ok := c.peek(request, previous); ok {
				e.prepare(ctx)
				return t, previous.session, nil
			}
		}
	}
	t, err := e.get(ctx)
	return t, h.session, err
}

// another returns a token other than bad, which an API has called invalid.
func (c *Client) another(ctx context.Context, request Request, bad Token) (Token, *session, error) {
	h, _, err := c.holders()
	if err != nil {
		return Token{}, nil, err
	}
	e, err := c.entry(request, h)
	if err != nil {
		return Token{}, nil, err
	}
	t, err := e.replace(ctx, func(t Token) bool { return t.AccessToken == bad.AccessToken })
	if err == nil && t.AccessToken == bad.AccessToken {
		err = errors.New("the server gave the same token again")
	}
	return t, h.session, err
}

// sessions is nil, nil without an X.509-SVID to show.
func (c *Client) sessions() (current, previous *session, err error) {
	if c.certificates == nil {
		return nil, nil, nil
	}
	return c.certificates.sessions()
}

func keyOf(request Request, h holder) key { return key{request, h.method, h.thumbprint()} }

func (c *Client) peek(request Request, h holder) (Token, bool) {
	c.mu.Lock()
	e := c.entries[keyOf(request, h)]
	c.mu.Unlock()
	if e == nil {
		return Token{}, false
	}
	return e.peek()
}

// entry finds or makes the place of a token in the cache.
func (c *Client) entry(request Request, h holder) (*entry, error) {
	k := keyOf(request, h)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	if e == nil {
		if err := request.validate(); err != nil {
			return nil, err
		}
		c.makeRoom()
		e = &entry{kept: kept[Token]{
			now:   c.now,
			fetch: func(ctx context.Context) (lease[Token], error) { return c.requestToken(ctx, request, h) },
			failed: func(err error) {
				c.log.Warn("no new access token could be had", "resource", request.Resource, "scope", request.Scope, "error", err)
			},
		}}
		c.entries[k] = e
	}
	c.uses++
	e.used = c.uses
	return e, nil
}

// makeRoom removes the entries that are of no use any more, with the keys of SVIDs
// long gone that they hold, and if that is not enough the one that was used longest
// ago. A walk over all is cheap beside the request to the server that follows.
// c.mu is held.
func (c *Client) makeRoom() {
	var oldest key
	least := uint64(0)
	for k, e := range c.entries {
		if e.spent() {
			delete(c.entries, k)
			continue
		}
		if least == 0 || e.used < least {
			oldest, least = k, e.used
		}
	}
	if len(c.entries) >= maxKeys {
		delete(c.entries, oldest)
	}
}

// validate refuses what the server would refuse, before anything is cached.
func (r Request) validate() error {
	if r.Resource != "" {
		u, err := url.Parse(r.Resource)
		if err != nil || !u.IsAbs() || strings.Contains(r.Resource, "#") {
			return fmt.Errorf("resource %q is not an absolute URI without fragment (RFC 8707 section 2)", oauth.Shown(r.Resource))
		}
	}
	if r.Scope != "" {
		for scope := range strings.SplitSeq(r.Scope, " ") {
			if !isVisible(scope) || strings.ContainsAny(scope, `"\`) {
				return fmt.Errorf("scope %q is not a list of scopes with one space between them (RFC 6749 section 3.3)", oauth.Shown(r.Scope))
			}
		}
	}
	return nil
}
