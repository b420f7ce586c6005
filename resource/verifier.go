package resource

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// MaxToken is the longest access token accepted, in bytes (GL-8).
const MaxToken = 16 << 10

// Verify judges the access token of a request, its binding to the certificate of
// the request's own TLS connection or to the key of the request's DPoP proof, and
// whether it has all these scopes.
//
// A proof is good for one request: the second Verify of a request with one refuses
// it (DP-3). Only a Require inside another of the same Verifier does not.
//
// The error is an *oauth.Error: invalid_token, invalid_dpop_proof, use_dpop_nonce,
// insufficient_scope, invalid_request for a malformed or doubled Authorization
// header, or oauth.Unavailable while the keys of the issuer are not at hand.
// Challenge, Status and Nonce make the answer of it.
//
// Not checked: the body, which may hold a second token; the chain of the client
// certificate (RS-4); revocation.
//
// A token that was accepted before is judged by the same rules; only its parts and
// its signature are not looked at again, as long as the key set of its issuer is
// the same (see Remembered).
func (v *Verifier) Verify(ctx context.Context, r *http.Request, scopes ...string) (Caller, error) {
	return v.requestAttempt(r, scopes).verify(ctx)
}

// VerifyToken is Verify where there is no HTTP request: peer is the certificate
// that the caller proved to own on this very connection, or nil. A token that is
// bound to a key is refused, since there is no request that a proof could be for.
func (v *Verifier) VerifyToken(ctx context.Context, token string, peer *x509.Certificate, scopes ...string) (Caller, error) {
	return v.tokenAttempt(token, peer, scopes).verify(ctx)
}

// Explain judges a request by every rule, for an operator to read. It takes
// nothing from memory and grants nothing; what it says must not go to the caller.
func (v *Verifier) Explain(ctx context.Context, r *http.Request, scopes ...string) oauth.Explanation {
	return v.requestAttempt(r, scopes).explain(ctx)
}

// ExplainToken is Explain for what VerifyToken judges.
func (v *Verifier) ExplainToken(ctx context.Context, token string, peer *x509.Certificate, scopes ...string) oauth.Explanation {
	return v.tokenAttempt(token, peer, scopes).explain(ctx)
}

// An attempt is what one caller presented while it is judged. It only grows.
type attempt struct {
	judge.Judgement
	v   *Verifier
	now time.Time

	r             *http.Request // nil without an HTTP request
	authorization []string
	query         string
	peers         []*x509.Certificate
	peer          [1]*x509.Certificate // of which peers is a slice, without a request
	scopes        []string             // demanded
	afresh        bool                 // nothing is taken from memory, and nothing put there

	dpop   bool // the scheme is DPoP
	token  string
	digest digest        // of the token
	jws    *jose.Compact // see compact
	said   *reading
	proven proof // of an earlier time, or zero

	alg        jose.Algorithm
	kid        string
	issuer     *issuer
	keys       *KeySet
	key        *verifyingKey
	signature  signature
	cnf        string      // x5t#S256, empty without one
	jkt        string      // empty without one; never both
	possession *possession // only of a token with jkt
	caller     Caller      // handed out only after the last rule
}

func (v *Verifier) requestAttempt(r *http.Request, scopes []string) *attempt {
	s := &attempt{v: v, now: v.now(), r: r, authorization: r.Header["Authorization"], scopes: scopes}
	if r.URL != nil {
		s.query = r.URL.RawQuery
	}
	if r.TLS != nil {
		s.peers = r.TLS.PeerCertificates
	}
	return s
}

func (v *Verifier) tokenAttempt(token string, peer *x509.Certificate, scopes []string) *attempt {
	s := &attempt{v: v, now: v.now(), token: token, scopes: scopes}
	if peer != nil {
		s.peer[0] = peer
		s.peers = s.peer[:]
	}
	return s
}

func (s *attempt) verify(ctx context.Context) (Caller, error) {
	refusal := judge.FirstRefusal(ctx, rules, s)
	s.count()
	if refusal != nil {
		return Caller{}, refusal
	}
	if s.signature == verified {
		s.remember()
	}
	return s.caller, nil
}

func (s *attempt) explain(ctx context.Context) oauth.Explanation {
	s.afresh = true
	return judge.Explain(ctx, rules, s)
}
