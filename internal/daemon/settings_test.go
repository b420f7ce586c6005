package daemon

import (
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
)

// What the configuration says of SVIDs reaches the verifier, for each trust domain by
// itself: JS-10, JS-14, JS-19, XS-6.
func TestSVIDSettings(t *testing.T) {
	p := newPlace(t)
	const general = "svid: {leeway: 30s, max_assertion_lifetime: 10m, require_kid: true, strict_key_usage_critical: true}\ntrust_domains:\n"
	inherited := svidgate.Settings{Leeway: 30 * time.Second, MaxLifetime: 10 * time.Minute, RequireKeyID: true, StrictKeyUsageCritical: true}
	for _, row := range []struct {
		name   string
		change []string
		want   svidgate.Settings
	}{
		{"nothing said", nil, svidgate.Settings{Leeway: time.Minute, MaxLifetime: time.Hour}},
		{"said of all", []string{"trust_domains:\n", general}, inherited},
		{"of one alone", []string{"bundle.json}", "bundle.json, svid: {strict_key_usage_critical: true}}"}, svidgate.Settings{Leeway: time.Minute, MaxLifetime: time.Hour, StrictKeyUsageCritical: true}},
		{"of one otherwise", []string{"trust_domains:\n", general, "bundle.json}", "bundle.json, svid: {leeway: 0s, max_assertion_lifetime: 0, require_kid: false, strict_key_usage_critical: false}}"}, svidgate.Settings{MaxLifetime: svidgate.Unbounded}},
	} {
		v, err := newVerifier(p.config(t, anywhere, row.change...), svidgate.Config{Bundles: &bundlesOnDisk{}})
		if err != nil {
			t.Fatal(err)
		}
		row.want.Profile, row.want.MaxBundleAge = svidgate.Transition, 24*time.Hour
		if got := v.Settings(spiffeid.RequireTrustDomainFromString("example.org")); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}
