package resource

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// proofWindow is how old a proof may be, and proofAhead how far its iat may lie in
	// the future (DP-3, GL-12). For as long as that a verifier that has just begun
	// wants its nonce in a proof, since the one before it may have let it through.
	proofWindow = 60 * time.Second
	proofAhead  = 10 * time.Second
	// maxProof is the longest proof accepted, in bytes.
	maxProof = 8 << 10
	// DefaultProofs is how many proofs are remembered at once unless Config says
	// otherwise. Each is remembered for about a minute.
	DefaultProofs = 1 << 19
)

// dpopHeader is how net/http spells the name of the header.
var dpopHeader = http.CanonicalHeaderKey(oauth.HeaderDPoP)

// A possession is what shows that the caller holds the key that a token is bound
// to. Only a token that is bound to one has it.
type possession struct {
	jws   *jose.Compact
	alg   jose.Algorithm
	key   jose.JWK
	id    string // jti
	htm   string
	htu   string
	nonce string
	made  time.Time // iat
	fault string    // what is wrong with it, for an operator
	mark  digest    // of the key and jti, by which it is remembered
	full  bool      // there was no room to remember it
	share bool      // there was none for this caller
}

// possessionRules hold a token that is bound to a key to a proof made with that
// key for this very request (RFC 9449 sections 4.3 and 7). For any other token they
// pass.
var possessionRules = []judge.Rule[*attempt]{
	{
		// A thief who could send such a token as Bearer would need no key (AK-27).
		ID: "DP-5", Source: "RFC 9449 7.1, 7.2", What: "the scheme is DPoP where the token is bound to a key, and only there", Needs: factCnf,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			switch {
			case s.jkt != "" && !s.dpop:
				return oauth.ReasonPoPMissing
			case s.jkt != "" && len(s.v.origins) == 0:
				return oauth.ReasonCnfMismatch
			case s.jkt == "" && s.dpop:
				return oauth.ReasonCnfMismatch
			}
			s.Facts |= factScheme
			return ""
		},
		Expected: func(s *attempt) string {
			switch {
			case s.jkt == "":
				return "another scheme than DPoP, the token is not bound to a key"
			case len(s.v.origins) == 0:
				return "a token that is not bound to a key, since no origin of this API is configured"
			}
			return "scheme DPoP, the token is bound to a key"
		},
		Presented: func(s *attempt) string {
			switch {
			case s.r == nil:
				return "a token without a request"
			case s.dpop:
				return "scheme DPoP"
			}
			return "scheme Bearer"
		},
	},
	{
		ID: "DP-1", Source: "RFC 9449 4.2, 4.3", What: "one DPoP header holds one proof, made for this token", Needs: factScheme,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.jkt == "" {
				return ""
			}
			s.possession = new(possession)
			values := s.r.Header[dpopHeader]
			if len(values) == 0 {
				s.possession.fault = "no DPoP header"
				return oauth.ReasonPoPMissing
			}
			if s.possession.fault = s.readProof(values); s.possession.fault != "" {
				return oauth.ReasonDPoPBad
			}
			s.Facts |= factProof
			return ""
		},
		Expected: func(s *attempt) string {
			if s.Has(factScheme) && s.jkt == "" {
				return "nothing, the token is not bound to a key"
			}
			return "one DPoP header: a JWT of typ " + oauth.TypeDPoP + " with an asymmetric alg, a public jwk, jti, htm, htu, iat and the token's ath"
		},
		Presented: func(s *attempt) string {
			switch {
			case s.possession == nil:
				return "not looked at"
			case s.possession.fault != "":
				return s.possession.fault
			}
			return "such a proof"
		},
	},
	{
		ID: "DP-4", Source: "RFC 9449 4.3, 6.1", What: "the proof is by the key that the token is bound to", Needs: factScheme,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.Has(factProof) {
				return s.withoutProof()
			}
			if subtle.ConstantTimeCompare([]byte(s.proofKey()), []byte(s.jkt)) != 1 {
				return oauth.ReasonCnfMismatch
			}
			if err := s.possession.jws.Verify(s.possession.alg, s.possession.key.Key); err != nil {
				s.Cause = err
				return oauth.ReasonDPoPBad
			}
			return ""
		},
		Expected: func(s *attempt) string {
			if s.jkt == "" {
				return "nothing, the token is not bound to a key"
			}
			return "a signature by the key with jkt " + oauth.Shown(s.jkt)
		},
		Presented: func(s *attempt) string {
			if !s.Has(factProof) {
				return "no proof"
			}
			return "one by " + string(s.possession.alg) + " and the key with jkt " + s.proofKey()
		},
	},
	{
		ID: "DP-2", Source: "RFC 9449 4.3", What: "the proof was made for this method and this target", Needs: factScheme,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.Has(factProof) {
				return s.withoutProof()
			}
			if s.possession.htm != s.method() || !s.v.isTarget(s.possession.htu, s.path()) {
				return oauth.ReasonDPoPBad
			}
			return ""
		},
		Expected: func(s *attempt) string {
			if s.jkt == "" {
				return "nothing, the token is not bound to a key"
			}
			// The configured origin, never the Host header (PX-7).
			return "htm " + oauth.Shown(s.method()) + ", htu " + oauth.Shown(strings.Join(s.v.origins, s.path()+" or ")+s.path())
		},
		Presented: func(s *attempt) string {
			if !s.Has(factProof) {
				return "no proof"
			}
			return "htm " + oauth.Shown(s.possession.htm) + ", htu " + oauth.Shown(s.possession.htu)
		},
	},
}

// freshnessRules are the very last: a proof is used up only by a request that is
// let through.
var freshnessRules = []judge.Rule[*attempt]{
	{
		// A proof with our nonce was made since we began, so nobody before us can have let
		// it through. Where nothing was forgotten, a nonce, ours or not, changes nothing.
		ID: "DP-6", Source: "RFC 9449 9, 11.1", What: "a proof that may have been used before this API began holds its nonce", Needs: factScheme,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.Has(factProof) {
				return s.withoutProof()
			}
			if s.fresh() && s.possession.made.Before(s.v.since) && !s.holdsNonce() {
				return oauth.ReasonDPoPNonce
			}
			return ""
		},
		Expected: func(s *attempt) string {
			if s.Has(factScheme) && s.jkt == "" {
				return "nothing, the token is not bound to a key"
			}
			return "a proof made at " + stamp(s.v.since) + " or later, or one with the nonce of this API"
		},
		Presented: func(s *attempt) string {
			switch {
			case !s.Has(factProof):
				return "no proof"
			case s.holdsNonce():
				return "iat " + stamp(s.possession.made) + ", with the nonce"
			}
			return "iat " + stamp(s.possession.made) + ", without the nonce"
		},
	},
	{
		ID: "DP-3", Source: "RFC 9449 4.3, 11.1", What: "the proof is fresh and was not used before", Needs: factScheme,
		Judge: func(ctx context.Context, s *attempt) oauth.Reason {
			if !s.Has(factProof) {
				return s.withoutProof()
			}
			if !s.fresh() {
				return oauth.ReasonDPoPBad
			}
			return s.use(ctx)
		},
		Expected: func(s *attempt) string {
			switch {
			case s.jkt == "":
				return "nothing, the token is not bound to a key"
			case s.possession != nil && s.possession.share:
				return "no more proofs of one caller at once than are remembered for it"
			case s.possession != nil && s.possession.full:
				return "room to remember the proof"
			case !s.Has(factProof):
				return "a fresh proof not used before"
			}
			return fmt.Sprintf("a proof not used before, made between %s and %s (it is %s here)",
				stamp(s.now.Add(-proofWindow)), stamp(s.now.Add(proofAhead)), stamp(s.now))
		},
		Presented: func(s *attempt) string {
			switch {
			case !s.Has(factProof):
				return "no proof"
			case s.possession.share:
				return "another of " + shown(s.claim("sub"))
			case s.possession.full:
				return "none"
			}
			return "one made at " + stamp(s.possession.made)
		},
	},
}

func (s *attempt) fresh() bool {
	d := s.now.Sub(s.possession.made)
	return d <= proofWindow && d >= -proofAhead
}

func (s *attempt) holdsNonce() bool {
	return subtle.ConstantTimeCompare([]byte(s.possession.nonce), []byte(s.v.nonce)) == 1
}

// withoutProof is what the rules about a proof say where there is none: nothing
// where none is needed, and where one is DP-1 has refused.
func (s *attempt) withoutProof() oauth.Reason {
	if s.jkt == "" {
		return ""
	}
	return oauth.ReasonPoPMissing
}

// readProof takes the proof apart and returns what is wrong with its form, or "".
func (s *attempt) readProof(values []string) string {
	p := s.possession
	if len(values) != 1 {
		return fmt.Sprintf("%d DPoP headers", len(values))
	}
	if len(values[0]) > maxProof {
		return fmt.Sprintf("a proof of %d bytes, at most %d are read", len(values[0]), maxProof)
	}
	jws, err := jose.ParseCompact(values[0])
	if err != nil {
		s.Cause = err
		return "no compact JWS of strict JSON"
	}
	if typ, _, _ := jws.Text("typ"); !isType(typ, oauth.TypeDPoP) {
		return "typ " + oauth.Shown(typ)
	}
	name, _, _ := jws.Text("alg")
	if p.alg = jose.Algorithm(name); !slices.Contains(algorithms, p.alg) {
		return "alg " + oauth.Shown(name)
	}
	if _, there := jws.Header.Get("crit"); there {
		return "crit"
	}
	jwk, there := jws.Header.Get("jwk")
	if !there {
		return "no jwk"
	}
	if p.key, err = jose.ParseJWK([]byte(jwk)); err != nil {
		s.Cause = err
		return "a jwk that is no public key"
	}
	if p.key.Algorithm != "" && p.key.Algorithm != p.alg {
		return "a jwk with another alg than the header"
	}
	if err := jose.Fits(p.alg, p.key.Key); err != nil {
		s.Cause = err
		return "a jwk that does not go with the alg"
	}
	for _, c := range [...]struct {
		name string
		into *string
	}{{"jti", &p.id}, {"htm", &p.htm}, {"htu", &p.htu}} {
		v, _ := jws.Payload.Get(c.name)
		if *c.into, _ = v.Text(); *c.into == "" {
			return c.name + " is missing or no text"
		}
	}
	nonce, _ := jws.Payload.Get("nonce")
	p.nonce, _ = nonce.Text() // what is no text is none
	var ok bool
	if p.made, ok = date(jws.Payload, "iat"); !ok {
		return "iat is missing or no number"
	}
	// Neither is defined for a proof; a proof that has one means it.
	if _, there := jws.Payload.Get("exp"); there {
		if exp, ok := date(jws.Payload, "exp"); !ok || !s.now.Before(exp) {
			return "exp is past or no number"
		}
	}
	if _, there := jws.Payload.Get("nbf"); there {
		if nbf, ok := date(jws.Payload, "nbf"); !ok || nbf.After(s.now.Add(proofWindow)) {
			return "nbf is in the future or no number"
		}
	}
	ath, _ := jws.Payload.Get("ath")
	said, _ := ath.Text()
	sum := sha256.Sum256([]byte(s.token))
	var want [43]byte
	base64.RawURLEncoding.Encode(want[:], sum[:])
	if subtle.ConstantTimeCompare([]byte(said), want[:]) != 1 {
		return "ath is missing or of another token"
	}
	p.jws = jws
	return ""
}

func date(m strictjson.Members, name string) (time.Time, bool) {
	v, _ := m.Get(name)
	return v.NumericDate()
}

// proofKey is the thumbprint of the key in the proof (RFC 7638).
func (s *attempt) proofKey() string {
	thumbprint, err := jose.Thumbprint(s.possession.key.Key)
	if err != nil {
		return ""
	}
	return thumbprint
}

// use marks the proof as used, and refuses the second use. Of any number of calls
// at the same time with one proof exactly one gets through.
func (s *attempt) use(ctx context.Context) oauth.Reason {
	s.possession.mark = sha256.Sum256([]byte(s.jkt + "\x00" + s.possession.id))
	if s.afresh {
		if s.v.proofs.Used(s.possession.mark) {
			return oauth.ReasonPoPReplayed
		}
		return ""
	}
	// One Require inside another judges the same request twice.
	if seen, ok := ctx.Value(proofKey{}).(seenProof); ok && seen.by == s.v && seen.mark == s.possession.mark {
		return ""
	}
	// A second more than the window, as times are compared to the end of it.
	// The share is the caller's, not the key's: a workload can have any number of keys.
	unused, err := s.v.proofs.Use(s.caller.issuer+"\x00"+s.caller.subject, s.possession.mark, s.possession.made.Add(proofWindow+time.Second))
	switch {
	case errors.Is(err, replay.ErrShare):
		s.possession.share, s.Cause = true, err
		return oauth.ReasonRateLimited
	case err != nil:
		s.possession.full, s.Cause = true, err
		return oauth.ReasonInternal
	case !unused:
		return oauth.ReasonPoPReplayed
	}
	return ""
}

// A seenProof in a context says that this verifier has let the request of that
// context through with this proof.
type seenProof struct {
	by   *Verifier
	mark digest
}

type proofKey struct{}

// method is that of the request; without one it is GET, as in net/http.
func (s *attempt) method() string {
	if s.r == nil || s.r.Method == "" {
		return http.MethodGet
	}
	return s.r.Method
}

// path is that of the request as it was sent, before any handler cut something off
// it.
func (s *attempt) path() string {
	if s.r == nil {
		return "/"
	}
	path, _, _ := strings.Cut(s.r.RequestURI, "?")
	if scheme, rest, ok := strings.Cut(path, "://"); ok && !strings.Contains(scheme, "/") { // in absolute form
		_, rest, _ = strings.Cut(rest, "/")
		path = "/" + rest
	}
	if !strings.HasPrefix(path, "/") {
		path = ""
		if s.r.URL != nil {
			path = s.r.URL.EscapedPath()
		}
	}
	if path == "" {
		return "/"
	}
	return path
}
