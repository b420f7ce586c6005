package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// A verification is the [oidc.KeySet] of one ID token. It keeps what the verifier does
// not hand on: the text that was signed, and the error, of which it makes a text.
type verification struct {
	keys    *keySet
	payload []byte
	err     error
}

func (v *verification) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	v.payload, v.err = v.keys.verify(ctx, jwt)
	return v.payload, v.err
}

// redeem gets the ID token for a code and judges it: OpenID Connect Core 3.1.3.7.
func (p *provider) redeem(ctx context.Context, m *metadata, code, verifier, nonce string) (Person, error) {
	client, err := p.client(m)
	if err != nil {
		return Person{}, err
	}
	answer, err := client.Exchange(oidc.ClientContext(ctx, p.http), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return Person{}, p.fault("a token for the code", err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok || raw == "" {
		return Person{}, p.badAnswer("an ID token", "an answer without one", nil)
	}
	v := &verification{keys: m.keys}
	token, err := oidc.NewVerifier(p.config.Issuer, v, &oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: m.algorithms, Now: p.now}).Verify(ctx, raw)
	if v.err != nil {
		return Person{}, v.err
	}
	if err != nil {
		return Person{}, badToken("an ID token of "+p.config.Issuer+" for "+p.config.ClientID+" that has not expired", "another").Because(oauth.ShownError(err))
	}
	c, err := readClaims(v.payload)
	if err != nil {
		return Person{}, badToken("claims in one JSON object, each once and in its own spelling", "something else").Because(oauth.ShownError(err))
	}
	if err := p.judge(token, c, nonce); err != nil {
		return Person{}, err
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(answer.AccessToken); err != nil {
			return Person{}, badToken("at_hash of the access token beside it", "another")
		}
	}
	return p.person(c)
}

// maxAhead is how far the provider's clock may be before ours (GL-12).
const maxAhead = time.Minute

// judge is what the library leaves to its caller. It takes a second spelling of one
// issuer, any iat or none, and an nbf five minutes ahead.
func (p *provider) judge(token *oidc.IDToken, c claims, nonce string) error {
	latest := p.now().Add(maxAhead)
	azp, hasAZP := c.Get("azp")
	authorized, _ := azp.Text()
	nbf, hasNBF := c.Get("nbf")
	from, nbfReadable := nbf.NumericDate()
	switch {
	case token.Issuer != p.config.Issuer:
		return badToken("iss "+p.config.Issuer, token.Issuer)
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return badToken("the nonce of this sign-in", "another, or none")
	case hasAZP && authorized != p.config.ClientID:
		return badToken("azp "+p.config.ClientID, "another")
	case !hasAZP && len(token.Audience) > 1:
		return badToken("azp, where there are several audiences", "none")
	case token.Subject == "":
		return badToken("a sub", "none")
	case token.IssuedAt.IsZero() || token.IssuedAt.After(latest):
		return badToken("an iat at most "+maxAhead.String()+" ahead", "a later one, or none")
	case hasNBF && (!nbfReadable || from.After(latest)):
		return badToken("an nbf at most "+maxAhead.String()+" ahead", "a later one")
	}
	return nil
}

func badToken(expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonIDTokenBad, "AZ-12", expected, oauth.Shown(presented))
}

// claims are those of an ID token.
type claims struct{ strictjson.Members }

// judged are the claims that the library reads. It takes them in any case, and the
// last of several.
var judged = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash"}

// readClaims reads claims strictly: a name that is there twice, or beside another
// spelling that the library reads as the same, says nothing that can be relied on
// (GL-11).
func readClaims(payload []byte) (claims, error) {
	all, err := strictjson.Object(payload)
	for _, m := range all {
		for _, name := range judged {
			if m.Name != name && strings.EqualFold(m.Name, name) {
				return claims{}, errors.New("a claim that reads as " + name)
			}
		}
	}
	return claims{all}, err
}

// text is a claim that is a text. An email is none unless it is verified.
func (c claims) text(name string) string {
	v, _ := c.Get(name)
	s, _ := v.Text()
	if verified, _ := c.Get("email_verified"); name == "email" && verified != "true" && verified != `"true"` {
		return ""
	}
	return s
}

// texts is a claim that is a text or a list of them, but for an email: which of
// several would be verified is not said.
func (c claims) texts(name string) []string {
	if s := c.text(name); s != "" {
		return []string{s}
	}
	if name == "email" {
		return nil
	}
	v, _ := c.Get(name)
	list, _ := v.Items()
	var all []string
	for _, v := range list {
		if s, ok := v.Text(); ok {
			all = append(all, s)
		}
	}
	return all
}

// person is who the claims say it is.
func (p *provider) person(c claims) (Person, error) {
	user := c.text(p.config.UserClaim)
	id, err := subject(p.config.Name, user)
	if err != nil {
		presented := "one that is not"
		if user == "" {
			presented = "none, or an email that is not verified"
		}
		return Person{}, badToken("a claim "+p.config.UserClaim+" that can be the name of a user", presented).Because(err)
	}
	allowed := len(p.config.Allow) == 0
	for _, a := range p.config.Allow {
		allowed = allowed || slices.ContainsFunc(c.texts(a.Claim), func(v string) bool { return slices.Contains(a.Values, v) })
	}
	if !allowed {
		return Person{}, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonUserNotAllowed, "AZ-12", "a claim that login.oidc.allow names", oauth.Shown(id))
	}
	person := Person{
		Subject: id, Provider: p.config.Name, Name: shownName(c.text(p.config.NameClaim), user),
		AMR: words(c.texts("amr")),
	}
	if acr := c.text("acr"); len(acr) <= authorization.MaxName && printable(acr) {
		person.ACR = acr
	}
	// A provider that does not say when is not answered for: its session may be old.
	v, _ := c.Get("auth_time")
	if at, ok := v.NumericDate(); ok && at.Unix() > 0 && !at.After(p.now()) {
		person.AuthTime = at.Truncate(time.Second).UTC()
	}
	return person, nil
}
