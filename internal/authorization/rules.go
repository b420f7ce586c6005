package authorization

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/redirecturi"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxState bounds state, in bytes (AZ-9).
	maxState = 2048
	// challengeLen is the length of base64url(SHA-256) (AZ-3).
	challengeLen = 43
)

// The facts that the rules on a request build on.
const (
	factClient   judge.Fact = 1 << iota // the client is registered
	factRedirect                        // the redirect URI is the client's: errors may go there
)

// An asking is an authorization request while it is judged.
type asking struct {
	judge.Judgement
	requests *Requests
	sent     parameters
	pushing  bool   // at the PAR endpoint
	pushed   bool   // or it came from there
	workload string // that pushed it; empty where none did

	client      registration.Client
	redirectURI string
	resource    string
	scope       []string
	refused     *oauth.Error // by policy, which has its own words
}

// Refusal gives a reason its code.
func (s *asking) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	if s.refused != nil {
		return s.refused
	}
	code := oauth.InvalidRequest
	switch {
	case reason == oauth.ReasonInternal:
		code = oauth.ServerError
	case reason == oauth.ReasonClientBlocked:
		code = oauth.UnauthorizedClient
	case reason == oauth.ReasonResponseTypeUnsupported:
		code = oauth.UnsupportedResponseType
	case rule == "JR-2":
		code = oauth.RequestNotSupported
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}

// registered is the redirect URI that the request names, or the only one that
// there is (RD-5).
func (s *asking) registered() string {
	named, all := s.sent.get(oauth.ParamRedirectURI), s.client.RedirectURIs()
	if named == "" && len(all) == 1 && !s.pushing && !s.pushed {
		return all[0]
	}
	for _, uri := range all {
		if redirecturi.Match(uri, named) {
			return named
		}
	}
	return ""
}

// firstRepeated is a parameter that stands more than once and may not; those that
// say whose request it is are judged before there is anywhere to send an error.
func (s *asking) firstRepeated(identity bool) string {
	for _, name := range s.sent.repeated {
		if (name == oauth.ParamClientID || name == oauth.ParamRedirectURI) == identity {
			return name
		}
	}
	return ""
}

func (s *asking) question() policy.Question {
	return policy.Question{ClientID: s.client.ID(), Methods: s.client.Methods(), GrantType: oauth.GrantAuthorizationCode, Resources: s.sent.resources()}
}

func once(identity bool) judge.Rule[*asking] {
	needs := factClient | factRedirect
	if identity {
		needs = 0
	}
	return judge.Rule[*asking]{
		ID: "GL-4", Source: "RFC 6749 3.1", What: "each parameter stands once", Needs: needs,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if s.firstRepeated(identity) != "" {
				return oauth.ReasonRequestMalformed
			}
			return ""
		},
		Expected:  func(*asking) string { return "each parameter once" },
		Presented: func(s *asking) string { return shown(s.firstRepeated(identity)) + " more than once" },
	}
}

func absent(id, source, what, parameter string) judge.Rule[*asking] {
	return judge.Rule[*asking]{
		ID: id, Source: source, What: what, Needs: factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if s.sent.get(parameter) != "" {
				return oauth.ReasonRequestMalformed
			}
			return ""
		},
		Expected: func(*asking) string { return "no " + parameter },
		Presented: func(s *asking) string {
			if s.sent.get(parameter) != "" {
				return "one"
			}
			return "none"
		},
	}
}

// requestRules are what is asked of an authorization request, in order. Those
// before factRedirect can only be told on a page (AZ-8).
var requestRules = []judge.Rule[*asking]{
	once(true),
	{
		ID: "CA-2", Source: "RFC 6749 4.1.2.1", What: "client_id names a registered client",
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			id := s.sent.get(oauth.ParamClientID)
			if id == "" {
				return oauth.ReasonClientIDMissing
			}
			// CA-12, RF-7: an identifier, also when it is a SPIFFE ID. Nothing is made of it.
			if s.client = s.requests.config.Clients.Named(id); !s.client.Registered() {
				return oauth.ReasonClientNotFound
			}
			s.Facts |= factClient
			return ""
		},
		Expected:  func(*asking) string { return "a registered client_id" },
		Presented: func(s *asking) string { return shown(s.sent.get(oauth.ParamClientID)) },
	},
	{
		ID: "RU-8", Source: "ours", What: "neither the client nor the workload that pushed the request is blocked", Needs: factClient,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if s.blocked() {
				return oauth.ReasonClientBlocked
			}
			return ""
		},
		Expected:  func(*asking) string { return "a client and a SPIFFE ID that nobody blocked" },
		Presented: func(s *asking) string { return shown(cmp.Or(s.workload, s.client.ID())) },
	},
	{
		ID: "RD-1", Source: "RFC 9700 2.1", What: "redirect_uri is a registered one, or the only one", Needs: factClient,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if s.redirectURI = s.registered(); s.redirectURI == "" {
				return oauth.ReasonRedirectURIMismatch
			}
			s.Facts |= factRedirect
			return ""
		},
		Expected: func(s *asking) string {
			switch n := len(s.client.RedirectURIs()); {
			case n == 0:
				return "a client with redirect_uris"
			case s.sent.get(oauth.ParamRedirectURI) == "":
				return "redirect_uri, since the client has several or the request is pushed"
			}
			return "a registered redirect_uri, letter for letter"
		},
		Presented: func(s *asking) string { return shown(s.sent.get(oauth.ParamRedirectURI)) },
	},
	once(false),
	{
		ID: "AZ-9", Source: "RFC 6749 4.1.1", What: "state is of a length that can be sent back", Needs: factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if len(s.sent.get(oauth.ParamState)) > maxState {
				return oauth.ReasonRequestMalformed
			}
			return ""
		},
		Expected:  func(*asking) string { return "a state of at most " + strconv.Itoa(maxState) + " bytes" },
		Presented: func(s *asking) string { return strconv.Itoa(len(s.sent.get(oauth.ParamState))) + " bytes" },
	},
	absent("JR-2", "RFC 9101 6", "there is no request object", oauth.ParamRequest),
	absent("PA-1", "RFC 9126 2.1", "what is pushed is not itself pushed", oauth.ParamRequestURI),
	{
		ID: "PA-6", Source: "RFC 9126 5", What: "the request is pushed, where it must be", Needs: factClient | factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if !s.pushing && !s.pushed && s.mustPush() {
				return oauth.ReasonPARRequired
			}
			return ""
		},
		Expected: func(s *asking) string {
			if s.mustPush() {
				return "a pushed authorization request"
			}
			return "any authorization request"
		},
		Presented: func(s *asking) string {
			if s.pushing || s.pushed {
				return "a pushed one"
			}
			return "a plain one"
		},
	},
	{
		ID: "AZ-2", Source: "RFC 6749 4.1.1", What: "response_type is code", Needs: factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			switch s.sent.get(oauth.ParamResponseType) {
			case oauth.ResponseTypeCode:
				return ""
			case "":
				return oauth.ReasonRequestMalformed
			}
			return oauth.ReasonResponseTypeUnsupported
		},
		Expected:  func(*asking) string { return oauth.ResponseTypeCode },
		Presented: func(s *asking) string { return shown(s.sent.get(oauth.ParamResponseType)) },
	},
	{
		ID: "AZ-3", Source: "RFC 7636 4.4.1", What: "code_challenge_method is S256", Needs: factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if s.sent.get(oauth.ParamCodeChallengeMethod) != oauth.ChallengeMethodS256 { // absent means plain (BC-2)
				return oauth.ReasonCodeChallengeBad
			}
			return ""
		},
		Expected:  func(*asking) string { return "code_challenge_method S256" },
		Presented: func(s *asking) string { return shown(s.sent.get(oauth.ParamCodeChallengeMethod)) },
	},
	{
		ID: "AZ-3", Source: "RFC 7636 4.2", What: "code_challenge is 43 base64url characters", Needs: factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if !goodChallenge(s.sent.get(oauth.ParamCodeChallenge)) {
				return oauth.ReasonCodeChallengeBad
			}
			return ""
		},
		Expected: func(*asking) string { return "a code_challenge of 43 base64url characters" },
		Presented: func(s *asking) string {
			c := s.sent.get(oauth.ParamCodeChallenge)
			if len(c) == challengeLen && !goodChallenge(c) {
				return "other characters"
			}
			return strconv.Itoa(len(c)) + " characters"
		},
	},
	{
		ID: "AZ-6", Source: "RFC 6749 3.3; RFC 8707 2", What: "the client may have the grant, the scope and the resource", Needs: factClient | factRedirect,
		Judge: func(_ context.Context, s *asking) oauth.Reason {
			if err := s.allow(); err != nil {
				s.refused = oauth.AsError(err)
				s.Cause = s.refused.Err
				return s.refused.Reason
			}
			return ""
		},
		Expected:  func(*asking) string { return "what the client may have" },
		Presented: func(s *asking) string { return shown(s.sent.get(oauth.ParamScope)) },
	},
}

func (s *asking) blocked() bool {
	if s.requests.config.Blocked == nil {
		return false
	}
	id, _ := spiffeid.FromString(s.workload) // the zero ID where there is none
	return s.requests.config.Blocked(s.client.ID(), id)
}

func (s *asking) mustPush() bool { return s.requests.config.RequirePushed || s.client.RequirePushed() }

// allow asks policy at the time of the request, so that nobody is asked to consent
// to what cannot be had (RI-1, TK-5).
func (s *asking) allow() error {
	q := s.question()
	var err error
	if q.Scope, err = tokenrequest.ParseScope(s.sent.get(oauth.ParamScope)); err != nil {
		return err
	}
	if err := tokenrequest.CheckResources(q.Resources); err != nil {
		return err
	}
	s.resource, s.scope, err = s.requests.config.Policy.Allows(q)
	return err
}

func goodChallenge(c string) bool {
	return len(c) == challengeLen && !strings.ContainsFunc(c, func(r rune) bool { return !base64URL(r) })
}

func base64URL(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

func shown(s string) string {
	if s == "" {
		return "none"
	}
	return oauth.Shown(s)
}

// Rules name the rules that an authorization request is judged by, in order.
func Rules() []oauth.RuleInfo { return judge.Infos("", requestRules) }
