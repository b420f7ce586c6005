package login

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/oauth"
)

// keySet keeps the error of the keys, which the verifier turns into text.
type keySet struct {
	oidc.KeySet
	err error
}

func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	k.err = err
	return payload, err
}

// redeem gets the ID token for a code and judges it: OpenID Connect Core 3.1.3.7.
func (p *provider) redeem(ctx context.Context, code, verifier, nonce string) (Person, error) {
	m, err := p.known(ctx)
	if err != nil {
		return Person{}, err
	}
	client, err := p.client(m)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, p.http)
	answer, err := client.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return Person{}, p.fault("a token for the code", err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok || raw == "" {
		return Person{}, p.badAnswer("an ID token", "an answer without one", nil)
	}
	keys := &keySet{KeySet: m.keys}
	token, err := oidc.NewVerifier(p.config.Issuer, keys, &oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: m.algorithms, Now: p.now}).Verify(ctx, raw)
	if err != nil {
		if e := p.fault("the keys of "+p.config.Issuer, keys.err); keys.err != nil && e.Reason == oauth.ReasonProviderUnavailable {
			return Person{}, e
		}
		return Person{}, badToken("an ID token of "+p.config.Issuer+" for "+p.config.ClientID+" that has not expired", "another").Because(oauth.ShownError(err))
	}
	// What the library leaves to its caller.
	var c claims
	if err := token.Claims(&c); err != nil {
		return Person{}, badToken("claims in one JSON object", "something else").Because(oauth.ShownError(err))
	}
	switch azp, has := c["azp"]; {
	case token.Issuer != p.config.Issuer: // it takes a second spelling of one
		return Person{}, badToken("iss "+p.config.Issuer, token.Issuer)
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return Person{}, badToken("the nonce of this sign-in", "another, or none")
	case has && azp != any(p.config.ClientID):
		return Person{}, badToken("azp "+p.config.ClientID, "another")
	case !has && len(token.Audience) > 1:
		return Person{}, badToken("azp, where there are several audiences", "none")
	case token.Subject == "":
		return Person{}, badToken("a sub", "none")
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(answer.AccessToken); err != nil {
			return Person{}, badToken("at_hash of the access token beside it", "another")
		}
	}
	return p.person(c)
}

func badToken(expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonIDTokenBad, "AZ-12", expected, oauth.Shown(presented))
}

// claims are those of an ID token.
type claims map[string]any

// text is a claim that is a text. An email is none unless it is verified.
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	if name == "email" && c["email_verified"] != true && c["email_verified"] != "true" {
		return ""
	}
	return s
}

// texts is a claim that is a text or a list of them.
func (c claims) texts(name string) []string {
	if s := c.text(name); s != "" {
		return []string{s}
	}
	list, _ := c[name].([]any)
	var all []string
	for _, v := range list {
		if s, ok := v.(string); ok {
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
	if at, ok := c["auth_time"].(float64); ok && at > 0 && at <= float64(p.now().Unix()) {
		person.AuthTime = time.Unix(int64(at), 0).UTC()
	}
	return person, nil
}

// UnmarshalJSON is strict where encoding/json is not: a name that is there twice
// says nothing that can be relied on (GL-11).
func (c *claims) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("the claims are no object")
	}
	all := claims{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := name.(string)
		if _, twice := all[key]; twice {
			return errors.New("a claim is there twice")
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return err
		}
		all[key] = v
	}
	*c = all
	return nil
}
