package introspection

import (
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// A reading is what a token says of itself. It judges nothing, depends on nothing
// but the bytes of the token, and never changes.
type reading struct {
	typ, alg, kid string
	crit          bool

	issuer             string
	expires, notBefore time.Time // zero when missing or none
	early              bool      // nbf is there
	audience           []string
	about              revocation.Token
	subject, scope     string
	grant              string // grant_id
	answer             []byte // see appendAnswer; only of a token whose signature is good
}

func read(jws *jose.Compact) *reading {
	r := new(reading)
	header := func(name string) string { text, _, _ := jws.Text(name); return text }
	r.typ, r.alg, r.kid = header("typ"), header("alg"), header("kid")
	_, r.crit = jws.Header.Get("crit")
	r.about.KeyID = r.kid
	for _, m := range jws.Payload {
		switch m.Name {
		case "iss":
			r.issuer, _ = m.Value.Text()
		case "sub":
			r.subject, _ = m.Value.Text()
			r.workload(r.subject)
		case "aud":
			r.audience, _ = m.Value.Audience()
		case "exp":
			r.expires, _ = m.Value.NumericDate()
		case "nbf":
			r.early = true
			r.notBefore, _ = m.Value.NumericDate()
		case "iat":
			r.about.IssuedAt, _ = m.Value.NumericDate()
		case "client_id":
			r.about.ClientID, _ = m.Value.Text()
		case "jti":
			r.about.ID, _ = m.Value.Text()
		case "grant_id":
			r.grant, _ = m.Value.Text()
		case "scope":
			r.scope, _ = m.Value.Text()
		case "act":
			r.actors(m.Value)
		}
	}
	return r
}

// actors notes the workloads that act, each for the one before (RFC 8693 section
// 4.1). How deep they nest is bounded where JSON is read.
func (r *reading) actors(act strictjson.Value) {
	for act != "" {
		members, err := act.Object()
		if err != nil {
			return
		}
		sub, _ := members.Get("sub")
		text, _ := sub.Text()
		r.workload(text)
		act, _ = members.Get("act")
	}
}

func (r *reading) workload(subject string) {
	if !strings.HasPrefix(subject, "spiffe://") {
		return
	}
	if id, err := strictid.Workload(subject); err == nil {
		r.about.SPIFFEIDs = append(r.about.SPIFFEIDs, id)
	}
}

// answered are the claims that an answer repeats, as the token has them (IN-3, RFC
// 7662 section 2.2, RFC 8693 section 4, RFC 9396 section 9.2, RFC 9470 section 6).
var answered = [...]string{
	"scope", "client_id", "exp", "iat", "nbf", "sub", "aud", "iss", "jti",
	"cnf", "act", "may_act", "authorization_details", "txn", "auth_time", "acr", "amr",
}

// appendAnswer appends the answer about an active token. The claims are strict JSON
// already, and signed by us.
func appendAnswer(b []byte, jws *jose.Compact) []byte {
	b = append(b, `{"active":true,"token_type":"`...)
	b = append(append(b, tokenType(jws)...), '"')
	for _, name := range answered {
		if v, ok := jws.Payload.Get(name); ok {
			b = append(append(append(append(b, `,"`...), name...), `":`...), v...)
		}
	}
	return append(b, '}')
}

// tokenType is how the token is to be presented (RFC 9449 section 6.2).
func tokenType(jws *jose.Compact) string {
	cnf, _ := jws.Payload.Get("cnf")
	if members, err := cnf.Object(); err == nil {
		if _, ok := members.Get("jkt"); ok {
			return oauth.TokenTypeDPoP
		}
	}
	return oauth.TokenTypeBearer
}
