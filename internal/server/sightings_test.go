package server

import (
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// skews are the values by trust domain.
func skews(t *testing.T, s *site) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, one := range of(gather(t, s), "svidgate_clock_skew_seconds") {
		values[one.labels["trust_domain"]] = one.value
	}
	return values
}

// F18: the skew is that of the youngest SVID of the last minutes, also of one that
// was refused for its time, and never of one that nobody vouches for.
func TestClockSkew(t *testing.T) {
	s := newSite(t)
	skew := func() (float64, bool) {
		v, ok := skews(t, s)["example.org"]
		return v, ok
	}
	present := func(ahead time.Duration, edit ...func(h, c map[string]any)) {
		issued := s.Clock.Now().Add(ahead)
		edit = append(edit, func(_, c map[string]any) {
			c["iat"], c["exp"] = issued.Unix(), issued.Add(5*time.Minute).Unix()
		})
		post(s.server.Public(), testidentity.Assertion(billing, s.JWT(t, billing, edit...)), nil)
	}
	none := func(why string) {
		t.Helper()
		if v, ok := skew(); ok {
			t.Fatalf("%s: %v, want no value", why, v)
		}
	}
	is := func(why string, want float64) {
		t.Helper()
		if v, ok := skew(); !ok || v != want {
			t.Fatalf("%s: %v %v, want %v", why, v, ok, want)
		}
	}
	none("before any SVID")
	stranger := func(_, c map[string]any) { c["sub"] = "spiffe://other.test/a" }
	post(s.server.Public(), testidentity.Assertion("", s.JWT(t, billing, stranger)), nil)
	post(s.server.Public(), testidentity.Assertion("", s.JWT(t, "spiffe://other.test/a", func(_, c map[string]any) { c["sub"] = billing })), nil)
	none("after a stranger's")
	present(-2 * time.Hour)
	is("one that expired", -7200)
	present(-20 * time.Second)
	is("a younger one", -20)
	present(90 * time.Second)
	is("one from the future, refused", 90)
	present(-time.Second)
	is("an older one changes nothing", 90)
	s.Clock.Advance(skewSpan)
	present(-3 * time.Second)
	is("the span before still counts", 90)
	s.Clock.Advance(skewSpan)
	is("the span before is over", -3)
	s.Clock.Advance(skewSpan)
	none("nothing lately")
	present(time.Second)
	s.Clock.Advance(-time.Hour)
	none("our clock was set back")
	present(4 * time.Second)
	is("and goes on from there", 4)
	if n := len(skews(t, s)); n != 1 {
		t.Errorf("%d series", n)
	}
}

// A reload keeps what was noted of the trust domains that stay, and no other.
func TestClockSkewFollowsTheConfiguration(t *testing.T) {
	a, b := spiffeid.RequireTrustDomainFromString("a.test"), spiffeid.RequireTrustDomainFromString("b.test")
	s := NewSightings(func() time.Time { return testidentity.Noon })
	seen := func(td spiffeid.TrustDomain) {
		s.Note(svidgate.Sighting{TrustDomain: td, Method: oauth.MethodJWT, At: testidentity.Noon, IssuedAt: testidentity.Noon, ExpiresAt: testidentity.Noon})
	}
	known := func(td spiffeid.TrustDomain) bool {
		d := s.of(td.Name())
		if d == nil {
			return false
		}
		_, ok := d.skew.greatest(testidentity.Noon)
		return ok
	}
	seen(a)
	if known(a) {
		t.Error("one that is not expected makes a series")
	}
	s.Expect([]spiffeid.TrustDomain{a, b})
	seen(a)
	seen(b)
	s.Expect([]spiffeid.TrustDomain{a})
	seen(b)
	if !known(a) || known(b) {
		t.Errorf("a.test %v, b.test %v", known(a), known(b))
	}
}

// The values at both ends fit, many writers leave the greatest, and nothing is
// allocated.
func TestSkewIsKept(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Millisecond, -time.Millisecond, 24 * time.Hour, -24 * time.Hour} {
		var s skew
		s.note(ahead, testidentity.Noon)
		if got, ok := s.greatest(testidentity.Noon); !ok || got != ahead {
			t.Errorf("%v became %v %v", ahead, got, ok)
		}
	}
	var far skew
	far.note(-1<<63, testidentity.Noon)
	far.note(1<<63-1, testidentity.Noon)
	if got, _ := far.greatest(testidentity.Noon); got < 20*24*time.Hour {
		t.Errorf("a value beyond all bounds became %v", got)
	}
	var s skew
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for j := range 1000 {
				s.note(time.Duration(i*1000+j)*time.Millisecond, testidentity.Noon)
			}
		})
	}
	writers.Wait()
	if got, _ := s.greatest(testidentity.Noon); got != 7999*time.Millisecond {
		t.Errorf("the greatest is %v", got)
	}
	sightings := NewSightings(time.Now)
	td := spiffeid.RequireTrustDomainFromString("a.test")
	sightings.Expect([]spiffeid.TrustDomain{td})
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		sightings.Note(svidgate.Sighting{TrustDomain: td, Method: oauth.MethodJWT, At: now, IssuedAt: now, ExpiresAt: now})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSighting(b *testing.B) {
	sightings := NewSightings(time.Now)
	td := spiffeid.RequireTrustDomainFromString("a.test")
	sightings.Expect([]spiffeid.TrustDomain{td})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		sightings.Note(svidgate.Sighting{TrustDomain: td, Method: oauth.MethodJWT, At: now, IssuedAt: now, ExpiresAt: now})
	}
}

// Each kind of SVID are counted by what they have left.
func TestTimeToExpiry(t *testing.T) {
	s := newSite(t)
	post(s.server.Public(), s.good(t), nil)
	post(s.server.Public(), s.bad(t), nil) // genuine all the same
	post(s.server.MTLS(), testidentity.Certificate(orders), s.Chain(t, orders))
	attestation, holder := s.WIT(t, edge)
	post(s.server.Public(), testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder)))
	counts := map[string]uint64{}
	for _, one := range of(gather(t, s), "svidgate_svid_time_to_expiry_seconds") {
		if counts[one.labels["method"]] = one.count; one.first != 0 {
			t.Errorf("%d are told to have expired", one.first)
		}
	}
	if counts["spiffe_jwt"] != 2 || counts["spiffe_x509"] != 1 || counts["spiffe_wit"] != 1 || len(counts) != 3 {
		t.Errorf("counted %v", counts)
	}
}
