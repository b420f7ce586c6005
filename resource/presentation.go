package resource

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// presentationRules get at the token: size, header, parts.
var presentationRules = []judge.Rule[*attempt]{
	{
		ID: "GL-8", Source: "denial of service; RFC 8725 3.10", What: "the token is not too long",
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.size() > MaxToken {
				return oauth.ReasonAssertionTooLarge
			}
			s.Facts |= factSized
			return ""
		},
		Expected:  func(*attempt) string { return fmt.Sprintf("at most %d bytes", MaxToken) },
		Presented: func(s *attempt) string { return fmt.Sprintf("%d bytes", s.size()) },
	},
	{
		ID: "LR-2", Source: "RFC 6750 2, 2.1; RFC 9449 7.1", What: "one Authorization header holds one token", Needs: factSized,
		Judge:     func(_ context.Context, s *attempt) oauth.Reason { return s.judgeAuthorization() },
		Expected:  func(*attempt) string { return "Authorization: Bearer or DPoP and one token, and no token elsewhere" },
		Presented: (*attempt).shownAuthorization,
	},
	{
		ID: "GL-11", Source: "RFC 7515 7.1; RFC 8725 3.11", What: "the token is a compact JWS of strict JSON", Needs: factToken,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.recall() {
				jws, err := jose.ParseCompact(s.token)
				if err != nil {
					s.Cause = err
					return oauth.ReasonTokenMalformed
				}
				s.jws, s.said = jws, read(jws)
			}
			s.Facts |= factParsed
			return ""
		},
		Expected: func(*attempt) string { return "three base64url parts, the first two JSON objects" },
		Presented: func(s *attempt) string {
			if !s.Has(factParsed) {
				return "something else"
			}
			return "a compact JWS"
		},
	},
}

const scheme = oauth.TokenTypeBearer

// size bounds all that the header rule will look at, by the length of the token
// in it.
func (s *attempt) size() int {
	if s.r == nil {
		return len(s.token)
	}
	n := 0
	for _, value := range s.authorization {
		n += len(value)
	}
	return max(0, n-len(scheme+" "))
}

// judgeAuthorization reads the credentials. With none, or with another scheme,
// the caller has not tried to use a token and is told no error code (RFC 6750
// section 3.1); anything half right is a malformed request.
func (s *attempt) judgeAuthorization() oauth.Reason {
	if s.r == nil {
		s.Facts |= factToken
		return ""
	}
	if len(s.authorization) > 1 {
		// Which one counts would be for each hop to guess.
		return oauth.ReasonRequestMalformed
	}
	token, dpop, ok := s.credentials()
	if !ok {
		return oauth.ReasonTokenMissing
	}
	if !b64token(token) || s.queryToken() {
		return oauth.ReasonRequestMalformed
	}
	s.token, s.dpop = token, dpop
	s.Facts |= factToken
	return ""
}

// credentials are what follows the scheme, which is Bearer or DPoP; ok is false
// when it is neither.
func (s *attempt) credentials() (token string, dpop, ok bool) {
	if len(s.authorization) == 0 {
		return "", false, false
	}
	name, rest, _ := strings.Cut(s.authorization[0], " ")
	dpop = strings.EqualFold(name, oauth.TokenTypeDPoP)
	return strings.TrimLeft(rest, " "), dpop, dpop || strings.EqualFold(name, scheme)
}

// b64token reports whether s has the form of RFC 6750 section 2.1. A comma, with
// which a proxy joins two headers, is not in it.
func b64token(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !inToken[s[i]] {
			return false
		}
	}
	return s != ""
}

// inToken are the characters of a token but the = at its end.
var inToken = func() (in [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") {
		in[c] = true
	}
	return in
}()

// queryToken reports whether the query also has a token, by the name of RFC 6750
// section 2.3. It is never read, and two methods are one too many.
func (s *attempt) queryToken() bool {
	if s.query == "" || !strings.Contains(s.query, "access_token") && !strings.Contains(s.query, "%") {
		return false
	}
	values, err := url.ParseQuery(s.query)
	return err != nil && strings.Contains(s.query, "access_token") || values.Has("access_token")
}

// shownAuthorization repeats nothing of the header: a token without its scheme
// would be taken for one.
func (s *attempt) shownAuthorization() string {
	token, dpop, ok := s.credentials()
	kind := scheme
	if dpop {
		kind = oauth.TokenTypeDPoP
	}
	var is string
	switch {
	case s.r == nil:
		return "a token without a request"
	case len(s.authorization) == 0:
		is = "no Authorization header"
	case len(s.authorization) > 1:
		is = fmt.Sprintf("%d Authorization headers", len(s.authorization))
	case !ok:
		is = "an Authorization header of another scheme"
	case !b64token(token):
		is = "a " + kind + " token with a character that no token has, or none"
	default:
		is = "one " + kind + " token"
	}
	if s.queryToken() {
		is += ", and access_token in the query"
	}
	return is
}
