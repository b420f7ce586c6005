package doctor

import (
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// What an operator learns of a bundle: whether it is there, how old it is, and what
// the server raises an alarm for.
func TestFaultyBundle(t *testing.T) {
	sound := admin.Bundle{TrustDomain: "example.org", Source: "https://b.example/", Ready: true, Generation: 1, AgeSeconds: 60, MaxAgeSeconds: 86400}
	for _, row := range []struct {
		name   string
		change func(*admin.Bundle)
		found  string // empty: nothing is wrong
	}{
		{"in order", func(*admin.Bundle) {}, ""},
		{"for ever", func(b *admin.Bundle) { b.MaxAgeSeconds = 0 }, ""},
		{"never there", func(b *admin.Bundle) { b.Generation, b.Ready, b.LastError = 0, false, "refused" }, "the server never got the bundle of example.org (td_not_ready): refused"},
		{"too old", func(b *admin.Bundle) { b.Ready, b.AgeSeconds = false, 90000 }, "the bundle of example.org was confirmed 1d1h ago, 1d at most (bundle_too_old): its source has not answered"},
		{"an alarm", func(b *admin.Bundle) { b.Alarms = []string{"it is older than half of max_stale"} }, "the server raises an alarm for example.org: it is older than half of max_stale"},
	} {
		b := sound
		row.change(&b)
		v, bad := faulty(b)
		if bad != (row.found != "") || v.found != row.found || bad && v.next != "run `svidgate bundle status example.org`, and mend its source: https://b.example/" {
			t.Errorf("%s: %+v", row.name, v)
		}
	}
	p := &patient{anchors: []string{"aa"}}
	sound.Entries = []admin.Entry{{Use: "x509-svid", Fingerprint: "bb"}}
	if why := p.unverifiable(sound); !strings.Contains(why, "none of the anchors") {
		t.Errorf("another anchor: %q", why)
	}
	p.anchors = append(p.anchors, "bb")
	if why := p.unverifiable(sound); why != "" {
		t.Errorf("one of two anchors: %q", why)
	}
	// A workload that has a WIT-SVID alone is judged by the bundle of its trust domain.
	p = &patient{wit: &jose.Compact{
		Header:  strictjson.Members{{Name: "kid", Value: `"w1"`}},
		Payload: strictjson.Members{{Name: "sub", Value: `"spiffe://example.org/shipping"`}},
	}}
	if td := p.trustDomain(); td != "example.org" {
		t.Errorf("its trust domain is %q", td)
	}
	for _, row := range []struct {
		keys         map[string]int
		kid          string
		keyless, why string
	}{
		{map[string]int{"wit-svid": 1}, "w1", "", ""},
		{map[string]int{"jwt-svid": 1}, "w1", "wit-svid", ""},
		{map[string]int{"wit-svid": 1}, "w2", "", "it has not the key w1 of the WIT-SVID (kid_unknown_after_refresh)"},
	} {
		b := admin.Bundle{Keys: row.keys, Entries: []admin.Entry{{Use: "wit-svid", KeyID: row.kid}}}
		if use, why := p.keyless(b), p.unverifiable(b); use != row.keyless || why != row.why {
			t.Errorf("with %v and %s: %q, %q", row.keys, row.kid, use, why)
		}
	}
	if v := p.allBundles(nil); v.outcome != oauth.Refused {
		t.Errorf("no trust domain: %+v", v)
	}
	if v := p.allBundles([]admin.Bundle{sound}); v.outcome != oauth.Passed || v.found != "all are ready: example.org" {
		t.Errorf("one: %+v", v)
	}
}

// Beside the server without a workload, and beside another server than the issuer.
func TestAdministrationAlone(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	_, one := healthy(t)
	_, other := healthy(t)
	by := examine(t, Config{AdminSocket: one.AdminSocket, StatusURL: one.StatusURL})
	wants(t, by, "server_bundle", oauth.Passed, "all are ready: dev.test", "")
	wants(t, by, "signing_keys", oauth.Passed, "1 key", "")
	one.AdminSocket = other.AdminSocket
	by = examine(t, one)
	if f := fails(by); f != "client_match server_bundle signing_keys" {
		t.Errorf("failed: %s", f)
	}
	wants(t, by, "client_match", Failed, "kid_unknown_after_refresh (JS-15)", "run `svidgate bundle refresh dev.test --socket "+other.AdminSocket)
	wants(t, by, "server_bundle", Failed, "it has not the key ", "svidgate bundle refresh dev.test")
	wants(t, by, "signing_keys", Failed, "is not among those at", "another server")
}
