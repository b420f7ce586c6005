package svidgate

import (
	"context"
	"strings"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

var jwtAudienceRules = []judge.Rule[*jwtState]{
	{
		ID: "EC-4", Source: "draft section 3.1 step 3; RFC 7523bis 3", What: "there is one audience and no second", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			values, ok := s.audiences()
			if !ok || len(values) != 1 {
				return oauth.ReasonAudMultiple
			}
			s.audience = values[0]
			s.Facts |= factAudience
			return ""
		},
		Expected:  func(*jwtState) string { return "exactly one value" },
		Presented: func(s *jwtState) string { return shown(s.claim("aud")) },
	},
	{
		ID: "CJ-6", Source: "draft section 3.1 step 3; CJ-7 by profile", What: "the audience is this server", Needs: factAudience | factID,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			s.profile = s.profileInForce(s.in.Profile)
			if s.profile.AcceptsIssuerAudience() && s.audience == s.v.issuer {
				return ""
			}
			if s.profile.AcceptsEndpointAudience() && s.in.EndpointURL != "" && s.audience == s.in.EndpointURL {
				s.legacyMatch = s.profile == Transition
				return ""
			}
			return oauth.ReasonAudMismatch
		},
		Expected: func(s *jwtState) string {
			var accepted []string
			if s.profile.AcceptsIssuerAudience() {
				accepted = append(accepted, s.v.issuer)
			}
			if s.profile.AcceptsEndpointAudience() && s.in.EndpointURL != "" {
				accepted = append(accepted, s.in.EndpointURL)
			}
			if len(accepted) == 0 {
				accepted = []string{"nothing here: no endpoint is named"}
			}
			return strings.Join(accepted, " or ") + " (profile " + string(s.profile) + ")"
		},
		Presented: func(s *jwtState) string { return shownText(s.audience) },
	},
}
