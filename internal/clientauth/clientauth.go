package clientauth

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

// An Authenticator authenticates clients.
type Authenticator struct {
	Verifier *svidgate.Verifier
	Clients  *registration.Registry
	// SingleUse are the trust domains whose JWT-SVIDs count once (CJ-13), and
	// Used remembers them.
	SingleUse map[spiffeid.TrustDomain]bool
	Used      *replay.Memory
	// Proofs remember the proofs of WIT-SVIDs; without them no WIT-SVID
	// authenticates. ProofsSince is the moment from which they remember all, zero
	// where they always do: a proof made before it may have been used (AK-10).
	Proofs      Proofs
	ProofsSince time.Time
	// Challenges are what a proof may have to repeat (PP-12); nil gives none. With
	// ChallengeRequired a proof without one is refused.
	Challenges        *challenge.Challenges
	ChallengeRequired bool
}

// A Caller is an authenticated client, a registered client and the identity that
// proved it, or a public client, which has none. Only Authenticate makes one; the
// zero value is nobody.
type Caller struct {
	client      registration.Client
	identity    svidgate.Identity
	certificate svidgate.Identity
	legacy      []string
	claim       registration.Claim
	admission   registration.Admission
}

// Authenticated reports whether Authenticate made the caller and proved its
// identity.
func (c Caller) Authenticated() bool { return c.client.Registered() && c.identity.Proven() }

// Public reports whether the caller is a public client: registered, and nobody
// knows who it is. Only what lets public clients in takes one.
func (c Caller) Public() bool { return c.client.Public() && !c.identity.Proven() }

// Client is the registered client.
func (c Caller) Client() registration.Client { return c.client }

// Identity is the concrete workload.
func (c Caller) Identity() svidgate.Identity { return c.identity }

// Key is the thumbprint of the key that was proven along with the identity, and that
// what is given to the caller is bound to (CW-8); empty without a WIT-SVID.
func (c Caller) Key() string {
	thumbprint, ok := c.identity.KeyThumbprint()
	if !ok {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(thumbprint[:])
}

// Admission says what first use made of the caller; the zero value is that of a
// client of the configuration. A caller that is not authenticated may have one, too.
func (c Caller) Admission() registration.Admission { return c.admission }

// Withdraw takes the caller's registration back, which its request made and nobody
// could record.
func (c Caller) Withdraw(ctx context.Context) error { return c.claim.Withdraw(ctx, c.admission) }

// Told says whether the line of the caller's registration was written.
func (c Caller) Told(written bool) { c.claim.Told(c.admission, written) }

// LegacyUse lists the ids of rules whose older form this request used, for the
// metric that tells when a stricter profile is safe.
func (c Caller) LegacyUse() []string { return c.legacy }

// Certificate is what a token can be bound to: the thumbprint of the certificate
// on the connection and the end of its validity. False without one. The
// certificate is an X.509-SVID of the very identity that authenticated.
func (c Caller) Certificate() (thumbprint [32]byte, notAfter time.Time, ok bool) {
	thumbprint, ok = c.certificate.CertificateThumbprint()
	return thumbprint, c.certificate.ExpiresAt(), ok
}

// Authenticate authenticates the client of a request, in the order of CA-16. The
// error is an *oauth.Error; method is told as far as it was found out. span hears
// when the identity is proven, and may be nil. The caller that comes with an error is
// not authenticated.
func (a *Authenticator) Authenticate(ctx context.Context, req *tokenrequest.Request, span *trace.Request) (caller Caller, method oauth.AuthMethod, err error) {
	claim, err := a.Clients.Claim(req)
	if err != nil {
		return Caller{}, claim.Method(), err
	}
	method = claim.Method()
	if client, public := claim.Public(); public {
		span.Stage(trace.Client)
		if err := claim.PublicBlocked(); err != nil {
			return Caller{}, method, err
		}
		return Caller{client: client}, method, nil
	}
	identity, err := a.verify(ctx, req, claim)
	if err != nil {
		return Caller{}, method, err
	}
	span.Stage(trace.Client)
	client, legacy, err := claim.Associate(identity)
	if err != nil {
		return Caller{}, method, withIdentity(err, identity)
	}
	caller = Caller{identity: identity, claim: claim}
	if legacy != "" {
		caller.legacy = append(caller.legacy, legacy)
	}
	if identity.LegacyAudience() {
		caller.legacy = append(caller.legacy, "CJ-7")
	}
	if caller.certificate, err = a.certificate(ctx, req, identity); err != nil {
		return Caller{}, method, withIdentity(err, identity)
	}
	if err := a.useOnce(ctx, identity); err != nil {
		return Caller{}, method, withIdentity(err, identity)
	}
	if err := a.useProof(ctx, identity); err != nil { // last: what refuses uses nothing up
		return Caller{}, method, withIdentity(err, identity)
	}
	// Nothing else stands against it: a client that registers on first use is one now.
	if caller.client, caller.admission, err = claim.Admit(ctx, client, identity); err != nil {
		return caller, method, withIdentity(err, identity)
	}
	return caller, method, nil
}

func (a *Authenticator) verify(ctx context.Context, req *tokenrequest.Request, claim registration.Claim) (svidgate.Identity, error) {
	switch claim.Method() {
	case oauth.MethodX509:
		return a.Verifier.VerifyX509SVID(ctx, req.Certificates())
	case oauth.MethodWIT:
		return a.Verifier.VerifyWITSVID(ctx, a.presentation(req.Attestation(), req.Proof(), req.ClientID(), claim.Profile))
	}
	return a.Verifier.VerifyJWTSVID(ctx, svidgate.JWTPresentation{
		Assertion:   req.Assertion(),
		EndpointURL: req.Endpoint().URL,
		Profile:     claim.Profile,
	})
}

// presentation is a WIT-SVID and its proof as they are judged here.
func (a *Authenticator) presentation(attestation, proof, clientID string, profile func(spiffeid.ID) svidgate.Profile) svidgate.WITPresentation {
	p := svidgate.WITPresentation{Attestation: attestation, Proof: proof, ClientID: clientID, Profile: profile}
	if a.Challenges != nil {
		p.Challenge, p.ChallengeRequired = a.Challenges.Current, a.ChallengeRequired
	}
	return p
}

// certificate judges the certificate that may bind tokens. Beside an assertion or
// a WIT-SVID it must be a whole X.509-SVID of the same workload, else the request mixes two
// identities (TK-3, MT-6, AK-25).
func (a *Authenticator) certificate(ctx context.Context, req *tokenrequest.Request, identity svidgate.Identity) (svidgate.Identity, error) {
	if identity.Method() == oauth.MethodX509 {
		return identity, nil
	}
	if len(req.Certificates()) == 0 {
		return svidgate.Identity{}, nil
	}
	certificate, err := a.Verifier.VerifyX509SVID(ctx, req.Certificates())
	if err != nil {
		e := *oauth.AsError(err)
		if e.Code == oauth.InvalidClient {
			e.Code = oauth.InvalidRequest
		}
		return svidgate.Identity{}, &e
	}
	if certificate.SPIFFEID() != identity.SPIFFEID() {
		return svidgate.Identity{}, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonMixedCredentials, "TK-3",
			"a certificate of "+identity.SPIFFEID().String(), "one of "+certificate.SPIFFEID().String())
	}
	return certificate, nil
}

// withSubject notes in a refusal which proven workload it is about.
func withSubject(err error, id spiffeid.ID) *oauth.Error {
	e := *oauth.AsError(err)
	e.Subject, e.SubjectProven = id.String(), true
	return &e
}

// withIdentity notes that, and by which SVID and which bundle it was proven (CA-14),
// also where another credential is what was refused.
func withIdentity(err error, i svidgate.Identity) *oauth.Error {
	e := withSubject(err, i.SPIFFEID())
	e.KeyID, e.TokenID = oauth.Shown(i.KeyID()), i.TokenID()
	e.BundleSequence, e.HasBundleSequence = i.BundleSequence()
	return e
}
