package resource

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// A reading is what a token says of itself, taken from its text once. It judges
// nothing and depends on nothing but the bytes of the token, so it is the same at
// every request; it never changes. It has neither the token nor its signature.
type reading struct {
	typ, alg, kid, crit claim[string]

	issuer, subject, clientID, tokenID, scope claim[string]
	expires, notBefore, issued                claim[time.Time]
	audience                                  claim[[]string]
	confirmation                              claim[confirmation]

	// of a subject that looks like a SPIFFE ID
	id    spiffeid.ID
	idErr error
}

// A claim is one member of a token.
type claim[T any] struct {
	there bool
	valid bool // it is of the kind that it should be
	value T
}

// A confirmation is how a token is bound (RFC 7800 section 3.1).
type confirmation struct {
	members     int
	certificate claim[string] // x5t#S256
	key         claim[string] // jkt
}

// read takes from a token all that the rules ask for.
func read(jws *jose.Compact) *reading {
	r := new(reading)
	for _, m := range jws.Header {
		switch m.Name {
		case "typ":
			r.typ = textOf(m.Value)
		case "alg":
			r.alg = textOf(m.Value)
		case "kid":
			r.kid = textOf(m.Value)
		case "crit":
			r.crit = textOf(m.Value)
		}
	}
	for _, m := range jws.Payload {
		switch m.Name {
		case "iss":
			r.issuer = textOf(m.Value)
		case "sub":
			r.subject = textOf(m.Value)
		case "aud":
			r.audience = audienceOf(m.Value)
		case "exp":
			r.expires = dateOf(m.Value)
		case "nbf":
			r.notBefore = dateOf(m.Value)
		case "iat":
			r.issued = dateOf(m.Value)
		case "client_id":
			r.clientID = textOf(m.Value)
		case "jti":
			r.tokenID = textOf(m.Value)
		case "scope":
			r.scope = textOf(m.Value)
		case "cnf":
			r.confirmation = confirmationOf(m.Value)
		}
	}
	if likeSPIFFE(r.subject.value) {
		r.id, r.idErr = strictid.Workload(r.subject.value)
	}
	return r
}

func textOf(v strictjson.Value) claim[string] {
	text, ok := v.Text()
	return claim[string]{true, ok, text}
}

func audienceOf(v strictjson.Value) claim[[]string] {
	all, ok := v.Audience()
	return claim[[]string]{true, ok, all}
}

func dateOf(v strictjson.Value) claim[time.Time] {
	t, ok := v.NumericDate()
	return claim[time.Time]{true, ok, t}
}

func confirmationOf(v strictjson.Value) claim[confirmation] {
	members, err := v.Object()
	if err != nil {
		return claim[confirmation]{there: true}
	}
	c := confirmation{members: len(members)}
	if thumbprint, ok := members.Get(string(oauth.BindingCertificate)); ok {
		c.certificate = textOf(thumbprint)
	}
	if thumbprint, ok := members.Get(string(oauth.BindingKey)); ok {
		c.key = textOf(thumbprint)
	}
	return claim[confirmation]{true, true, c}
}

// compact is the token taken apart, for the signature and to show what was there.
// A token that is remembered is taken apart only then.
func (s *attempt) compact() *jose.Compact {
	if s.jws == nil && s.Has(factParsed) {
		s.jws, _ = jose.ParseCompact(s.token) // it went well before
	}
	if s.jws == nil {
		return &jose.Compact{}
	}
	return s.jws
}

// claim and header are for an operator's eyes; rules judge the reading.
func (s *attempt) claim(name string) strictjson.Value {
	v, _ := s.compact().Payload.Get(name)
	return v
}

func (s *attempt) header(name string) strictjson.Value {
	v, _ := s.compact().Header.Get(name)
	return v
}

// shown is a claim or header member for an operator's eyes.
func shown(v strictjson.Value) string {
	if len(v) == 0 {
		return "none"
	}
	if text, ok := v.Text(); ok {
		return oauth.Shown(text)
	}
	return oauth.Shown(string(v))
}
