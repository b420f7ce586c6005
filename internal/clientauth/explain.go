package clientauth

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/oauth"
)

// A Question is one credential and how it would be shown.
type Question struct {
	Assertion    string              // a JWT-SVID, or
	Attestation  string              // a WIT-SVID, with
	Proof        string              // its proof; empty is not told, or
	Certificates []*x509.Certificate // what a TLS peer would send, leaf first
	EndpointURL  string              // that would be called
	ClientID     string              // client_id; empty is none, or not told
	ClientIDSaid bool                // it is told whether there is a client_id
}

// Format keeps the credential out of whatever prints the question (AU-2).
func (q Question) Format(f fmt.State, _ rune) { io.WriteString(f, "a question about an SVID") }

// LogValue does the same for slog.
func (q Question) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(q)) }

func (q Question) method() oauth.AuthMethod {
	switch {
	case len(q.Certificates) > 0:
		return oauth.MethodX509
	case q.Attestation != "":
		return oauth.MethodWIT
	}
	return oauth.MethodJWT
}

// An Answer is what authenticating with the credential would come to now.
type Answer struct {
	oauth.Explanation
	Client registration.Client // whose it is, or would be; the zero value is unknown
	// ClientIDOpen says that client_id was not told and matters: the rules that need
	// it are not judged, and so an acceptance is one of the SVID alone.
	ClientIDOpen bool
}

// Explain judges every rule that Authenticate judges, in its order, and marks
// nothing as used. The refusal is the one that Authenticate would return. With
// Clients nil there is no rule about clients that could be judged, and with Used
// nil none about earlier use.
//
// Not judged: limits on rates, the grant, and what the client may have.
func (a *Authenticator) Explain(ctx context.Context, q Question) Answer {
	asked := registration.Asked{Method: q.method(), ClientID: q.ClientID, Said: q.ClientIDSaid}
	credential, proof := a.explainCredential(ctx, q, a.Clients.ProfileOf(asked))
	proven := credential.Refusal == nil
	// Where it is not proven, go on with what it claims, as the rules on an SVID do;
	// it is the zero ID where it claims none.
	id, _ := spiffeid.FromString(credential.Subject)
	if !id.IsZero() {
		asked = a.Clients.Settle(asked, id)
	}
	claim := a.Clients.ExplainClaim(ctx, asked)
	client, association := a.Clients.ExplainAssociation(ctx, asked, id)
	parts := []oauth.Explanation{claim, credential, association}
	switch asked.Method {
	case oauth.MethodJWT:
		parts = append(parts, a.explainUse(ctx, q.Assertion, id, proven))
	case oauth.MethodWIT:
		parts = append(parts, a.explainProofUse(ctx, proof))
	}

	answer := Answer{Client: client, ClientIDOpen: !asked.Said}
	answer.Method, answer.Subject = asked.Method, credential.Subject
	for i, part := range parts {
		answer.Findings = append(answer.Findings, part.Findings...)
		if answer.Refusal == nil && part.Refusal != nil {
			answer.Refusal = part.Refusal
			if i > 1 && proven { // behind the rules on the credential
				answer.Refusal = withSubject(part.Refusal, id)
			}
		}
	}
	if len(q.Assertion) > oauth.MaxJWT || max(len(q.Attestation), len(q.Proof)) > oauth.MaxAttestation { // refused before a client is looked for
		answer.Refusal = credential.Refusal
	}
	return answer
}

// explainCredential judges the SVID alone. No identity comes of it: nobody has
// shown that he holds a certificate's key. Of a WIT-SVID comes the use of its
// proof, the zero value unless all is proven and told.
func (a *Authenticator) explainCredential(ctx context.Context, q Question, profile func(spiffeid.ID) svidgate.Profile) (oauth.Explanation, svidgate.ProofUse) {
	switch q.method() {
	case oauth.MethodX509:
		return a.Verifier.ExplainX509SVID(ctx, q.Certificates), svidgate.ProofUse{}
	case oauth.MethodWIT:
		p := a.presentation(q.Attestation, q.Proof, q.ClientID, profile)
		p.ProofUntold, p.ClientIDUntold = q.Proof == "", !q.ClientIDSaid
		return a.Verifier.ExplainWITSVID(ctx, p)
	}
	return a.Verifier.ExplainJWTSVID(ctx, svidgate.JWTPresentation{Assertion: q.Assertion, EndpointURL: q.EndpointURL, Profile: profile}), svidgate.ProofUse{}
}

// Rules name all rules that a credential and its client are judged by, in the
// order of CA-16, those of an SVID by method.
func Rules() []oauth.RuleInfo {
	return slices.Concat(registration.ClaimRules(), svidgate.Rules(), registration.AssociationRules(), judge.Infos(oauth.MethodJWT, useRules), judge.Infos(oauth.MethodWIT, proofUseRules))
}
