package introspection

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// isRefreshToken looks whether the token is a refresh token of some grant. An access
// token has dots and a refresh token has none, so no hint is needed to tell them apart
// (IN-4). The error is the store's.
func (s *attempt) isRefreshToken(ctx context.Context) (found bool, err error) {
	if strings.Contains(s.token, ".") || len(s.token) > oauth.MaxJWT {
		return false, nil
	}
	s.refresh, s.live, err = s.in.config.Grants.ByRefreshToken(ctx, s.token)
	if errors.Is(err, authorization.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// theirs is the demand that a refresh token is shown by the client that it was issued
// to (IN-6, RV-1).
func theirs(id, source string) judge.Rule[*attempt] {
	return judge.Rule[*attempt]{
		ID: id, Source: source, What: "the refresh token was issued to the client",
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.refresh.ClientID != s.asks {
				return oauth.ReasonTokenNotYours
			}
			s.Facts |= factYours
			return ""
		},
		Expected:  func(s *attempt) string { return "a refresh token of client " + oauth.Shown(s.asks) },
		Presented: func(s *attempt) string { return "one of client " + shown(s.refresh.ClientID) },
	}
}

// usable is the demand that a refresh token would be accepted now.
var usable = judge.Rule[*attempt]{
	ID: "RT-6", Source: "RFC 9700 4.14.2", What: "the refresh token is the latest of a grant in force",
	Judge: func(_ context.Context, s *attempt) oauth.Reason {
		if !s.live {
			return oauth.ReasonGrantRevoked
		}
		return ""
	},
	Expected:  func(*attempt) string { return "the latest refresh token of a grant in force" },
	Presented: func(s *attempt) string { return "another one, or one that has ended, of grant " + shown(s.refresh.ID) },
}

var introspectingRefresh = []judge.Rule[*attempt]{theirs("IN-6", "RFC 7662 4"), usable, notRevoked, notBlocked}

// revokingRefresh asks first whose the token is, so that another client learns nothing
// of what became of it. One that its own client replaced, and of which the answer may
// have been lost, still ends the grant.
var revokingRefresh = []judge.Rule[*attempt]{
	theirs("RV-1", "RFC 7009 2.1"),
	{
		ID: "RV-2", Source: "RFC 7009 2.2", What: "the grant is in force",
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.refresh.Revoked {
				return oauth.ReasonGrantRevoked
			}
			return ""
		},
		Expected:  func(*attempt) string { return "a grant in force" },
		Presented: func(s *attempt) string { return "grant " + shown(s.refresh.ID) },
	},
}

// about is what a revocation may name of the token.
func (s *attempt) about() revocation.Token {
	if s.said != nil {
		return s.said.about
	}
	t := revocation.Token{ClientID: s.refresh.ClientID, IssuedAt: s.refresh.IssuedAt}
	if id, err := spiffeid.FromString(s.refresh.SPIFFEID); err == nil {
		t.SPIFFEIDs = []spiffeid.ID{id}
	}
	return t
}

// appendRefresh appends the answer about a refresh token. It has no token_type, which
// is of access tokens, and is for this server alone.
func (s *attempt) appendRefresh(b []byte) []byte {
	g := &s.refresh
	end := g.Refresh.ExpiresAt
	if g.Refresh.IdleAt.Before(end) {
		end = g.Refresh.IdleAt
	}
	b = strictjson.AppendText(append(b, `{"active":true,"client_id":`...), g.ClientID)
	if len(g.Scope) > 0 {
		b = strictjson.AppendText(append(b, `,"scope":`...), strings.Join(g.Scope, " "))
	}
	b = strconv.AppendInt(append(b, `,"exp":`...), end.Unix(), 10)
	b = strconv.AppendInt(append(b, `,"iat":`...), g.IssuedAt.Unix(), 10)
	b = strictjson.AppendText(append(b, `,"sub":`...), g.Subject.User)
	b = strictjson.AppendText(append(b, `,"iss":`...), s.in.config.Tokens.issuer)
	return append(b, '}')
}

// unknown refuses because it is not known what a token is worth (GL-15).
func (s *attempt) unknown(err error) oauth.Reason {
	if errors.Is(err, revocation.ErrStale) {
		err = errors.Join(store.ErrUnavailable, err)
	}
	s.broken = store.Refuse(err)
	return s.broken.Reason
}
