package svidgate

import (
	"cmp"
	"context"
	"slices"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// The facts that rules of this package establish for later ones.
const (
	factParsed       judge.Fact = 1 << iota // the credential was taken apart
	factIDText                              // there is one text that claims to be its SPIFFE ID
	factID                                  // that text is a SPIFFE ID
	factConfigured                          // its trust domain is configured
	factBundle                              // the trust domain's bundle is at hand
	factKey                                 // the verifying key is chosen
	factAudience                            // there is exactly one audience
	factExpiry                              // there is a readable exp
	factChain                               // a chain to an anchor was built
	factSigned                              // the signature is that key's
	factKeyID                               // the verifying key is named
	factConfirmation                        // a public key is in cnf
	factHolder                              // the holder's key is read, and its algorithm fits it
	factProof                               // it is known whether there is a proof
	factProofShown                          // there is one
	factProofRead                           // the proof was taken apart
	factClientID                            // client_id is known, or that there is none
)

// A state is what the rules of one method work on: one credential while it is
// judged.
type state interface {
	judge.State
	shared() *judgement
}

// Rules lists the rules of every method in the order in which they are judged.
func Rules() []oauth.RuleInfo {
	return slices.Concat(judge.Infos(oauth.MethodJWT, jwtRules), judge.Infos(oauth.MethodX509, x509Rules), judge.Infos(oauth.MethodWIT, witRules))
}

// explain walks the rules of a method to their end.
func explain[S state](ctx context.Context, method oauth.AuthMethod, rules []judge.Rule[S], s S) oauth.Explanation {
	e := judge.Explain(ctx, rules, s)
	e.Method = method
	if j := s.shared(); j.Has(factID) {
		e.Subject = j.id.String()
	}
	return e
}

// Refusal gives a reason its code. Every failure of a credential looks alike
// outside (ER-3, ER-4); only a trust domain that never was ready is the server's
// own affair, and one without the right challenge is told to fetch it.
func (j *judgement) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	code := oauth.InvalidClient
	switch reason {
	case oauth.ReasonTDNotReady:
		code = oauth.Unavailable
	case oauth.ReasonInternal:
		code = oauth.ServerError
	case oauth.ReasonChallengeMissing, oauth.ReasonChallengeBad:
		code = oauth.UseAttestationChallenge
	}
	e := oauth.Refuse(code, reason, rule, expected, presented)
	if j.Has(factID) {
		e.Subject = j.id.String()
	}
	if j.snapshot != nil {
		e.BundleSequence, e.HasBundleSequence = j.snapshot.Sequence()
	}
	return e
}

// The refusals of the methods name the credential as well, as far as it was read
// (CA-14).

func (s *jwtState) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	e := s.judgement.Refusal(reason, rule, expected, presented)
	e.KeyID, e.TokenID = namesOf(s.token, s.key)
	return e
}

func (s *witState) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	e := s.judgement.Refusal(reason, rule, expected, presented)
	e.KeyID, e.TokenID = namesOf(s.token, s.key)
	return e
}

func (s *x509State) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	e := s.judgement.Refusal(reason, rule, expected, presented)
	if s.leaf != nil {
		e.KeyID = oauth.Shown(serialOf(s.leaf))
	}
	return e
}

// namesOf are kid and jti of a token that was taken apart. A token without kid has that of
// the key that was found for it.
func namesOf(token *jose.Compact, key bundle.Key) (keyID, tokenID string) {
	if token == nil {
		return "", ""
	}
	kid, _, _ := token.Text("kid")
	v, _ := token.Payload.Get("jti")
	jti, _ := v.Text()
	return oauth.Shown(cmp.Or(kid, key.ID)), oauth.Shown(jti)
}
