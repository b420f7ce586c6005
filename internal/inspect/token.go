package inspect

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// A token is a JWT that was taken apart.
type token struct {
	raw string
	*jose.Compact
	now time.Time
}

func inspectToken(raw string, now time.Time) (*Report, error) {
	if len(raw) > oauth.MaxJWT {
		return nil, fmt.Errorf("%w, and longer than the %d bytes that a JWT may have (GL-8)", ErrUnknown, oauth.MaxJWT)
	}
	compact, err := jose.ParseCompact(raw)
	if err != nil {
		return nil, unreadable(raw, err)
	}
	if credential.Private(compact.Header) || credential.Private(compact.Payload) {
		return nil, credential.ErrPrivateKey
	}
	t := &token{raw, compact, now}
	r := t.recognise()
	r.Sections = []Section{t.summary(), all("Header", t.Header), all("Claims", t.Payload)}
	r.Remarks = t.remarks(r.Kind)
	return r, nil
}

// unreadable tells what is nearly a JWT from what is none at all.
func unreadable(raw string, err error) error {
	if !errors.Is(err, jose.ErrNotCompact) {
		return fmt.Errorf("this is shaped like a JWT and cannot be read: %w (JS-20)", err)
	}
	parts := strings.Split(raw, ".")
	switch {
	case !strings.HasPrefix(raw, "ey"):
		return ErrUnknown
	case len(parts) == 5:
		return errors.New("this is an encrypted JWT of five parts: only its recipient can read it, and no SVID is one (JS-1)")
	case len(parts) == 3 && parts[2] == "":
		return errors.New("this is a JWT without a signature, which nobody should accept (JS-1)")
	case len(parts) != 3:
		return fmt.Errorf("this begins like a JWT and has %d parts instead of three: was it cut off? (JS-1)", len(parts))
	}
	return errors.New("this is shaped like a JWT and is not base64url without padding throughout: was it changed or cut off? (JS-1)")
}

// summary is what a reader wants to know first.
func (t *token) summary() Section {
	var s Section
	if sub := text(t.Payload, "sub"); strictid.Cut(sub).Scheme != "" {
		identifier(&s, sub)
	} else if sub != "" {
		s.add("subject", oauth.Shown(sub))
	}
	for _, m := range []struct{ claim, name string }{
		{"iss", "issuer"}, {"aud", "audience"}, {"client_id", "client"}, {"scope", "scope"},
	} {
		if v, ok := t.Payload.Get(m.claim); ok {
			s.add(m.name, shown(v))
		}
	}
	t.times(&s)
	alg, _ := t.Header.Get("alg")
	key := "no kid"
	if kid, ok := t.Header.Get("kid"); ok {
		key = "kid " + shown(kid)
	}
	if alg != "" {
		key += ", " + shown(alg)
	}
	s.add("signed with", key)
	t.confirmation(&s)
	s.add("signature", fmt.Sprintf("%d bytes, not shown", len(t.Signature)))
	return s
}

// identifier adds a SPIFFE ID and its trust domain, or what is wrong with it.
func identifier(s *Section, raw string) {
	id, err := strictid.Workload(raw)
	if err != nil {
		s.add("SPIFFE ID", oauth.Shown(raw), "not one: "+oauth.Shown(err.Error()))
		return
	}
	s.add("SPIFFE ID", oauth.Shown(id.String()))
	s.add("trust domain", oauth.Shown(id.TrustDomain().Name()))
}

func (t *token) times(s *Section) {
	date := func(name string) (time.Time, bool) {
		v, _ := t.Payload.Get(name)
		return v.NumericDate()
	}
	iat, issued := date("iat")
	if issued {
		s.moment("issued", iat, t.now)
	}
	if nbf, ok := date("nbf"); ok && nbf != iat {
		s.moment("not before", nbf, t.now)
	}
	exp, ends := date("exp")
	if ends {
		s.end("expires", exp, t.now)
	}
	if issued && ends && exp.After(iat) {
		s.add("life", spoken.Duration(exp.Sub(iat)))
	}
}

// confirmation says what holds the token to its owner (RFC 7800).
func (t *token) confirmation(s *Section) {
	v, ok := t.Payload.Get("cnf")
	if !ok {
		return
	}
	cnf, err := v.Object()
	if err != nil {
		s.add("bound to", "cnf is not an object")
		return
	}
	for _, m := range cnf {
		switch name := m.Name; {
		case name == "x5t#S256":
			s.add("bound to", "certificate "+shown(m.Value), "x5t#S256")
		case name == "jkt":
			s.add("bound to", "DPoP key "+shown(m.Value), "jkt")
		case name == "jwk":
			s.add("bound to", "key "+keyText([]byte(m.Value)), "jwk")
		default:
			s.add("bound to", shown(m.Value), oauth.Shown(name))
		}
	}
}

// keyText names a public key by its type and thumbprint.
func keyText(raw []byte) string {
	jwk, err := jose.ParseJWK(raw)
	if err != nil {
		return "that cannot be read: " + oauth.Shown(err.Error())
	}
	sum, err := jose.Thumbprint(jwk.Key)
	if err != nil {
		return jose.KeyType(jwk.Key)
	}
	return jose.KeyType(jwk.Key) + ", thumbprint " + sum
}
