package mint

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// A Token is a minted access token that nobody has seen yet: it is recorded
// first. Only a Mint makes one; the zero value is no token.
type Token struct {
	encoded   oauth.AccessToken
	id        string
	subject   string
	keyID     string
	issuedAt  time.Time
	expiresAt time.Time
	scope     string
	resource  string
	binding   oauth.Binding
}

// ID is the jti; only a minted token has one.
func (t Token) ID() string { return t.id }

// Subject is the sub.
func (t Token) Subject() string { return t.subject }

// String is all that a token prints and logs as (AU-2). fmt would look through to
// the fields otherwise.
func (t Token) String() string { return "token " + t.id }

// Format keeps every verb of fmt to String.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// KeyID is the kid of the signing key.
func (t Token) KeyID() string { return t.keyID }

// Scope is the granted scope, as in the token.
func (t Token) Scope() string { return t.scope }

// Resource is the aud.
func (t Token) Resource() string { return t.resource }

// Binding is what the token is bound to.
func (t Token) Binding() oauth.Binding { return t.binding }

// ExpiresAt is the exp.
func (t Token) ExpiresAt() time.Time { return t.expiresAt }

// Response is the answer that carries the token (TK-6). The refresh token that
// goes with some grants is not the mint's.
func (t Token) Response() oauth.TokenResponse {
	tokenType := oauth.TokenTypeBearer
	if t.binding == oauth.BindingKey {
		tokenType = oauth.TokenTypeDPoP
	}
	return oauth.TokenResponse{
		AccessToken: t.encoded,
		TokenType:   tokenType,
		ExpiresIn:   int64(t.expiresAt.Sub(t.issuedAt) / time.Second),
		Scope:       t.scope,
	}
}

// A Mint signs tokens of one issuer.
type Mint struct {
	Issuer string
	Signer func() keys.Signer // the key in use at this moment
	Now    func() time.Time
}

// claims in the order in which a person reads them.
type claims struct {
	issuer, subject, audience, clientID, id, scope string
	issuedAt, expiry                               int64

	binding    oauth.Binding
	thumbprint [32]byte // of the certificate or key it is bound to

	grant *authorization.Grant // what a person granted; nil where none did
	actor string               // the workload, beside a person as subject
}

// append appends the claims as a JSON object. It is written out because it is done
// for every token.
func (c *claims) append(b []byte) []byte {
	b = strictjson.AppendText(append(b, `{"iss":`...), c.issuer)
	b = strictjson.AppendText(append(b, `,"sub":`...), c.subject)
	b = strictjson.AppendText(append(b, `,"aud":`...), c.audience)
	b = strictjson.AppendText(append(b, `,"client_id":`...), c.clientID)
	b = strconv.AppendInt(append(b, `,"iat":`...), c.issuedAt, 10)
	b = strconv.AppendInt(append(b, `,"exp":`...), c.expiry, 10)
	b = strictjson.AppendText(append(b, `,"jti":`...), c.id)
	if c.scope != "" {
		b = strictjson.AppendText(append(b, `,"scope":`...), c.scope)
	}
	if c.grant != nil {
		b = c.appendGrant(b)
	}
	if c.binding != oauth.BindingBearer { // the name of the binding is that of its confirmation
		b = append(append(append(b, `,"cnf":{"`...), c.binding...), `":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, c.thumbprint[:])
		b = append(b, `"}`...)
	}
	return append(b, '}')
}

// appendGrant appends who acts for the person, and how the person signed in (AT-3).
func (c *claims) appendGrant(b []byte) []byte {
	b = strictjson.AppendText(append(b, `,"grant_id":`...), c.grant.ID)
	if c.actor != "" {
		b = strictjson.AppendText(append(b, `,"act":{"sub":`...), c.actor)
		b = append(b, '}')
	}
	if at := c.grant.Subject.AuthTime; !at.IsZero() {
		b = strconv.AppendInt(append(b, `,"auth_time":`...), at.Unix(), 10)
	}
	for i, method := range c.grant.Subject.AMR {
		separator := ","
		if i == 0 {
			separator = `,"amr":[`
		}
		b = strictjson.AppendText(append(b, separator...), method)
	}
	if len(c.grant.Subject.AMR) > 0 {
		b = append(b, ']')
	}
	if c.grant.Subject.ACR != "" {
		b = strictjson.AppendText(append(b, `,"acr":`...), c.grant.Subject.ACR)
	}
	return b
}

// appendHeader appends the protected header of an access token (RFC 9068 section
// 2.1).
func appendHeader(b []byte, s keys.Signer) []byte {
	b = strictjson.AppendText(append(b, `{"typ":"at+jwt","alg":`...), string(s.Algorithm))
	b = strictjson.AppendText(append(b, `,"kid":`...), s.KeyID)
	return append(b, '}')
}

// Mint makes the token that was authorized and decided. The error is an
// *oauth.Error: a server_error, or invalid_client when the certificate to bind
// to ends before the token could live a second.
func (m *Mint) Mint(a grant.Authorization, d policy.Decision) (Token, error) {
	if !a.Granted() || !d.Permits() || d.Resource() == "" { // CC-4: no aud, no token
		return Token{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CC-4", "an authorization and a decision", "none")
	}
	now := m.Now().Truncate(time.Second)
	token := Token{
		id: rand.Text(), subject: a.Subject(), issuedAt: now, expiresAt: now.Add(d.Lifetime()),
		scope: strings.Join(d.Scope(), " "), resource: d.Resource(), binding: d.Binding(),
	}
	c := claims{
		issuer: m.Issuer, subject: a.Subject(), audience: d.Resource(), clientID: a.Caller().Client().ID(),
		issuedAt: now.Unix(), id: token.id, scope: token.scope, binding: d.Binding(),
	}
	if c.grant = a.Grant(); c.grant != nil && a.Caller().Authenticated() {
		c.actor = a.Caller().Identity().SPIFFEID().String()
	}
	switch d.Binding() {
	case oauth.BindingBearer:
	case oauth.BindingKey:
		var ok bool
		if c.thumbprint, ok = a.Caller().Identity().KeyThumbprint(); !ok {
			return Token{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CC-5", "a key to bind to", "none")
		}
	case oauth.BindingCertificate:
		thumbprint, notAfter, ok := a.Caller().Certificate()
		if !ok {
			return Token{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CC-5", "a certificate to bind to", "none")
		}
		c.thumbprint = thumbprint
		if notAfter.Before(token.expiresAt) { // AT-6, MT-4
			token.expiresAt = notAfter.Truncate(time.Second)
		}
	default:
		return Token{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CC-5", "a binding that this server knows", oauth.Shown(string(d.Binding())))
	}
	if !token.expiresAt.After(now) {
		return Token{}, oauth.Refuse(oauth.InvalidClient, oauth.ReasonExpired, "AT-6", "a certificate valid for another second", token.expiresAt.UTC().Format(time.RFC3339))
	}
	c.expiry = token.expiresAt.Unix()

	signer := m.Signer()
	token.keyID = signer.KeyID
	var room [1024]byte // for the header and then the claims, as a rule
	header := appendHeader(room[:0], signer)
	payload := c.append(header[len(header):])
	encoded, err := jose.Sign(signer.Algorithm, signer.Key, header, payload)
	if err != nil {
		return Token{}, oauth.AsError(fmt.Errorf("mint: %w", err))
	}
	token.encoded = oauth.AccessToken(encoded)
	return token, nil
}
