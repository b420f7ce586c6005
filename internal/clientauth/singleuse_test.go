package clientauth_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

var replayed = want{oauth.InvalidClient, oauth.ReasonAssertionReplayed, "CJ-13"}

// singleUse makes the assertions of example.org count once.
func singleUse(t testing.TB, limit int, methods ...oauth.AuthMethod) *site {
	t.Helper()
	s := newSite(t, client(billing, methods...), client("spiffe://other.test/a", oauth.MethodJWT))
	s.auth.SingleUse = map[spiffeid.TrustDomain]bool{spiffeid.RequireTrustDomainFromString("example.org"): true}
	s.auth.Used = replay.New(limit, s.Clock.Now)
	return s
}

func jti(value string) func(h, c map[string]any) {
	return func(_, c map[string]any) { c["jti"] = value }
}

func TestSingleUse(t *testing.T) {
	s := singleUse(t, 1000, oauth.MethodJWT, oauth.MethodX509)
	first, second := s.JWT(t, billing), s.JWT(t, billing, jti("2"))
	elsewhere := s.JWT(t, "spiffe://other.test/a")
	chain := s.Chain(t, billing)
	stale := s.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(-time.Second) })
	unspent := s.JWT(t, billing, jti("3"))
	for _, step := range []struct {
		name      string
		clientID  string
		assertion string
		chain     []*x509.Certificate
		want      want
	}{
		{"CJ-13 first use", billing, first, nil, accepted},
		{"CJ-13 second use", billing, first, nil, replayed},
		{"CJ-13 third use, without client_id", "", first, nil, replayed},
		{"CJ-13 another use, with a certificate", billing, first, chain, replayed},
		{"CJ-13 another assertion", billing, second, nil, accepted},
		{"CJ-13 first use in a trust domain without single use", "spiffe://other.test/a", elsewhere, nil, accepted},
		{"CJ-13 second use there", "spiffe://other.test/a", elsewhere, nil, accepted},
		{"CJ-13 a refused request uses nothing up", billing, unspent, stale, want{oauth.InvalidRequest, oauth.ReasonExpired, "XS-22"}},
		{"CJ-13 so the assertion is still good", billing, unspent, nil, accepted},
		{"CJ-13 once", billing, unspent, nil, replayed},
	} {
		t.Run(step.name, func(t *testing.T) {
			_, err := s.authenticate(t, jwt(t, testidentity.Assertion(step.clientID, step.assertion), step.chain...))
			check(t, err, step.want)
		})
	}
	for range 2 { // certificates are not used up
		_, err := s.authenticate(t, testidentity.Request(t, testidentity.Certificate(billing), chain))
		check(t, err, accepted)
	}
}

// F15, A-7: by default an issuer may hand out one assertion many times.
func TestReuseByDefault(t *testing.T) {
	s := newSite(t, client(billing, oauth.MethodJWT))
	assertion := s.JWT(t, billing)
	for range 3 {
		_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, assertion)))
		check(t, err, accepted)
	}
}

// A used assertion stays used for as long as any leeway would let it pass.
func TestUsedUntilItHasExpired(t *testing.T) {
	for _, leeway := range []time.Duration{0, time.Minute, 300 * time.Second} {
		t.Run(fmt.Sprintf("JS-10 leeway %s", leeway), func(t *testing.T) {
			s := singleUse(t, 1000, oauth.MethodJWT)
			s.World = testidentity.New(t, func(c *svidgate.Config) { c.Settings.Leeway = leeway })
			s.auth.Verifier, s.auth.Clients, s.auth.Used = s.Verifier, s.Registry(t, client(billing, oauth.MethodJWT)), replay.New(1000, s.Clock.Now)
			assertion := s.JWT(t, billing) // for five minutes
			use := func(w want) {
				t.Helper()
				_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, assertion)))
				check(t, err, w)
			}
			use(accepted)
			s.Clock.Advance(5*time.Minute + leeway - time.Second)
			use(replayed)
			s.Clock.Advance(time.Second)
			use(want{oauth.InvalidClient, oauth.ReasonExpired, "CJ-5"})
		})
	}
}

// F16: of any number of uses at the same time exactly one succeeds.
func TestParallelUse(t *testing.T) {
	s := singleUse(t, 1000, oauth.MethodJWT)
	request := jwt(t, testidentity.Assertion(billing, s.JWT(t, billing)))
	var granted, refused atomic.Int64
	var start, done sync.WaitGroup
	start.Add(1)
	for range 200 {
		done.Go(func() {
			start.Wait()
			caller, _, err := s.auth.Authenticate(t.Context(), request, nil)
			switch {
			case err == nil && caller.Authenticated():
				granted.Add(1)
			case errors.Is(err, oauth.ReasonAssertionReplayed):
				refused.Add(1)
			}
		})
	}
	start.Done()
	done.Wait()
	if granted.Load() != 1 || refused.Load() != 199 {
		t.Errorf("F16 %d of 200 uses succeeded, %d were refused as replays", granted.Load(), refused.Load())
	}
}

// An ECDSA signature (r, s) has the valid twin (r, n-s), which anybody can make.
// The twin is another string of bytes and the same assertion.
func TestMalleatedTwin(t *testing.T) {
	plain, s := newSite(t, client(billing, oauth.MethodJWT)), singleUse(t, 1000, oauth.MethodJWT)
	s.World = plain.World
	s.auth.Verifier, s.auth.Clients = plain.auth.Verifier, plain.auth.Clients
	assertion := plain.JWT(t, billing)
	twin := malleate(t, assertion)
	if twin == assertion {
		t.Fatal("the twin is the assertion itself")
	}
	_, err := plain.authenticate(t, jwt(t, testidentity.Assertion(billing, twin)))
	check(t, err, accepted) // else the test below shows nothing

	_, err = s.authenticate(t, jwt(t, testidentity.Assertion(billing, assertion)))
	check(t, err, accepted)
	_, err = s.authenticate(t, jwt(t, testidentity.Assertion(billing, twin)))
	check(t, err, replayed)
	for name, other := range map[string]string{
		"JS-1 padding": assertion + "==",
		"JS-1 a space": assertion + " ",
		// The last of 86 characters holds four bits that mean nothing.
		"JS-1 stray bits": assertion[:len(assertion)-1] + string(nextBase64(assertion[len(assertion)-1])),
	} {
		_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, other)))
		t.Run(name, func(t *testing.T) {
			check(t, err, want{oauth.InvalidClient, oauth.ReasonAssertionMalformed, "JS-1"})
		})
	}
}

func malleate(t *testing.T, token string) string {
	t.Helper()
	i := strings.LastIndexByte(token, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(token[i:])
	if err != nil || len(sig) != 64 {
		t.Fatalf("a signature of %d bytes: %v", len(sig), err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	s.FillBytes(sig[32:])
	return token[:i] + base64.RawURLEncoding.EncodeToString(sig)
}

func nextBase64(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)+1] // never the last: its low four bits are 0
}

// AK-18: a workload that uses more than its share is refused alone.
func TestShareOfAssertions(t *testing.T) {
	s := singleUse(t, 64, oauth.MethodJWT)
	for i := range 20 {
		_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, s.JWT(t, billing, jti(fmt.Sprint(i))))))
		if i < 8 {
			check(t, err, accepted)
			continue
		}
		check(t, err, want{oauth.TooMany, oauth.ReasonRateLimited, "CJ-13"})
		if oauth.AsError(err).RetryAfter <= 0 || !errors.Is(err, replay.ErrShare) {
			t.Errorf("number %d: %v", i, err)
		}
	}
	if unused, err := s.auth.Used.Use("spiffe://example.org/other", [32]byte{1}, s.Clock.Now().Add(time.Minute)); !unused || err != nil {
		t.Errorf("another workload has no room: %v", err)
	}
	s.Clock.Advance(15 * time.Minute)
	_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, s.JWT(t, billing))))
	check(t, err, accepted)
}

// Where nothing more can be remembered, nothing more is let in (GL-15): neither
// is an old use forgotten nor a new one let through unremembered.
func TestFullMemory(t *testing.T) {
	s := singleUse(t, 64, oauth.MethodJWT)
	used := s.JWT(t, billing)
	_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, used)))
	check(t, err, accepted)
	full := want{oauth.Unavailable, oauth.ReasonInternal, "CJ-13"}
	for i := 0; ; i++ { // others use theirs
		if i > 5000 {
			t.Fatal("GL-15 5,000 assertions went into a memory for 64")
		}
		if _, err := s.auth.Used.Use(fmt.Sprint(i), [32]byte{byte(i), byte(i >> 8), 1}, s.Clock.Now().Add(14*time.Minute)); err != nil {
			break
		}
	}
	_, err = s.authenticate(t, jwt(t, testidentity.Assertion(billing, s.JWT(t, billing, jti("another")))))
	check(t, err, full)
	if !errors.Is(err, replay.ErrFull) {
		t.Errorf("the cause is lost: %v", err)
	}
	_, err = s.authenticate(t, jwt(t, testidentity.Assertion(billing, used)))
	check(t, err, replayed)

	s.Clock.Advance(15 * time.Minute) // past expiry and every leeway
	_, err = s.authenticate(t, jwt(t, testidentity.Assertion(billing, s.JWT(t, billing))))
	check(t, err, accepted)
}
