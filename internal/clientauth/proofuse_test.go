package clientauth_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

var popReplayed = want{oauth.InvalidClient, oauth.ReasonPoPReplayed, "PP-8"}

func witSite(t testing.TB, limit int) *site {
	t.Helper()
	s := newSite(t, client(billing, oauth.MethodWIT), wildcard(t, "fleet", "spiffe://example.org/*", oauth.MethodWIT), client(orders, oauth.MethodJWT, oauth.MethodX509))
	s.auth.Proofs = replay.New(limit, s.Clock.Now)
	return s
}

func witRequest(t testing.TB, clientID, attestation, proof string, chain ...*x509.Certificate) *tokenrequest.Request {
	t.Helper()
	return testidentity.Request(t, testidentity.Certificate(clientID), chain, testidentity.Attested(attestation, proof)...)
}

// PP-8: a proof counts once, by whatever client; a WIT-SVID as often as it likes
// (WS-15). What is refused uses nothing up.
func TestProofUse(t *testing.T) {
	s := witSite(t, 1000)
	attestation, holder := s.WIT(t, billing)
	first, second, third := s.Proof(t, holder), s.Proof(t, holder), s.Proof(t, holder)
	other, otherHolder := s.WIT(t, orders)
	stale := s.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(-time.Second) })
	for _, step := range []struct {
		name, clientID, attestation, proof string
		chain                              []*x509.Certificate
		want                               want
	}{
		{"PP-8 first use", billing, attestation, first, nil, accepted},
		{"PP-8 second use", billing, attestation, first, nil, popReplayed},
		{"PP-8 as another client", "fleet", attestation, first, nil, popReplayed},
		{"PP-8 over a connection of the same workload", billing, attestation, first, s.Chain(t, billing), popReplayed},
		{"WS-15 the same WIT-SVID with another proof", billing, attestation, second, nil, accepted},
		{"CA-9 an SVID of another workload uses nothing up", billing, other, s.Proof(t, otherHolder), nil, want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CA-9"}},
		{"XS-22 nor does a certificate that is none", billing, attestation, third, stale, want{oauth.InvalidRequest, oauth.ReasonExpired, "XS-22"}},
		{"TK-3 nor one of another workload", billing, attestation, third, s.Chain(t, orders), want{oauth.InvalidRequest, oauth.ReasonMixedCredentials, "TK-3"}},
		{"CA-2 nor an unknown client", "nobody", attestation, third, nil, want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CA-2"}},
		{"PP-8 so the proof is still good", billing, attestation, third, nil, accepted},
		{"PP-8 once", billing, attestation, third, nil, popReplayed},
		{"CA-7 a client of other methods", orders, other, s.Proof(t, otherHolder), nil, want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CA-7"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			_, err := s.authenticate(t, witRequest(t, step.clientID, step.attestation, step.proof, step.chain...))
			check(t, err, step.want)
		})
	}
}

// F16: of any number of parallel uses of one proof exactly one succeeds.
func TestParallelProofs(t *testing.T) {
	s := witSite(t, 1000)
	attestation, holder := s.WIT(t, billing)
	proof := s.Proof(t, holder)
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		req := witRequest(t, billing, attestation, proof)
		wg.Go(func() {
			if _, _, err := s.auth.Authenticate(context.Background(), req, nil); err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, oauth.ReasonPoPReplayed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 1 {
		t.Errorf("F16 %d of 100 uses of one proof succeeded", accepted.Load())
	}
}

// PP-8: a proof is remembered for as long as its time would let it pass, at the
// edges of the window, and then forgotten.
func TestProofsAreRememberedForTheWindow(t *testing.T) {
	for _, made := range []time.Duration{-60 * time.Second, 0, 60 * time.Second} {
		s := witSite(t, 64) // one a part
		attestation, holder := s.WIT(t, billing)
		proof := s.Proof(t, holder, func(_, c map[string]any) { c["iat"] = testidentity.Noon.Add(made).Unix() })
		if _, err := s.authenticate(t, witRequest(t, billing, attestation, proof)); err != nil {
			t.Fatal(err)
		}
		for s.Clock.Now().Before(testidentity.Noon.Add(made + 60*time.Second)) {
			s.Clock.Advance(5 * time.Second)
			_, err := s.authenticate(t, witRequest(t, billing, attestation, proof))
			check(t, err, popReplayed)
		}
		s.Clock.Advance(time.Second)
		_, err := s.authenticate(t, witRequest(t, billing, attestation, proof))
		check(t, err, want{oauth.InvalidClient, oauth.ReasonPoPBad, "PP-7"})
	}
}

// GL-15: without room to remember a proof it is not accepted; and a jti of any
// length takes the same room.
func TestFullMemoryOfProofs(t *testing.T) {
	s := witSite(t, 64)
	var attestation string
	var holder crypto.Signer
	full := 0
	for i := range 200 {
		if i%5 == 0 { // none comes to its share
			id := "spiffe://example.org/" + strconv.Itoa(i)
			attestation, holder = s.WIT(t, id)
		}
		_, err := s.authenticate(t, witRequest(t, "fleet", attestation, s.Proof(t, holder, func(_, c map[string]any) {
			c["jti"] = c["jti"].(string) + strings.Repeat("x", 4000)
		})))
		if err != nil {
			check(t, err, want{oauth.Unavailable, oauth.ReasonInternal, "PP-8"})
			full++
		}
	}
	if full < 200-64 {
		t.Errorf("%d of 200 proofs found no room in a memory of 64", full)
	}
	s.Clock.Advance(2 * time.Minute)
	fresh, freshHolder := s.WIT(t, billing)
	_, err := s.authenticate(t, witRequest(t, billing, fresh, s.Proof(t, freshHolder)))
	check(t, err, accepted)
}

// AK-18: a workload that uses more proofs than its share, with however many keys, is
// refused alone: others go on, and so does it later.
func TestShareOfProofs(t *testing.T) {
	s := witSite(t, 800)
	over := want{oauth.TooMany, oauth.ReasonRateLimited, "PP-8"}
	used, refused := 0, 0
	for range 3 {
		attestation, holder := s.WIT(t, billing)
		for range 60 {
			_, err := s.authenticate(t, witRequest(t, billing, attestation, s.Proof(t, holder)))
			if err == nil {
				used++
				continue
			}
			check(t, err, over)
			if e := oauth.AsError(err); e.RetryAfter <= 0 || !errors.Is(err, replay.ErrShare) || !strings.Contains(e.Presented, billing) {
				t.Errorf("%v: %s, come again in %s", err, e.Presented, e.RetryAfter)
			}
			refused++
		}
	}
	if used != 100 || refused != 80 {
		t.Errorf("%d proofs of one workload were used and %d refused, of a memory of 800", used, refused)
	}
	other, otherHolder := s.WIT(t, "spiffe://example.org/other")
	_, err := s.authenticate(t, witRequest(t, "fleet", other, s.Proof(t, otherHolder)))
	check(t, err, accepted)
	s.Clock.Advance(2 * time.Minute)
	attestation, holder := s.WIT(t, billing)
	_, err = s.authenticate(t, witRequest(t, billing, attestation, s.Proof(t, holder)))
	check(t, err, accepted)
}

// A store that cannot be asked is no answer.
func TestProofsOfAStoreThatFails(t *testing.T) {
	s := witSite(t, 64)
	s.auth.Proofs = failing{}
	attestation, holder := s.WIT(t, billing)
	_, err := s.authenticate(t, witRequest(t, billing, attestation, s.Proof(t, holder)))
	check(t, err, want{oauth.Unavailable, oauth.ReasonInternal, "PP-8"})
	a := s.auth.Explain(t.Context(), clientauth.Question{Attestation: attestation, Proof: s.Proof(t, holder), ClientID: billing, ClientIDSaid: true})
	if last := a.Findings[len(a.Findings)-1]; a.Refusal != nil || last.Rule != "PP-8" || last.Outcome != oauth.NotJudged {
		t.Errorf("%v, %+v", a.Refusal, last)
	}
}

type failing struct{}

func (failing) UseProof(context.Context, string, [32]byte, time.Time) (bool, error) {
	return true, errors.New("no answer")
}

// What Explain says of a WIT-SVID, its proof and a client_id is what Authenticate
// says of the request with them, and it uses nothing up.
func TestExplainWITIsWhatAuthenticateSays(t *testing.T) {
	for _, required := range []bool{false, true} {
		s := witSite(t, 1000)
		s.auth.Challenges, s.auth.ChallengeRequired = challenge.New([32]byte{}, s.Clock.Now), required
		s.auth.ProofsSince = testidentity.Noon.Add(-10 * time.Second)
		for _, clientID := range []string{"", billing, orders, "fleet", "unknown"} {
			for _, defect := range []struct {
				name       string
				wit, proof testidentity.Change
			}{
				{"none", nil, nil},
				{"expired", func(_, c map[string]any) { c["exp"] = 1 }, nil},
				{"no cnf", func(_, c map[string]any) { delete(c, "cnf") }, nil},
				{"an unknown kid", func(h, _ map[string]any) { h["kid"] = "x" }, nil},
				{"too large", func(_, c map[string]any) { c["x"] = strings.Repeat("x", oauth.MaxAttestation) }, nil},
				{"another audience", nil, func(_, c map[string]any) { c["aud"] = "x" }},
				{"made long ago", nil, func(_, c map[string]any) { c["iat"] = 1 }},
				{"made before the start", nil, func(_, c map[string]any) { c["iat"] = testidentity.Noon.Unix() - 11 }},
				{"another iss", nil, func(_, c map[string]any) { c["iss"] = "x" }},
				{"iss is client_id", nil, func(_, c map[string]any) { c["iss"] = clientID }},
				{"a challenge", nil, func(_, c map[string]any) { c["challenge"] = s.auth.Challenges.Fresh() }},
				{"another challenge", nil, func(_, c map[string]any) { c["challenge"] = "x" }},
			} {
				t.Run(defect.name+" by "+clientID, func(t *testing.T) {
					var attestation string
					var holder crypto.Signer
					changes := func(c testidentity.Change) []testidentity.Change {
						if c == nil {
							return nil
						}
						return []testidentity.Change{c}
					}
					attestation, holder = s.WIT(t, billing, changes(defect.wit)...)
					proof := s.Proof(t, holder, changes(defect.proof)...)
					q := clientauth.Question{Attestation: attestation, Proof: proof, ClientID: clientID, ClientIDSaid: true}
					before := s.auth.Explain(t.Context(), q)
					if defect.name == "too large" { // refused by tokenrequest
						if before.Refusal == nil || before.Refusal.Rule != "PP-14" {
							t.Errorf("%v", before.Refusal)
						}
						return
					}
					_, err := s.authenticate(t, witRequest(t, clientID, attestation, proof))
					same(t, before, err)
					if err == nil {
						same(t, s.auth.Explain(t.Context(), q), oauth.AsError(secondUse(t, s, witRequest(t, clientID, attestation, proof))))
					}
				})
			}
		}
	}
}

func secondUse(t *testing.T, s *site, req *tokenrequest.Request) error {
	t.Helper()
	_, err := s.authenticate(t, req)
	if err == nil {
		t.Fatal("PP-8 a second use was accepted")
	}
	return err
}
