package resource

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/oauth"
)

// A Caller is who presented a token that passed every rule. Only a Verifier
// makes one; the zero value proves nothing, and Proven says so.
type Caller struct {
	issuer    string
	subject   string
	id        spiffeid.ID
	clientID  string
	tokenID   string
	scope     string
	expiresAt time.Time
	binding   oauth.Binding // empty for a bearer token
}

// Proven reports whether a Verifier made the caller.
func (c Caller) Proven() bool { return c.issuer != "" }

// Issuer is the authorization server that vouches for the caller.
func (c Caller) Issuer() string { return c.issuer }

// Subject is sub. It is unique within the issuer only.
func (c Caller) Subject() string { return c.subject }

// SPIFFEID is the subject as a SPIFFE ID; false when it is something else.
func (c Caller) SPIFFEID() (spiffeid.ID, bool) { return c.id, !c.id.IsZero() }

// ClientID is client_id: the registered client, which may stand for many
// workloads.
func (c Caller) ClientID() string { return c.clientID }

// TokenID is jti, for logs.
func (c Caller) TokenID() string { return c.tokenID }

// Scopes are the scopes of the token, in its order. The slice is the caller's.
func (c Caller) Scopes() []string {
	if c.scope == "" {
		return nil
	}
	return slices.Collect(strings.SplitSeq(c.scope, " "))
}

// HasScope reports whether the token has exactly this scope.
func (c Caller) HasScope(scope string) bool { return hasScope(c.scope, scope) }

// ExpiresAt is exp, without leeway. A long stream should end then (MT-4).
func (c Caller) ExpiresAt() time.Time { return c.expiresAt }

// Bound reports whether the caller proved to hold what the token is bound to; false
// for a bearer token, which a thief could present as well.
func (c Caller) Bound() bool { return c.binding != "" }

// Binding says what that is: the certificate of the connection, or a key by a DPoP
// proof made for this request.
func (c Caller) Binding() oauth.Binding {
	if c.binding == "" {
		return oauth.BindingBearer
	}
	return c.binding
}

type callerKey struct{}

// CallerFrom returns the caller that Require put into the context; false, and a
// caller that proves nothing, in a handler that is not behind Require.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
