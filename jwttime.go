package svidgate

import (
	"context"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

var jwtTimeRules = []judge.Rule[*jwtState]{
	{
		ID: "CJ-5", Source: "draft section 3.1 step 2; JS-9, JS-10", What: "it has not expired", Needs: factExpiry,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if !s.now.Before(s.expiry.Add(s.settings.Leeway)) {
				return oauth.ReasonExpired
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			return "exp after " + stamp(s.now) + " less " + s.settings.Leeway.String()
		},
		Presented: func(s *jwtState) string { return stamp(s.expiry) + ", " + offset(s.now, s.expiry) },
	},
	{
		ID: "JS-10", Source: "RFC 7519 4.1.5; RFC 7523 3", What: "nbf and iat are not in the future", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, name := range []string{"nbf", "iat"} {
				if t, ok := s.claim(name).NumericDate(); ok && t.After(s.now.Add(s.settings.Leeway)) {
					return oauth.ReasonNotYetValid
				}
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			return "nbf and iat no later than " + stamp(s.now) + " plus " + s.settings.Leeway.String()
		},
		Presented: func(s *jwtState) string {
			var parts []string
			for _, name := range []string{"nbf", "iat"} {
				if t, ok := s.claim(name).NumericDate(); ok {
					parts = append(parts, name+" "+stamp(t)+", "+offset(s.now, t))
				}
			}
			if len(parts) == 0 {
				return "neither"
			}
			return strings.Join(parts, "; ")
		},
	},
	{
		ID: "JS-19", Source: "RFC 7523 3", What: "its life is not too long", Needs: factExpiry,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.expiry.Sub(s.now) > s.settings.MaxLifetime {
				return oauth.ReasonLifetimeTooLong
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			if s.settings.MaxLifetime == Unbounded {
				return "any"
			}
			return "at most " + s.settings.MaxLifetime.String() + " left"
		},
		Presented: func(s *jwtState) string { return s.expiry.Sub(s.now).Round(time.Second).String() + " left" },
	},
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// offset says how far t is from now, in the words of somebody comparing clocks.
func offset(now, t time.Time) string {
	return spoken.Since(now.Sub(t))
}
