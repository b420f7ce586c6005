package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// claimRules judge what the issuer said: for whom, when, who.
var claimRules = []judge.Rule[*attempt]{
	{
		ID: "AT-4", Source: "RFC 9068 4; RFC 7519 4.1.3", What: "the token is meant for this resource", Needs: factParsed,
		Judge:     func(_ context.Context, s *attempt) oauth.Reason { return s.judgeAudience() },
		Expected:  func(s *attempt) string { return "aud " + s.v.resource },
		Presented: func(s *attempt) string { return "aud " + shown(s.claim("aud")) },
	},
	{
		ID: "GL-12", Source: "RFC 9068 4; RFC 7519 4.1.4 to 4.1.6", What: "the token is valid now", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason { return s.judgeTime() },
		Expected: func(s *attempt) string {
			return fmt.Sprintf("exp after %s, nbf and iat not after %s (it is %s here)",
				stamp(s.now.Add(-s.v.leeway)), stamp(s.now.Add(s.v.ahead)), stamp(s.now))
		},
		Presented: func(s *attempt) string {
			return "exp " + s.shownTime("exp") + ", nbf " + s.shownTime("nbf") + ", iat " + s.shownTime("iat")
		},
	},
	{
		ID: "AT-2", Source: "RFC 9068 2.2", What: "sub, client_id, jti and iat are there", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			said := s.said
			s.caller.subject, s.caller.clientID, s.caller.tokenID = said.subject.value, said.clientID.value, said.tokenID.value
			// What is no string is empty.
			if said.subject.value == "" || said.clientID.value == "" || said.tokenID.value == "" || !said.issued.there {
				return oauth.ReasonClaimMalformed
			}
			return ""
		},
		Expected: func(*attempt) string { return "sub, client_id and jti as strings, iat as a number" },
		Presented: func(s *attempt) string {
			return "sub " + shown(s.claim("sub")) + ", client_id " + shown(s.claim("client_id")) +
				", jti " + shown(s.claim("jti")) + ", iat " + shown(s.claim("iat"))
		},
	},
	{
		// A handler that compares subjects as text must never see two spellings
		// of one workload, nor one that only looks like a workload.
		ID: "RS-3", Source: "SPIFFE-ID 2", What: "a sub that begins like a SPIFFE ID is one", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.said.idErr != nil {
				s.Cause = s.said.idErr
				return oauth.ReasonSubNotSPIFFEID
			}
			s.caller.id = s.said.id
			return ""
		},
		Expected:  func(*attempt) string { return "a SPIFFE ID with a path, or a sub of another kind" },
		Presented: func(s *attempt) string { return "sub " + shown(s.claim("sub")) },
	},
	{
		ID: "AT-3", Source: "RFC 9068 2.2.3; RFC 6749 3.3", What: "scope, if there, is well-formed", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			scope := &s.said.scope
			if !scope.there {
				return ""
			}
			if !scope.valid || !scopeText(scope.value) {
				return oauth.ReasonScopeMalformed
			}
			s.caller.scope = scope.value
			return ""
		},
		Expected:  func(*attempt) string { return "one string of scopes with single spaces between" },
		Presented: func(s *attempt) string { return "scope " + shown(s.claim("scope")) },
	},
}

// scopeRules are last: who may not do a thing is told so only when it is certain
// who asks.
var scopeRules = []judge.Rule[*attempt]{
	{
		ID: "LR-3", Source: "RFC 6750 3.1", What: "the token has the scopes that this needs", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			for _, scope := range s.scopes {
				if !hasScope(s.caller.scope, scope) {
					return oauth.ReasonScopeDenied
				}
			}
			return ""
		},
		Expected:  func(s *attempt) string { return "scope " + listed(s.scopes) },
		Presented: func(s *attempt) string { return "scope " + shown(s.claim("scope")) },
	},
}

func (s *attempt) judgeAudience() oauth.Reason {
	switch aud := &s.said.audience; {
	case !aud.there, aud.valid && len(aud.value) == 0:
		return oauth.ReasonAudMissing
	case !aud.valid:
		return oauth.ReasonClaimMalformed
	case !slices.Contains(aud.value, s.v.resource):
		return oauth.ReasonAudMismatch
	}
	return ""
}

func (s *attempt) judgeTime() oauth.Reason {
	exp := &s.said.expires
	if !exp.there {
		return oauth.ReasonExpMissing
	}
	if !exp.valid {
		return oauth.ReasonClaimMalformed
	}
	if !s.now.Before(exp.value.Add(s.v.leeway)) {
		return oauth.ReasonExpired
	}
	s.caller.expiresAt = exp.value
	for _, t := range [...]*claim[time.Time]{&s.said.notBefore, &s.said.issued} {
		if !t.there { // a missing iat is for AT-2
			continue
		}
		if !t.valid {
			return oauth.ReasonClaimMalformed
		}
		if t.value.After(s.now.Add(s.v.ahead)) {
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
