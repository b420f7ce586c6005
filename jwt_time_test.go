package svidgate_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

func withLeeway(leeway time.Duration) func(*svidgate.Config) {
	return func(c *svidgate.Config) { c.Settings.Leeway = leeway }
}

func clockAt(now time.Time) func(*svidgate.Config) {
	return func(c *svidgate.Config) { c.Now = func() time.Time { return now } }
}

// Every time claim at every boundary, for the shortest, the usual and the
// longest leeway (section 18 item 8).
func TestJWTClockBoundaries(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	expired := refused(oauth.ReasonExpired, "CJ-5")
	early := refused(oauth.ReasonNotYetValid, "JS-10")
	for _, leeway := range []int64{0, 1, 60, 300} {
		v := newVerifier(t, bundlesOf(t, d), withLeeway(time.Duration(leeway)*time.Second))
		for _, offset := range []int64{-leeway - 1, -leeway, -leeway + 1, 0, leeway - 1, leeway, leeway + 1} {
			at := noon.Unix() + offset
			expWant, startWant := accepted, accepted
			if offset <= -leeway { // exp at now - leeway exactly is expired
				expWant = expired
			}
			if offset > leeway {
				startWant = early
			}
			name := func(claim string) string {
				return fmt.Sprintf("JS-10 leeway %d, %s at now%+d", leeway, claim, offset)
			}
			run(t, v, []jwtRow{
				{name("exp"), d.svid(t, claim("exp", at), withoutClaim("iat")), expWant},
				{name("nbf"), d.svid(t, claim("nbf", at)), startWant},
				{name("iat"), d.svid(t, claim("iat", at)), startWant},
			})
		}
	}
	v := newVerifier(t, bundlesOf(t, d), withLeeway(60*time.Second))
	fraction := func(seconds float64) float64 { return float64(noon.Unix()) + seconds }
	run(t, v, []jwtRow{
		{"JS-10 exp half a second within leeway", d.svid(t, claim("exp", fraction(-59.5))), accepted},
		{"JS-10 exp half a second beyond leeway", d.svid(t, claim("exp", fraction(-60.5))), expired},
		{"JS-10 nbf half a second within leeway", d.svid(t, claim("nbf", fraction(59.5))), accepted},
		{"JS-10 nbf half a second beyond leeway", d.svid(t, claim("nbf", fraction(60.5))), early},
		{"JS-11 nbf in ten minutes", d.svid(t, claim("nbf", noon.Unix()+600), claim("exp", noon.Unix()+900)), early},
		{"JS-11 iat in ten minutes", d.svid(t, claim("iat", noon.Unix()+600), claim("exp", noon.Unix()+900)), early},
		{"JS-11 nbf fine and iat not", d.svid(t, claim("nbf", noon.Unix()), claim("iat", noon.Unix()+600)), early},
		{"JS-11 both long ago", d.svid(t, claim("nbf", 1), claim("iat", 1)), accepted},
	})
}

// F18: the operator learns which clock differs and by how much.
func TestJWTClockSkew(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{JWTLifetime: 30 * time.Second})
	token := d.svid(t, claim("nbf", noon.Unix()))
	for _, c := range []struct {
		name string
		skew time.Duration // of the verifier's clock
		want want
		says string
	}{
		{"F18 the same", 0, accepted, ""},
		{"F18 1 s ahead", time.Second, accepted, ""},
		{"F18 1 s behind", -time.Second, accepted, ""},
		{"F18 5 s ahead", 5 * time.Second, accepted, ""},
		{"F18 5 s behind", -5 * time.Second, accepted, ""},
		{"F18 30 s ahead", 30 * time.Second, accepted, ""},
		{"F18 30 s behind", -30 * time.Second, accepted, ""},
		{"F18 90 s ahead", 90 * time.Second, refused(oauth.ReasonExpired, "CJ-5"), "1m ago"},
		{"F18 90 s behind", -90 * time.Second, refused(oauth.ReasonNotYetValid, "JS-10"), "in 1m30s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifier(t, bundlesOf(t, d), clockAt(noon.Add(c.skew)))
			p := svidgate.JWTPresentation{Assertion: token, EndpointURL: endpoint}
			judgeJWT(t, v, p, c.want)
			if _, err := v.VerifyJWTSVID(context.Background(), p); err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
		})
	}
}

func TestJWTLifetime(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	hour := newVerifier(t, bundlesOf(t, d))
	silent := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) { c.Settings = svidgate.Settings{} })
	unbounded := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) { c.Settings.MaxLifetime = svidgate.Unbounded })
	tooLong := refused(oauth.ReasonLifetimeTooLong, "JS-19")
	in := func(left time.Duration) string { return d.svid(t, claim("exp", noon.Add(left).Unix())) }
	const last = 253402300799 // the end of the year 9999, beyond what a time.Duration spans
	run(t, hour, []jwtRow{
		{"JS-19 an hour", in(time.Hour), accepted},
		{"JS-19 an hour and a second", in(time.Hour + time.Second), tooLong},
		{"F16 ten years", in(10 * 365 * 24 * time.Hour), tooLong},
		{"JS-19 to the year 9999", d.svid(t, claim("exp", last)), tooLong},
		{"JS-19 what counts is what is left", d.svid(t, claim("iat", 1), claim("exp", noon.Add(time.Hour).Unix())), accepted},
	})
	run(t, silent, []jwtRow{
		{"JS-19 nothing said, an hour", in(time.Hour), accepted},
		{"JS-19 nothing said, an hour and a second", in(time.Hour + time.Second), tooLong},
	})
	run(t, unbounded, []jwtRow{
		{"JS-19 off, ten years", in(10 * 365 * 24 * time.Hour), accepted},
		{"JS-19 off, to the year 9999", d.svid(t, claim("exp", last)), accepted},
		{"JS-19 off, expired", in(-time.Hour), refused(oauth.ReasonExpired, "CJ-5")},
	})
}
