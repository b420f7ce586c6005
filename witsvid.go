package svidgate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// witState is one WIT-SVID with its proof while they are judged.
type witState struct {
	judgement
	in    WITPresentation
	token *jose.Compact
	alg   jose.Algorithm

	unreadable error // why there is no token
	kid        string
	key        bundle.Key        // of the trust domain
	digest     [sha256.Size]byte // of the WIT-SVID, from CW-3 on
	expiry     time.Time
	profile    Profile

	jwk    jose.JWK // cnf.jwk
	holder holder   // from WS-13 on

	proof           *jose.Compact
	unreadableProof error
	jti             string
	made            time.Time // iat of the proof
}

func newWITState(v *Verifier, in WITPresentation) *witState {
	s := &witState{judgement: newJudgement(v), in: in}
	if in.ProofUntold {
		s.Unknown |= factProof | factProofShown | factProofRead
	} else {
		s.Facts |= factProof
	}
	if in.ClientIDUntold {
		s.Unknown |= factClientID
	} else {
		s.Facts |= factClientID
	}
	return s
}

func (s *witState) identity() Identity {
	sequence, sequenced := s.snapshot.Sequence()
	jti, _ := s.claim("jti").Text()
	return Identity{
		id: s.id, method: oauth.MethodWIT, expiresAt: s.expiry,
		digest: s.digest, keyID: s.key.ID, tokenID: oauth.Shown(jti), sequence: sequence, sequenced: sequenced,
		thumbprint: s.holder.thumbprint, remembered: s.remembered,
		proof: s.proofMark(), proofMade: s.made, proofUntil: s.made.Add(ProofWindow + time.Second), // it is good to its last instant
	}
}

// proofMark names the proof by the key that made it and its jti (PP-8): a WIT-SVID
// may be held by several, and its own jti counts nothing (WS-15).
func (s *witState) proofMark() [sha256.Size]byte {
	return sha256.Sum256(append(s.holder.thumbprint[:], s.jti...)) // append copies: the array is full
}

func (s *witState) claim(name string) strictjson.Value {
	v, _ := s.token.Payload.Get(name)
	return v
}

func (s *witState) header(name string) string {
	v, _ := s.token.Header.Get(name)
	return shown(v)
}

// witRules are WIT-SVID validation and then the proof's, in the order of CA-16:
// shape, identifier, trust domain, signature, the holder's key, time, proof.
var witRules = slices.Concat(
	witShapeRules,
	idRules[*witState](strictid.PathRule, witSubReason),
	witClaimRules,
	witMethodRules,
	bundleRules[*witState](bundle.UseWIT),
	witKeyRules,
	witHolderRules,
	witTimeRules,
	proofShapeRules,
	proofClaimRules,
)

// witSubReason is what any broken rule on the identifier means for sub.
func witSubReason(string) oauth.Reason {
	//svidgate:rule WS-6
	return oauth.ReasonSubNotSPIFFEID
}

var witShapeRules = []judge.Rule[*witState]{
	{
		ID: "PP-14", Source: "client-authentication 5.1", What: "neither the WIT-SVID nor its proof is too large",
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.tooLarge() {
				return oauth.ReasonAssertionTooLarge
			}
			return ""
		},
		Expected: func(*witState) string { return fmt.Sprintf("at most %d bytes each", oauth.MaxAttestation) },
		Presented: func(s *witState) string {
			return fmt.Sprintf("%d and %d bytes", len(s.in.Attestation), len(s.in.Proof))
		},
	},
	{
		ID: "WS-1", Source: "WIT-SVID 1", What: "the WIT-SVID is one compact JWS",
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.tooLarge() { // explain comes here all the same
				return oauth.ReasonAssertionMalformed
			}
			if s.token, s.unreadable = jose.ParseCompact(s.in.Attestation); s.unreadable == nil {
				s.Facts |= factParsed
			}
			if errors.Is(s.unreadable, jose.ErrNotCompact) {
				return oauth.ReasonAssertionMalformed
			}
			return "" // what else is wrong, GL-11 refuses
		},
		Expected: func(*witState) string { return "header.payload.signature in base64url without padding" },
		Presented: func(s *witState) string {
			return fmt.Sprintf("%d parts", strings.Count(s.in.Attestation, ".")+1)
		},
	},
	{
		ID: "GL-11", Source: "RFC 7515 4, 5.2; RFC 7519 4", What: "header and payload are strict JSON objects",
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.token == nil {
				s.Cause = s.unreadable
				return oauth.ReasonAssertionMalformed
			}
			return ""
		},
		Expected: func(*witState) string { return "two JSON objects in UTF-8, no member twice" },
		Presented: func(s *witState) string {
			if s.token == nil {
				return "something else"
			}
			return "two JSON objects"
		},
	},
	{
		ID: "WS-3", Source: "WIT-SVID 2.3", What: "the algorithm is one of the nine", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			alg, _, _ := s.token.Text("alg")
			if !slices.Contains(jose.SVIDAlgorithms, jose.Algorithm(alg)) {
				return oauth.ReasonAlgNotAllowed
			}
			s.alg = jose.Algorithm(alg)
			return ""
		},
		Expected:  func(*witState) string { return nineAlgorithms },
		Presented: func(s *witState) string { return s.header("alg") },
	},
	{
		ID: "WS-2", Source: "WIT-SVID 2.2", What: "typ is wit+jwt", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			// Another attestation is another method (CW-4).
			if typ, _, _ := s.token.Text("typ"); typ != oauth.TypeWIT {
				return oauth.ReasonWrongTokenType
			}
			return ""
		},
		Expected:  func(*witState) string { return oauth.TypeWIT },
		Presented: func(s *witState) string { return s.header("typ") },
	},
	{
		ID: "WS-5", Source: "WIT-SVID 2.4", What: "the header asks for no extension", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if _, ok := s.token.Header.Get("crit"); ok {
				return oauth.ReasonHeaderNotAllowed
			}
			return ""
		},
		Expected:  func(*witState) string { return "no crit" },
		Presented: func(s *witState) string { return "crit " + s.header("crit") },
	},
	{
		ID: "WS-4", Source: "WIT-SVID 2.1", What: "there is a kid", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			kid, present, ok := s.token.Text("kid")
			switch {
			case present && !ok:
				return oauth.ReasonAssertionMalformed
			case kid == "":
				return oauth.ReasonKIDMissing
			}
			s.kid = kid
			s.Facts |= factKeyID
			return ""
		},
		Expected:  func(*witState) string { return "a kid" },
		Presented: func(s *witState) string { return s.header("kid") },
	},
	{
		ID: "WS-6", Source: "WIT-SVID 3.1", What: "sub is there", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			text, ok := s.claim("sub").Text()
			if !ok || text == "" {
				return oauth.ReasonSubNotSPIFFEID
			}
			s.idText = text
			s.Facts |= factIDText
			return ""
		},
		Expected:  func(*witState) string { return "one SPIFFE ID" },
		Presented: func(s *witState) string { return shown(s.claim("sub")) },
	},
}

// nineAlgorithms are those of JS-2 in words.
const nineAlgorithms = "RS, ES or PS with 256, 384 or 512"

func (s *witState) tooLarge() bool {
	return len(s.in.Attestation) > oauth.MaxAttestation || len(s.in.Proof) > oauth.MaxAttestation
}

var witClaimRules = []judge.Rule[*witState]{
	{
		ID: "WS-11", Source: "WIT-SVID 3.8", What: "there is no aud", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.claim("aud") != "" {
				return oauth.ReasonAudForbidden
			}
			return ""
		},
		Expected:  func(*witState) string { return "no aud: that is the proof's" },
		Presented: func(s *witState) string { return shown(s.claim("aud")) },
	},
	{
		ID: "EC-9", Source: "WIT-SVID 3.4", What: "exp is there", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			v := s.claim("exp")
			if v == "" {
				return oauth.ReasonExpMissing
			}
			expiry, ok := v.NumericDate()
			if !ok {
				return oauth.ReasonClaimMalformed
			}
			s.expiry = expiry
			s.Facts |= factExpiry
			return ""
		},
		Expected:  func(*witState) string { return "a number of seconds" },
		Presented: func(s *witState) string { return shown(s.claim("exp")) },
	},
	{
		// iat does not bound the beginning, but it is a number.
		ID: "WS-9", Source: "WIT-SVID 3.5, 3.6", What: "nbf and iat, if there, are numbers", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			for _, name := range []string{"nbf", "iat"} {
				if v := s.claim(name); v != "" {
					if _, ok := v.NumericDate(); !ok {
						return oauth.ReasonClaimMalformed
					}
				}
			}
			return ""
		},
		Expected: func(*witState) string { return "numbers of seconds" },
		Presented: func(s *witState) string {
			return "nbf " + shown(s.claim("nbf")) + ", iat " + shown(s.claim("iat"))
		},
	},
}

var witMethodRules = []judge.Rule[*witState]{{
	ID: "CA-3", Source: "client-authentication 15.2", What: "the trust domain and the profile let WIT-SVIDs authenticate", Needs: factID,
	Judge: func(_ context.Context, s *witState) oauth.Reason {
		s.profile = s.profileInForce(s.in.Profile)
		if s.settings.NoWIT || !s.profile.AllowsWIT() {
			return oauth.ReasonMethodNotAllowed
		}
		return ""
	},
	Expected: func(s *witState) string {
		if s.settings.NoWIT {
			return "another method: enable_wit is false for " + s.id.TrustDomain().Name()
		}
		return "a method of profile " + string(s.profile)
	},
	Presented: func(*witState) string { return string(oauth.MethodWIT) },
}}

var witKeyRules = []judge.Rule[*witState]{
	{
		ID: "WS-14", Source: "WIT-SVID 6.2", What: "the bundle has the key for WIT-SVIDs, if need be after one fetch", Needs: factKeyID | factBundle,
		Judge: func(ctx context.Context, s *witState) oauth.Reason {
			if s.findKey() {
				return ""
			}
			// An entry of another use is named, and never used.
			if _, ok := s.snapshot.Key(bundle.UseJWT, s.kid); ok {
				return oauth.ReasonKeyWrongUse
			}
			if s.fetchAgain(ctx) && s.findKey() {
				return ""
			}
			if s.refreshed {
				return oauth.ReasonKIDUnknownAfterRefresh
			}
			return oauth.ReasonKIDUnknown
		},
		Expected: func(s *witState) string {
			if s.snapshot == nil { // explain asks even when no bundle was found
				return "the kid of a key in the bundle"
			}
			var ids []string
			for _, k := range s.snapshot.Keys(bundle.UseWIT) {
				ids = append(ids, k.ID)
			}
			return oauth.Shown("one of " + strings.Join(ids, ", "))
		},
		Presented: func(s *witState) string { return s.header("kid") },
	},
	{
		ID: "GL-9", Source: "RFC 7518 3.3, 3.4; RFC 8725", What: "the key fits the algorithm", Needs: factParsed | factKey,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.Cause = fits(s.alg, s.key); s.Cause == nil {
				return ""
			}
			if errors.Is(s.Cause, jose.ErrKeyTooWeak) {
				return oauth.ReasonKeyTooWeak
			}
			return oauth.ReasonAlgNotAllowed
		},
		Expected: func(s *witState) string {
			return "an algorithm for " + jose.KeyType(s.key.Public) + " " + s.key.Algorithm
		},
		Presented: func(s *witState) string { return s.header("alg") },
	},
	{
		ID: "CW-3", Source: "WIT-SVID 6.2; draft section 3.3.1", What: "the signature is by the trust domain named in sub", Needs: factParsed | factKey,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.remembered = s.recallHolder(); !s.remembered {
				if s.Cause = s.token.Verify(s.alg, s.key.Public); s.Cause != nil {
					return oauth.ReasonSignatureBad
				}
			}
			s.Facts |= factSigned
			return ""
		},
		Expected: func(s *witState) string {
			return "a signature by key " + oauth.Shown(s.key.ID) + " of " + s.id.TrustDomain().Name()
		},
		Presented: func(s *witState) string { return fmt.Sprintf("%d bytes of signature", len(s.token.Signature)) },
	},
}

func (s *witState) findKey() bool {
	key, ok := s.snapshot.Key(bundle.UseWIT, s.kid)
	if ok {
		s.key = key
		s.Facts |= factKey
	}
	return ok
}

var witHolderRules = []judge.Rule[*witState]{
	{
		ID: "WS-12", Source: "WIT-SVID 3.2; RFC 7800 3.2", What: "cnf.jwk is the holder's public key", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.remembered {
				s.Facts |= factConfirmation
				return ""
			}
			cnf, err := s.claim("cnf").Object()
			if err != nil {
				return oauth.ReasonCnfMissing
			}
			raw, ok := cnf.Get("jwk")
			if !ok {
				return oauth.ReasonCnfMissing
			}
			if s.jwk, s.Cause = jose.ParseJWK([]byte(raw)); s.Cause != nil {
				return oauth.ReasonCnfMissing
			}
			s.Facts |= factConfirmation
			return ""
		},
		Expected: func(*witState) string { return "cnf with a public key in jwk" },
		Presented: func(s *witState) string {
			if s.Has(factConfirmation) {
				return "a public key"
			}
			cnf, err := s.claim("cnf").Object()
			if err != nil {
				return "cnf " + shown(s.claim("cnf"))
			}
			var names []string
			for _, m := range cnf {
				names = append(names, m.Name)
			}
			return oauth.Shown("cnf with " + strings.Join(names, ", "))
		},
	},
	{
		ID: "WS-13", Source: "WIT-SVID 3.2; WIMSE workload credentials", What: "cnf.jwk names one of the nine algorithms, and it fits the key", Needs: factConfirmation,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if s.remembered {
				s.Facts |= factHolder
				return ""
			}
			if !slices.Contains(jose.SVIDAlgorithms, s.jwk.Algorithm) {
				return oauth.ReasonAlgNotAllowed
			}
			if s.Cause = jose.Fits(s.jwk.Algorithm, s.jwk.Key); errors.Is(s.Cause, jose.ErrKeyTooWeak) {
				return oauth.ReasonKeyTooWeak
			} else if s.Cause != nil {
				return oauth.ReasonAlgNotAllowed
			}
			s.holder = holder{key: s.jwk.Key, alg: s.jwk.Algorithm}
			if s.holder.thumbprint, s.Cause = jose.ThumbprintSum(s.jwk.Key); s.Cause != nil {
				return oauth.ReasonInternal
			}
			s.Facts |= factHolder
			s.rememberHolder()
			return ""
		},
		Expected: func(s *witState) string {
			if s.jwk.Key == nil {
				return "alg in cnf.jwk"
			}
			return "alg for " + jose.KeyType(s.jwk.Key) + ": " + nineAlgorithms
		},
		Presented: func(s *witState) string {
			if s.Has(factHolder) {
				return string(s.holder.alg)
			}
			return "alg " + shownNone(string(s.jwk.Algorithm))
		},
	},
}

func shownNone(text string) string {
	if text == "" {
		return "none"
	}
	return oauth.Shown(text)
}

// maxWITLeeway is the most that is forgiven a WIT-SVID (WS-7).
const maxWITLeeway = 2 * time.Minute

func (s *witState) leeway() time.Duration { return min(s.settings.Leeway, maxWITLeeway) }

var witTimeRules = []judge.Rule[*witState]{
	{
		ID: "WS-7", Source: "WIT-SVID 3.4", What: "it has not expired", Needs: factExpiry,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if !s.now.Before(s.expiry.Add(s.leeway())) {
				return oauth.ReasonExpired
			}
			return ""
		},
		Expected:  func(s *witState) string { return "exp after " + stamp(s.now) + " less " + s.leeway().String() },
		Presented: func(s *witState) string { return stamp(s.expiry) + ", " + offset(s.now, s.expiry) },
	},
	{
		ID: "WS-8", Source: "WIT-SVID 3.5", What: "nbf is not in the future", Needs: factParsed,
		Judge: func(_ context.Context, s *witState) oauth.Reason {
			if t, ok := s.claim("nbf").NumericDate(); ok && t.After(s.now.Add(s.leeway())) {
				return oauth.ReasonNotYetValid
			}
			return ""
		},
		Expected: func(s *witState) string {
			return "nbf no later than " + stamp(s.now) + " plus " + s.leeway().String()
		},
		Presented: func(s *witState) string {
			if t, ok := s.claim("nbf").NumericDate(); ok {
				return "nbf " + stamp(t) + ", " + offset(s.now, t)
			}
			return "none"
		},
	},
}
