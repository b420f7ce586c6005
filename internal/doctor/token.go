package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// An attempt is one live token, or why there is none.
type attempt struct {
	verdict verdict
	known   bool // the server knew the client, whatever it said then
	refused bool // it did not, but may know it by another method
}

func tokenByJWT(ctx context.Context, p *patient) verdict  { return p.token(ctx, oauth.MethodJWT) }
func tokenByX509(ctx context.Context, p *patient) verdict { return p.token(ctx, oauth.MethodX509) }
func tokenByWIT(ctx context.Context, p *patient) verdict  { return p.token(ctx, oauth.MethodWIT) }

// token tries a method. Most clients are registered for one: that another is
// refused is no fault when the server knows it by the first.
func (p *patient) token(ctx context.Context, method oauth.AuthMethod) verdict {
	a := p.attempt(ctx, method)
	if !a.refused || p.Method != "" {
		return a.verdict
	}
	for _, other := range []struct {
		method oauth.AuthMethod
		able   fact
	}{{oauth.MethodJWT, factJWT}, {oauth.MethodX509, factX509}, {oauth.MethodWIT, factWIT}} {
		if other.method != method && p.facts&other.able != 0 && p.attempt(ctx, other.method).known {
			return notJudged("%s; it may be registered for %s only, by which the server knows it", a.verdict.found, other.method)
		}
	}
	return a.verdict
}

// notAsked is for what only another method needs.
func (p *patient) notAsked() verdict {
	return notJudged("only %s was asked for (--method)", p.Method)
}

func (p *patient) attempt(ctx context.Context, method oauth.AuthMethod) *attempt {
	if p.attempts[method] == nil {
		p.attempts[method] = p.try(ctx, method)
	}
	return p.attempts[method]
}

// try goes the way of every client: package client asks, package resource
// verifies.
func (p *patient) try(ctx context.Context, method oauth.AuthMethod) *attempt {
	switch {
	case p.Method != "" && p.Method != method:
		return &attempt{verdict: p.notAsked()}
	case p.document.methods != nil && !slices.Contains(p.document.methods, string(method)):
		return &attempt{verdict: notJudged("the server does not offer it")}
	}
	// Every SVID that is at hand, as the library does by default: the certificate
	// binds the token.
	c, err := client.New(ctx, client.Config{
		Issuer: p.Issuer, ClientID: p.ClientID, Credentials: p.credentials(), Method: method, EndpointAudience: p.EndpointAudience || p.olderAudience(), RootCAs: p.RootCAs, Timeout: perCheck, Now: p.Now,
	})
	if err != nil {
		return &attempt{verdict: failed("mend what the checks above found", "%s", shownError(err))}
	}
	token, err := c.Token(ctx, client.Request{Resource: p.Resource, Scope: p.Scope})
	if err != nil {
		return p.noToken(err)
	}
	return &attempt{known: true, verdict: p.verify(ctx, token)}
}

func (p *patient) noToken(err error) *attempt {
	refusal, ok := errors.AsType[*client.ResponseError](err)
	if !ok {
		return &attempt{verdict: failed("mend what the checks above found, and check that this host reaches the address for mutual TLS, too", "%s", shownError(err))}
	}
	found := fmt.Sprintf("client %s is refused: %d", oauth.Shown(refusal.ClientID), refusal.Status)
	if refusal.Code != "" {
		found += " " + oauth.Shown(string(refusal.Code))
	}
	next := "look at the server's log"
	if refusal.Code == oauth.InvalidTarget && p.Resource == "" {
		next = "name the API with --resource: the client has none, or several"
	}
	if refusal.RequestID != "" {
		found += ", Request-Id " + refusal.RequestID
		socket := "PATH"
		if p.AdminSocket != "" {
			socket = oauth.Shown(p.AdminSocket)
		}
		explain := fmt.Sprintf("svidgate explain --request-id %s --socket %s", refusal.RequestID, socket)
		if refusal.Code == oauth.InvalidTarget && p.Resource == "" {
			next += ", or see `" + explain + "` at the server"
		} else {
			next = "ask the server why: `" + explain + "`"
		}
	}
	a := &attempt{verdict: failed(next, "%s", found)}
	switch refusal.Code {
	case oauth.InvalidClient: // a client that is registered for another method, among others
		a.refused = true
	case oauth.UnauthorizedClient, oauth.InvalidTarget, oauth.InvalidScope:
		a.known = true
	}
	return a
}

// verify judges the token as the API does that it is for.
func (p *patient) verify(ctx context.Context, token *client.Token) verdict {
	parsed, err := jose.ParseCompact(string(token.AccessToken))
	if err != nil {
		return failed("check which server answers for the issuer", "there is a token, and it is no JWT that an API could verify")
	}
	v, _ := parsed.Payload.Get("aud")
	audience, one := v.Text()
	if texts, ok := v.Texts(); ok && len(texts) > 0 {
		audience, one = texts[0], true
	}
	if !one {
		return failed("check which server answers for the issuer", "there is a token, and it is for no API (AT-4)")
	}
	keys, err := resource.NewStaticKeys(p.Issuer, p.jwks)
	if err != nil {
		return failed("look at the keys of the issuer", "%s", oauth.Shown(err.Error()))
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodGet, audience, nil)
	config := resource.Config{Resource: audience, Issuers: []resource.KeySource{keys}, Now: p.Now}
	if err != nil || call.URL.Scheme != "https" { // its place is not known, so some place will do
		if call, err = http.NewRequestWithContext(ctx, http.MethodGet, "https://api.invalid/", nil); err != nil {
			return failed("check the resources of the server's configuration", "%s", oauth.Shown(err.Error()))
		}
		config.Origins = []string{"https://api.invalid"}
	}
	// The proof is made for this look alone: a verifier that has only just begun would
	// not take it.
	begun := false
	config.Now = func() time.Time {
		now := p.Now()
		if !begun {
			begun, now = true, now.Add(-time.Minute)
		}
		return now
	}
	verifier, err := resource.New(config)
	if err != nil {
		return failed("check the resources of the server's configuration", "there is a token for %s: %s", oauth.Shown(audience), oauth.Shown(err.Error()))
	}
	if err := token.Authorize(call); err != nil {
		return failed("mend what the checks above found", "there is a token: %s", shownError(err))
	}
	if p.x509 != nil {
		call.TLS = &tls.ConnectionState{PeerCertificates: p.x509.Certificates[:1]}
	}
	caller, err := verifier.Verify(ctx, call)
	if err != nil {
		e := oauth.AsError(err)
		return failed(oauth.Shown(strings.TrimSuffix(e.Reason.Next(), ".")), "there is a token, and an API would refuse it: %s (%s), expected %s, presented %s", e.Reason, e.Rule, e.Expected, e.Presented)
	}
	bound := "anybody who has it may use it"
	switch caller.Binding() {
	case oauth.BindingCertificate:
		bound = "bound to the certificate"
	case oauth.BindingKey:
		bound = "bound to the key of the WIT-SVID"
	}
	scope := "no scope"
	if scopes := caller.Scopes(); len(scopes) > 0 {
		scope = "scope " + strings.Join(scopes, " ")
	}
	who := "client " + oauth.Shown(caller.ClientID())
	if caller.ClientID() != caller.Subject() {
		who = oauth.Shown(caller.Subject()) + " is " + who
	}
	return passed("%s, for %s, %s, expires in %s, %s; an API accepts it", who, oauth.Shown(audience), oauth.Shown(scope),
		spoken.Duration(caller.ExpiresAt().Sub(p.Now())), bound)
}
