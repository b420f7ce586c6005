package svidgate_test

import (
	"context"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// F18: what is genuine is told of, also when it comes at a wrong time; what
// nobody vouches for is not, and neither is an explanation.
func TestSightings(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	stranger := newDomain(t, "example.org", devca.Options{})
	now := atNoon()
	iat := func(t time.Time) change { return claim("iat", t.Unix()) }
	exp := func(t time.Time) change { return claim("exp", t.Unix()) }
	for _, row := range []struct {
		name      string
		assertion string
		want      want
		issued    time.Time
		expires   time.Time
		sighted   bool
	}{
		{"accepted", d.svid(t, iat(now), exp(now.Add(time.Minute))), accepted, now, now.Add(time.Minute), true},
		{"CJ-5 expired", d.svid(t, iat(now.Add(-time.Hour)), exp(now.Add(-time.Minute))), refused(oauth.ReasonExpired, "CJ-5"), now.Add(-time.Hour), now.Add(-time.Minute), true},
		{"JS-10 from the future", d.svid(t, iat(now.Add(90*time.Second)), exp(now.Add(5*time.Minute))), refused(oauth.ReasonNotYetValid, "JS-10"), now.Add(90 * time.Second), now.Add(5 * time.Minute), true},
		{"CJ-6 for somebody else", d.svid(t, iat(now), exp(now.Add(time.Minute)), claim("aud", "https://else.example")), refused(oauth.ReasonAudMismatch, "CJ-6"), now, now.Add(time.Minute), true},
		{"JS-11 without iat", d.svid(t, withoutClaim("iat"), exp(now.Add(time.Minute))), accepted, time.Time{}, now.Add(time.Minute), true},
		{"JS-12 a bad signature", flipped(d.svid(t)), badSignature, time.Time{}, time.Time{}, false},
		{"JS-15 another key", stranger.svid(t), unknownKey, time.Time{}, time.Time{}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen []svidgate.Sighting
			v := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) {
				c.Sighted = func(s svidgate.Sighting) { seen = append(seen, s) }
			})
			p := svidgate.JWTPresentation{Assertion: row.assertion, EndpointURL: endpoint}
			v.ExplainJWTSVID(context.Background(), p)
			if len(seen) != 0 {
				t.Fatalf("an explanation was told of: %+v", seen)
			}
			id, err := v.VerifyJWTSVID(context.Background(), p)
			checkOutcome(t, id, err, row.want)
			if !row.sighted {
				if len(seen) != 0 {
					t.Errorf("told of %+v", seen)
				}
				return
			}
			if len(seen) != 1 {
				t.Fatalf("told of %d, want one", len(seen))
			}
			s := seen[0]
			if s.TrustDomain != d.TrustDomain() || s.Method != oauth.MethodJWT || !s.At.Equal(now) ||
				s.IssuedAt.IsZero() != row.issued.IsZero() || !row.issued.IsZero() && !s.IssuedAt.Equal(row.issued) || !s.ExpiresAt.Equal(row.expires) {
				t.Errorf("told of %+v", s)
			}
			// The same bytes again are another sighting, whatever is remembered of them.
			if _, err = v.VerifyJWTSVID(context.Background(), p); len(seen) != 2 || seen[1] != s {
				t.Errorf("shown again: told of %+v, %v", seen, err)
			}
		})
	}
}

// Of certificates only those that were accepted are told of, and no iat.
func TestSightingsOfCertificates(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	stranger := newDomain(t, "example.org", devca.Options{})
	var seen []svidgate.Sighting
	v := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) {
		c.Sighted = func(s svidgate.Sighting) { seen = append(seen, s) }
	})
	if _, err := v.VerifyX509SVID(context.Background(), stranger.chain(t)); err == nil || len(seen) != 0 {
		t.Fatalf("a stranger's: %v, %+v", err, seen)
	}
	id, err := v.VerifyX509SVID(context.Background(), d.chain(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].Method != oauth.MethodX509 || !seen[0].IssuedAt.IsZero() || !seen[0].ExpiresAt.Equal(id.ExpiresAt()) || seen[0].TrustDomain != d.TrustDomain() {
		t.Errorf("told of %+v", seen)
	}
	if _, err := v.VerifyX509SVID(context.Background(), d.chain(t)); err != nil || len(seen) != 2 {
		t.Errorf("shown again: told of %+v, %v", seen, err)
	}
}
