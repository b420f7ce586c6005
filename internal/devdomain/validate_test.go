package devdomain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

func TestValidateJWTSVID(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	d := start(t, func(c *devdomain.Config) { c.CA.Now, c.CA.WIT = func() time.Time { return now }, true })
	c, ctx := raw(t, d)
	stranger, err := devca.New("example.org", devca.Options{Now: d.Authority().Now})
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := devca.New("unknown.test", devca.Options{Now: d.Authority().Now})
	if err != nil {
		t.Fatal(err)
	}
	type change = func(header, claims map[string]any)
	claim := func(name string, value any) change {
		return func(_, claims map[string]any) { claims[name] = value }
	}
	header := func(name string, value any) change {
		return func(header, _ map[string]any) { header[name] = value }
	}
	none := func(_, _ map[string]any) {}
	for _, row := range []struct {
		name string
		from *devca.Authority
		change
		want string // empty: accepted
	}{
		{"sound", d.Authority(), none, ""},
		{"JS-8 aud as a string", d.Authority(), claim("aud", audience), ""},
		{"JS-8 one of several audiences", d.Authority(), claim("aud", []string{"x", audience}), ""},
		{"JS-8 another audience", d.Authority(), claim("aud", []string{"x"}), "JS-8"},
		{"JS-8 no audience", d.Authority(), func(_, c map[string]any) { delete(c, "aud") }, "JS-8"},
		{"JS-8 aud is a number", d.Authority(), claim("aud", 7), "JS-8"},
		{"JS-2 alg none", d.Authority(), header("alg", "none"), "JS-2"},
		{"JS-3 alg of another curve", d.Authority(), header("alg", "ES384"), "does not go with"},
		{"JS-4 typ JOSE", d.Authority(), header("typ", "JOSE"), ""},
		{"JS-4 typ of a WIT-SVID", d.Authority(), header("typ", "wit+jwt"), "JS-4"},
		{"JS-6 another header member", d.Authority(), header("jku", "https://evil.example.com"), "JS-6"},
		{"JS-7 sub is no SPIFFE ID", d.Authority(), claim("sub", "https://example.org/a"), "JS-7"},
		{"JS-7 no sub", d.Authority(), func(_, c map[string]any) { delete(c, "sub") }, "JS-7"},
		{"JS-9 no exp", d.Authority(), func(_, c map[string]any) { delete(c, "exp") }, "JS-9"},
		{"JS-10 expired within the leeway", d.Authority(), claim("exp", now.Unix()-59), ""},
		{"JS-10 expired by the leeway", d.Authority(), claim("exp", now.Unix()-60), "JS-9"},
		{"JS-11 nbf within the leeway", d.Authority(), claim("nbf", now.Unix()+60), ""},
		{"JS-11 nbf in the future", d.Authority(), claim("nbf", now.Unix()+61), "JS-11"},
		{"JS-11 iat is a string", d.Authority(), claim("iat", "now"), "JS-11"},
		{"JS-12 another authority of the same name", stranger, func(h, _ map[string]any) { h["kid"], _, _ = d.Authority().JWTKey() }, "JS-12"},
		{"JS-13 an unknown trust domain", unknown, none, "JS-13"},
		{"JS-14 no kid and one key", d.Authority(), func(h, _ map[string]any) { delete(h, "kid") }, ""},
		{"JS-15 an unknown kid", d.Authority(), header("kid", "other"), "JS-15"},
		{"JS-15 kid is a number", d.Authority(), header("kid", 7), "JS-15"},
		{"JS-12 the kid of the key for WIT-SVIDs", d.Authority(), func(h, _ map[string]any) { h["kid"], _, _ = d.Authority().WITKey() }, "JS-15"},
		{"JS-16 an unknown claim", d.Authority(), claim("foo", map[string]any{"bar": 1}), ""},
		{"JS-20 over 16 KiB", d.Authority(), claim("foo", strings.Repeat("x", 16<<10)), "JS-20"},
	} {
		t.Run(row.name, func(t *testing.T) {
			token, err := row.from.JWTSVID("/billing", []string{audience}, row.change)
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.ValidateJWTSVID(ctx, &workload.ValidateJWTSVIDRequest{Audience: audience, Svid: token})
			if row.want == "" {
				if err != nil || res.SpiffeId != "spiffe://example.org/billing" || res.Claims.Fields["sub"].GetStringValue() != res.SpiffeId {
					t.Errorf("got %v, %v", res, err)
				}
				return
			}
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), token[:20]) {
				t.Error("the error shows the token")
			}
		})
	}

	if _, err := d.Authority().PrepareJWTKey(); err != nil {
		t.Fatal(err)
	}
	token, err := d.Authority().JWTSVID("/billing", []string{audience}, func(h, _ map[string]any) { delete(h, "kid") })
	if err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool {
		_, err := c.ValidateJWTSVID(ctx, &workload.ValidateJWTSVIDRequest{Audience: audience, Svid: token})
		return err != nil && strings.Contains(err.Error(), "JS-14")
	}) {
		t.Error("JS-14 no kid and two keys: accepted")
	}
	for _, req := range []*workload.ValidateJWTSVIDRequest{{Svid: token}, {Audience: audience}, {Audience: audience, Svid: "a.b"}} {
		if _, err := c.ValidateJWTSVID(ctx, req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("an incomplete request: %v", err)
		}
	}
}
