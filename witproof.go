package svidgate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// ProofWindow is how far the iat of a WIT-SVID's proof may lie from the server's
// clock, either way (PP-7). Nothing changes it.
const ProofWindow = 60 * time.Second

func (s *witState) proofClaim(name string) strictjson.Value {
	v, _ := s.proof.Payload.Get(name)
	return v
}

func (s *witState) proofHeader(name string) string {
	v, _ := s.proof.Header.Get(name)
	return shown(v)
}

// proofShapeRules: it is a proof, and made with the key in the WIT-SVID.
var proofShapeRules = []judge.Rule[*witState]{
	{
		ID: "WS-17", Source: "WIT-SVID 4, 5, 7.1", What: "there is a proof that the sender holds the key", Needs: factProof,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.in.Proof == "" {
				return oauth.ReasonPoPMissing
			}
			s.Facts |= factProofShown
			return ""
		},
		Expected: func(*witState) string { return "a proof in " + oauth.HeaderClientAttestationPoP },
		Presented: func(s *witState) string {
			if s.in.Proof == "" {
				return "none"
			}
			return fmt.Sprintf("one of %d bytes", len(s.in.Proof))
		},
	},
	{
		ID: "PP-1", Source: "draft-ietf-oauth-attestation-based-client-auth 5.1", What: "the proof is one compact JWS of strict JSON", Needs: factProofShown,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.tooLarge() { // explain comes here all the same
				return oauth.ReasonPoPBad
			}
			if s.proof, s.unreadableProof = jose.ParseCompact(s.in.Proof); s.unreadableProof != nil {
				s.Cause = s.unreadableProof
				return oauth.ReasonPoPBad
			}
			s.Facts |= factProofRead
			return ""
		},
		Expected: func(*witState) string {
			return "header.payload.signature in base64url without padding, the first two JSON objects"
		},
		Presented: func(s *witState) string {
			if s.proof == nil {
				return "something else"
			}
			return "that"
		},
	},
	{
		ID: "PP-2", Source: "draft-ietf-oauth-attestation-based-client-auth 5.1, 7.2", What: "the proof's typ and alg are those of a proof, and it asks for no extension", Needs: factProofRead,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			typ, _, _ := s.proof.Text("typ")
			alg, _, _ := s.proof.Text("alg")
			_, critical := s.proof.Header.Get("crit")
			if typ != oauth.TypeAttestationPoP || critical || !slices.Contains(jose.SVIDAlgorithms, jose.Algorithm(alg)) {
				return oauth.ReasonPoPBad
			}
			return ""
		},
		Expected: func(*witState) string {
			return "typ " + oauth.TypeAttestationPoP + ", alg " + nineAlgorithms + ", no crit"
		},
		Presented: func(s *witState) string {
			return "typ " + s.proofHeader("typ") + ", alg " + s.proofHeader("alg") + ", crit " + s.proofHeader("crit")
		},
	},
	{
		ID: "PP-3", Source: "WIMSE workload credentials", What: "the proof's alg is that of cnf.jwk", Needs: factProofRead | factHolder,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if alg, _, _ := s.proof.Text("alg"); alg != string(s.holder.alg) {
				return oauth.ReasonPoPBad
			}
			return ""
		},
		Expected:  func(s *witState) string { return "alg " + shownNone(string(s.holder.alg)) },
		Presented: func(s *witState) string { return "alg " + s.proofHeader("alg") },
	},
	{
		ID: "PP-4", Source: "draft-ietf-oauth-attestation-based-client-auth 5.1, 7.2", What: "the proof is signed with the key in the WIT-SVID", Needs: factProofRead | factHolder,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.Cause = s.proof.Verify(s.holder.alg, s.holder.key); s.Cause != nil {
				return oauth.ReasonPoPBad
			}
			return ""
		},
		Expected:  func(*witState) string { return "a signature by the key in cnf.jwk" },
		Presented: func(s *witState) string { return fmt.Sprintf("%d bytes of signature", len(s.proof.Signature)) },
	},
}

// proofClaimRules: it was made now, for this server.
var proofClaimRules = []judge.Rule[*witState]{
	{
		ID: "PP-7", Source: "draft-ietf-oauth-attestation-based-client-auth 5.1, 7.2", What: "the proof was made now", Needs: factProofRead,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			made, ok := s.proofClaim("iat").NumericDate()
			if !ok || s.now.Sub(made).Abs() > ProofWindow {
				return oauth.ReasonPoPBad
			}
			s.made = made
			return ""
		},
		Expected: func(s *witState) string {
			return "iat within " + ProofWindow.String() + " of " + stamp(s.now)
		},
		Presented: func(s *witState) string {
			if made, ok := s.proofClaim("iat").NumericDate(); ok {
				return "iat " + stamp(made) + ", " + offset(s.now, made)
			}
			return "iat " + shown(s.proofClaim("iat"))
		},
	},
	{
		// Neither is defined for a proof; a proof that has one means it.
		ID: "PP-10", Source: "RFC 7519 4.1.4, 4.1.5", What: "the proof's exp, if there, has not passed, and its nbf has come", Needs: factProofRead,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if v := s.proofClaim("exp"); v != "" {
				if exp, ok := v.NumericDate(); !ok || !s.now.Before(exp) {
					return oauth.ReasonPoPBad
				}
			}
			if v := s.proofClaim("nbf"); v != "" {
				if nbf, ok := v.NumericDate(); !ok || nbf.After(s.now.Add(ProofWindow)) {
					return oauth.ReasonPoPBad
				}
			}
			return ""
		},
		Expected: func(s *witState) string {
			return "no exp, or one after " + stamp(s.now) + "; no nbf, or one within " + ProofWindow.String() + " of it"
		},
		Presented: func(s *witState) string {
			return "exp " + shown(s.proofClaim("exp")) + ", nbf " + shown(s.proofClaim("nbf"))
		},
	},
	{
		ID: "PP-5", Source: "draft-ietf-oauth-attestation-based-client-auth 5.1, 7.2", What: "the proof is for this server and no other", Needs: factProofRead,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			values, ok := s.proofClaim("aud").Audience()
			if !ok || len(values) != 1 || values[0] != s.v.issuer {
				return oauth.ReasonPoPBad
			}
			return ""
		},
		Expected:  func(s *witState) string { return "aud " + s.v.issuer },
		Presented: func(s *witState) string { return "aud " + shown(s.proofClaim("aud")) },
	},
	{
		ID: "PP-9", Source: "draft-ietf-oauth-attestation-based-client-auth-07; draft section 3.3.2", What: "the proof's iss, if there, is the SPIFFE ID or client_id", Needs: factProofRead | factIDText | factClientID,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			v := s.proofClaim("iss")
			if v == "" {
				return ""
			}
			if iss, ok := v.Text(); !ok || iss == "" || iss != s.idText && iss != s.in.ClientID {
				return oauth.ReasonPoPBad
			}
			return ""
		},
		Expected: func(s *witState) string {
			if s.in.ClientID == "" || s.in.ClientID == s.idText {
				return "no iss, or " + shownNone(s.idText)
			}
			return "no iss, or " + shownNone(s.idText) + ", or " + oauth.Shown(s.in.ClientID)
		},
		Presented: func(s *witState) string { return "iss " + shown(s.proofClaim("iss")) },
	},
	{
		ID: "PP-6", Source: "draft-ietf-oauth-attestation-based-client-auth 5.1", What: "the proof has a jti", Needs: factProofRead,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			jti, ok := s.proofClaim("jti").Text()
			if !ok || jti == "" {
				return oauth.ReasonPoPBad
			}
			s.jti = jti
			return ""
		},
		Expected:  func(*witState) string { return "a jti that is not empty" },
		Presented: func(s *witState) string { return "jti " + shown(s.proofClaim("jti")) },
	},
	{
		ID: "PP-12", Source: "draft-ietf-oauth-attestation-based-client-auth 6, 7.2", What: "the proof has a challenge of this server, where it gives them", Needs: factProofRead,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.in.Challenge == nil { // none was given, so it is a claim like any other (PP-11)
				return ""
			}
			v := s.proofClaim("challenge")
			if v == "" && !s.in.ChallengeRequired {
				return ""
			}
			if v == "" {
				return oauth.ReasonChallengeMissing
			}
			if challenge, ok := v.Text(); !ok || !s.in.Challenge(challenge) {
				return oauth.ReasonChallengeBad
			}
			return ""
		},
		Expected: func(s *witState) string {
			switch {
			case s.in.Challenge == nil:
				return "anything: this server gives no challenges"
			case s.in.ChallengeRequired:
				return "a challenge that this server gave lately"
			}
			return "no challenge, or one that this server gave lately"
		},
		Presented: func(s *witState) string {
			switch {
			case s.proofClaim("challenge") == "":
				return "none"
			case s.in.Challenge == nil:
				return "not looked at"
			}
			return shown(s.proofClaim("challenge"))
		},
	},
}
