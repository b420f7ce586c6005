package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// claimRules judge what the issuer said: for whom, when, who.
var claimRules = []rule{
	{
		id: "AT-4", source: "RFC 9068 4; RFC 7519 4.1.3", what: "the token is meant for this resource", needs: factParsed,
		judge:     func(_ context.Context, s *attempt) oauth.Reason { return s.judgeAudience() },
		expected:  func(s *attempt) string { return "aud " + s.v.resource },
		presented: func(s *attempt) string { return "aud " + shown(s.claim("aud")) },
	},
	{
		id: "GL-12", source: "RFC 9068 4; RFC 7519 4.1.4 to 4.1.6", what: "the token is valid now", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason { return s.judgeTime() },
		expected: func(s *attempt) string {
			return fmt.Sprintf("exp after %s, nbf and iat not after %s (it is %s here)",
				stamp(s.now.Add(-s.v.leeway)), stamp(s.now.Add(s.v.ahead)), stamp(s.now))
		},
		presented: func(s *attempt) string {
			return "exp " + s.shownTime("exp") + ", nbf " + s.shownTime("nbf") + ", iat " + s.shownTime("iat")
		},
	},
	{
		id: "AT-2", source: "RFC 9068 2.2", what: "sub, client_id, jti and iat are there", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			var sub, client, id bool
			s.caller.subject, sub = s.text("sub")
			s.caller.clientID, client = s.text("client_id")
			s.caller.tokenID, id = s.text("jti")
			if !sub || !client || !id || s.claim("iat") == nil {
				return oauth.ReasonClaimMalformed
			}
			return ""
		},
		expected: func(*attempt) string { return "sub, client_id and jti as strings, iat as a number" },
		presented: func(s *attempt) string {
			return "sub " + shown(s.claim("sub")) + ", client_id " + shown(s.claim("client_id")) +
				", jti " + shown(s.claim("jti")) + ", iat " + shown(s.claim("iat"))
		},
	},
	{
		// A handler that compares subjects as text must never see two spellings
		// of one workload, nor one that only looks like a workload.
		id: "RS-3", source: "SPIFFE-ID 2", what: "a sub that begins like a SPIFFE ID is one", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			sub, _ := s.text("sub")
			if !likeSPIFFE(sub) {
				return ""
			}
			id, err := strictid.Workload(sub)
			if err != nil {
				s.cause = err
				return oauth.ReasonSubNotSPIFFEID
			}
			s.caller.id = id
			return ""
		},
		expected:  func(*attempt) string { return "a SPIFFE ID with a path, or a sub of another kind" },
		presented: func(s *attempt) string { return "sub " + shown(s.claim("sub")) },
	},
	{
		id: "AT-3", source: "RFC 9068 2.2.3; RFC 6749 3.3", what: "scope, if there, is well-formed", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			scope := s.claim("scope")
			if scope == nil {
				return ""
			}
			text, ok := scope.Text()
			if !ok || !scopeText(text) {
				return oauth.ReasonScopeMalformed
			}
			s.caller.scope = text
			return ""
		},
		expected:  func(*attempt) string { return "one string of scopes with single spaces between" },
		presented: func(s *attempt) string { return "scope " + shown(s.claim("scope")) },
	},
}

// scopeRules are last: who may not do a thing is told so only when it is certain
// who asks.
var scopeRules = []rule{
	{
		id: "LR-3", source: "RFC 6750 3.1", what: "the token has the scopes that this needs", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			for _, scope := range s.scopes {
				if !hasScope(s.caller.scope, scope) {
					return oauth.ReasonScopeDenied
				}
			}
			return ""
		},
		expected:  func(s *attempt) string { return "scope " + listed(s.scopes) },
		presented: func(s *attempt) string { return "scope " + shown(s.claim("scope")) },
	},
}

func (s *attempt) judgeAudience() oauth.Reason {
	aud := s.claim("aud")
	if aud == nil {
		return oauth.ReasonAudMissing
	}
	if one, ok := aud.Text(); ok {
		if one != s.v.resource {
			return oauth.ReasonAudMismatch
		}
		return ""
	}
	all, ok := aud.Texts()
	switch {
	case !ok:
		return oauth.ReasonClaimMalformed
	case len(all) == 0:
		return oauth.ReasonAudMissing
	case !slices.Contains(all, s.v.resource):
		return oauth.ReasonAudMismatch
	}
	return ""
}

func (s *attempt) judgeTime() oauth.Reason {
	if s.claim("exp") == nil {
		return oauth.ReasonExpMissing
	}
	exp, ok := s.claim("exp").NumericDate()
	if !ok {
		return oauth.ReasonClaimMalformed
	}
	if !s.now.Before(exp.Add(s.v.leeway)) {
		return oauth.ReasonExpired
	}
	s.caller.expiresAt = exp
	for _, name := range [...]string{"nbf", "iat"} {
		value := s.claim(name)
		if value == nil { // a missing iat is for AT-2
			continue
		}
		t, ok := value.NumericDate()
		if !ok {
			return oauth.ReasonClaimMalformed
		}
		if t.After(s.now.Add(s.v.ahead)) {
			return oauth.ReasonNotYetValid
		}
	}
	return ""
}

// shownTime says how far a time is from now, because the usual cause is a clock
// that is wrong by so much (F18).
func (s *attempt) shownTime(name string) string {
	t, ok := s.claim(name).NumericDate()
	if !ok {
		return shown(s.claim(name))
	}
	if d := s.now.Sub(t).Round(time.Second); d >= 0 {
		return fmt.Sprintf("%s (%v ago)", stamp(t), d)
	} else {
		return fmt.Sprintf("%s (in %v)", stamp(t), -d)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func likeSPIFFE(sub string) bool {
	const prefix = "spiffe:"
	return len(sub) >= len(prefix) && strings.EqualFold(sub[:len(prefix)], prefix)
}

// scopeText reports whether s is empty or a list of scopes by RFC 6749 section
// 3.3.
func scopeText(s string) bool {
	if s == "" {
		return true
	}
	for one := range strings.SplitSeq(s, " ") {
		if !scopeToken(one) {
			return false
		}
	}
	return true
}

// scopeToken reports whether s is one scope by RFC 6749 section 3.3.
func scopeToken(s string) bool {
	return s != "" && quotable(s) && strings.IndexByte(s, ' ') < 0
}

func hasScope(list, scope string) bool {
	if !scopeToken(scope) {
		return false
	}
	for one := range strings.SplitSeq(list, " ") {
		if one == scope {
			return true
		}
	}
	return false
}

func listed(scopes []string) string {
	if len(scopes) == 0 {
		return "none in particular"
	}
	return oauth.Shown(strings.Join(scopes, " "))
}
