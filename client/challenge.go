package client

import (
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// isInvalidToken reports whether the WWW-Authenticate headers hold a Bearer or a
// DPoP challenge with error="invalid_token" (RFC 6750 section 3, RFC 9449 section
// 7.1). It reads the grammar of RFC 9110 section 11.6.1 and stops at the first thing
// that does not fit, so a description that quotes the code does not count.
func isInvalidToken(headers []string) bool {
	return hasError(headers, oauth.TokenTypeBearer, oauth.InvalidToken) || hasError(headers, oauth.TokenTypeDPoP, oauth.InvalidToken)
}

// isInvalidProof reports whether they hold one that refuses the DPoP proof and not
// the token.
func isInvalidProof(headers []string) bool {
	return hasError(headers, oauth.TokenTypeDPoP, oauth.InvalidDPoPProof)
}

// asksForNonce reports whether they hold one that wants a nonce in the DPoP proof
// (RFC 9449 section 9).
func asksForNonce(headers []string) bool {
	return hasError(headers, oauth.TokenTypeDPoP, oauth.UseDPoPNonce)
}

func hasError(headers []string, scheme string, code oauth.ErrorCode) bool {
	for _, h := range headers {
		r := challengeReader{rest: h}
		if r.find(scheme, "error", string(code)) {
			return true
		}
	}
	return false
}

// challengeReader walks over one header value.
type challengeReader struct{ rest string }

// find reports whether a challenge of this scheme has this parameter with this
// value. Schemes and names have no case (RFC 9110 section 11.1), values do.
func (r *challengeReader) find(scheme, name, value string) bool {
	current := ""
	for {
		r.skip(" \t,")
		if r.rest == "" {
			return false
		}
		word := r.token()
		if word == "" {
			return false
		}
		spaces := r.skip(" \t")
		if !strings.HasPrefix(r.rest, "=") {
			current = word // a scheme: what follows are its parameters
			continue
		}
		// token68, as in "Negotiate abc=": its padding ends the item.
		if spaces == 0 && strings.Trim(r.rest[1:firstOf(r.rest, ", \t")], "=") == "" {
			r.rest = r.rest[firstOf(r.rest, ", \t"):]
			continue
		}
		r.rest = r.rest[1:]
		r.skip(" \t")
		got, ok := r.value()
		if !ok {
			return false
		}
		if equalFold(current, scheme) && equalFold(word, name) && got == value {
			return true
		}
	}
}

// skip moves past any of these bytes and returns how many there were.
func (r *challengeReader) skip(set string) int {
	n := len(r.rest)
	r.rest = strings.TrimLeft(r.rest, set)
	return n - len(r.rest)
}

// token takes a token of RFC 9110 section 5.6.2, or a token68 without its padding.
func (r *challengeReader) token() string {
	i := 0
	for i < len(r.rest) && (isAlphanumeric(r.rest[i]) || strings.IndexByte("!#$%&'*+-.^_`|~/", r.rest[i]) >= 0) {
		i++
	}
	word := r.rest[:i]
	r.rest = r.rest[i:]
	return word
}

// value takes a token or a quoted string.
func (r *challengeReader) value() (string, bool) {
	if !strings.HasPrefix(r.rest, `"`) {
		word := r.token()
		return word, word != ""
	}
	var b strings.Builder
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; c {
		case '"':
			r.rest = r.rest[i+1:]
			return b.String(), true
		case '\\':
			i++
			if i == len(r.rest) {
				return "", false
			}
			b.WriteByte(r.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false // not closed
}

func firstOf(s, set string) int {
	if i := strings.IndexAny(s, set); i >= 0 {
		return i
	}
	return len(s)
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'z'
}
