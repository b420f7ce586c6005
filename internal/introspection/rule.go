package introspection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// The facts that rules establish for later ones.
const (
	factParsed  judge.Fact = 1 << iota // the token was taken apart
	factKey                            // its key is one of ours
	factGenuine                        // its signature is good
	factYours                          // the client that asks may know of it
)

// ahead is how far in the future nbf may lie (GL-12): another node's clock may run
// before ours.
const ahead = 10 * time.Second

// genuine are the demands on every access token of ours.
var genuine = []judge.Rule[*attempt]{
	{
		ID: "GL-8", Source: "denial of service", What: "the token is not too long",
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if len(s.token) > oauth.MaxJWT {
				return oauth.ReasonAssertionTooLarge
			}
			return ""
		},
		Expected:  func(*attempt) string { return fmt.Sprintf("at most %d bytes", oauth.MaxJWT) },
		Presented: func(s *attempt) string { return fmt.Sprintf("%d bytes", len(s.token)) },
	},
	{
		ID: "GL-11", Source: "RFC 7515 7.1; RFC 8725 3.11", What: "the token is a compact JWS of strict JSON",
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
			if s.said == nil {
				return "something else"
			}
			return "a compact JWS"
		},
	},
	{
		ID: "GL-10", Source: "RFC 9068 2.1, 4; RFC 8725 3.11", What: "it is an access token", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !strings.EqualFold(s.said.typ, "at+jwt") && !strings.EqualFold(s.said.typ, "application/at+jwt") {
				return oauth.ReasonWrongTokenType
			}
			return ""
		},
		Expected:  func(*attempt) string { return "typ at+jwt" },
		Presented: func(s *attempt) string { return "typ " + shown(s.said.typ) },
	},
	{
		ID: "GL-14", Source: "RFC 9068 4", What: "the issuer is this server", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.said.issuer != s.in.config.Tokens.issuer {
				return oauth.ReasonIssuerMismatch
			}
			return ""
		},
		Expected:  func(s *attempt) string { return "iss " + s.in.config.Tokens.issuer },
		Presented: func(s *attempt) string { return "iss " + shown(s.said.issuer) },
	},
	{
		ID: "KR-7", Source: "KR-6; RFC 7517 4.5", What: "kid names a key that is published", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.said.kid == "" {
				return oauth.ReasonKIDMissing
			}
			var ok bool
			if s.alg, s.key, ok = s.in.config.Tokens.keys.Verifying(s.said.kid); !ok {
				return oauth.ReasonKIDUnknown
			}
			s.Facts |= factKey
			return ""
		},
		Expected:  func(s *attempt) string { return "a key of " + s.in.config.Tokens.issuer },
		Presented: func(s *attempt) string { return "kid " + shown(s.said.kid) },
	},
	{
		ID: "GL-9", Source: "RFC 8725 3.1, 3.2; RFC 7515 4.1.11", What: "the algorithm is the key's, and nothing critical is unknown", Needs: factKey,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if jose.Algorithm(s.said.alg) != s.alg {
				return oauth.ReasonAlgNotAllowed
			}
			if s.said.crit {
				return oauth.ReasonHeaderNotAllowed
			}
			return ""
		},
		Expected: func(s *attempt) string { return "alg " + string(s.alg) + ", no crit" },
		Presented: func(s *attempt) string {
			if s.said.crit {
				return "alg " + shown(s.said.alg) + ", a crit"
			}
			return "alg " + shown(s.said.alg)
		},
	},
	{
		ID: "AT-8", Source: "RFC 9068 4", What: "the signature is that key's", Needs: factKey,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.proven {
				switch err := s.compact().Verify(s.alg, s.key); {
				case errors.Is(err, jose.ErrSignature):
					return oauth.ReasonSignatureBad
				case err != nil:
					s.Cause = err
					return oauth.ReasonAlgNotAllowed
				}
				s.said.answer = appendAnswer(nil, s.jws)
				s.remember()
			}
			s.Facts |= factGenuine
			return ""
		},
		Expected: func(s *attempt) string { return "a signature of key " + s.said.kid },
		Presented: func(s *attempt) string {
			return fmt.Sprintf("%d bytes of signature", len(s.compact().Signature))
		},
	},
	{
		ID: "AT-2", Source: "RFC 9068 2.2", What: "exp, iat, sub, client_id, jti and aud are there", Needs: factGenuine,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			about := &s.said.about
			if s.said.expires.IsZero() || about.IssuedAt.IsZero() || s.said.subject == "" || about.ClientID == "" || about.ID == "" || len(s.said.audience) == 0 ||
				s.said.early && s.said.notBefore.IsZero() {
				return oauth.ReasonClaimMalformed
			}
			return ""
		},
		Expected: func(*attempt) string { return "sub, client_id, jti and aud as strings, exp and iat as numbers" },
		Presented: func(s *attempt) string {
			return fmt.Sprintf("sub %s, client_id %s, jti %s, aud %s, exp %s, iat %s", shown(s.said.subject), shown(s.said.about.ClientID),
				shown(s.said.about.ID), listed(s.said.audience), stamp(s.said.expires), stamp(s.said.about.IssuedAt))
		},
	},
	{
		// No leeway: it is our own clock that gave the token its end, or that of a
		// node beside us.
		ID: "GL-12", Source: "RFC 9068 4; RFC 7519 4.1.4, 4.1.5", What: "the token is valid now", Needs: factGenuine,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.now.Before(s.said.expires) {
				return oauth.ReasonExpired
			}
			if s.said.early && s.said.notBefore.After(s.now.Add(ahead)) {
				return oauth.ReasonNotYetValid
			}
			return ""
		},
		Expected: func(s *attempt) string {
			return "exp after " + stamp(s.now) + ", nbf not after " + stamp(s.now.Add(ahead))
		},
		Presented: func(s *attempt) string {
			return "exp " + stamp(s.said.expires) + ", nbf " + stamp(s.said.notBefore)
		},
	},
}

// asked are the demands on a token that a client asks about.
var asked = []judge.Rule[*attempt]{
	{
		ID: "IN-2", Source: "RFC 7662 2.2, 4", What: "the token is for a resource that the client introspects", Needs: factGenuine,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !slices.ContainsFunc(s.said.audience, func(a string) bool { return slices.Contains(s.may, a) }) {
				return oauth.ReasonTokenNotYours
			}
			s.Facts |= factYours
			return ""
		},
		Expected:  func(s *attempt) string { return "aud one of " + listed(s.may) },
		Presented: func(s *attempt) string { return "aud " + listed(s.said.audience) },
	},
	notRevoked,
	notBlocked,
	{
		ID: "RV-3", Source: "RFC 7009 2.1", What: "the grant that the token was issued under is in force", Needs: factYours,
		Judge: func(ctx context.Context, s *attempt) oauth.Reason {
			if s.said.grant == "" {
				return ""
			}
			g, err := s.in.config.Grants.ByID(ctx, s.said.grant)
			switch {
			case errors.Is(err, authorization.ErrNotFound): // it is kept as long as a token of it can live
				return oauth.ReasonGrantRevoked
			case err != nil:
				return s.unknown(err)
			case g.Revoked:
				return oauth.ReasonGrantRevoked
			}
			return ""
		},
		Expected:  func(*attempt) string { return "a grant in force" },
		Presented: func(s *attempt) string { return "grant " + shown(s.said.grant) },
	},
}

// owned are the demands on a token that a client wants revoked.
var owned = []judge.Rule[*attempt]{
	{
		ID: "RV-1", Source: "RFC 7009 2.1", What: "the token was issued to the client", Needs: factGenuine,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.said.about.ClientID != s.asks {
				return oauth.ReasonTokenNotYours
			}
			s.Facts |= factYours
			return ""
		},
		Expected:  func(s *attempt) string { return "a token of client " + oauth.Shown(s.asks) },
		Presented: func(s *attempt) string { return "one of client " + shown(s.said.about.ClientID) },
	},
}

var notRevoked = judge.Rule[*attempt]{
	ID: "RV-4", Source: "RFC 7009 2.1; RFC 7662 2.2", What: "neither the token nor what it belongs to was revoked", Needs: factYours,
	Judge: func(ctx context.Context, s *attempt) oauth.Reason {
		entry, revoked, err := s.in.config.Revocations.Revoked(ctx, s.about())
		if err != nil {
			return s.unknown(err)
		}
		if revoked {
			s.why = string(entry.Kind) + " " + oauth.Shown(entry.Value) + " revoked " + stamp(entry.Before)
			return oauth.ReasonTokenRevoked
		}
		return ""
	},
	Expected: func(*attempt) string { return "nothing revoked that the token belongs to" },
	Presented: func(s *attempt) string {
		if s.why == "" {
			return "jti " + shown(s.about().ID)
		}
		return s.why
	},
}

var notBlocked = judge.Rule[*attempt]{
	ID: "RU-8", Source: "WUC 3.1.2, 3.5.1", What: "neither the client nor its workload is blocked", Needs: factYours,
	Judge: func(_ context.Context, s *attempt) oauth.Reason {
		about := s.about()
		if s.in.config.Blocked(about.ClientID, spiffeid.ID{}) {
			return oauth.ReasonClientBlocked
		}
		for _, id := range about.SPIFFEIDs {
			if s.in.config.Blocked(about.ClientID, id) {
				return oauth.ReasonClientBlocked
			}
		}
		return ""
	},
	Expected:  func(*attempt) string { return "a client and a SPIFFE ID that nobody blocked" },
	Presented: func(s *attempt) string { return "client " + shown(s.about().ClientID) + ", jti " + shown(s.about().ID) },
}

func shown(s string) string {
	if s == "" {
		return "none"
	}
	return oauth.Shown(s)
}

func listed(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return oauth.Shown(strings.Join(all, " "))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format(time.RFC3339)
}
