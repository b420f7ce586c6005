package svidgate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

var (
	mismatch = refused(oauth.ReasonAudMismatch, "CJ-6")
	multiple = refused(oauth.ReasonAudMultiple, "EC-4")
)

// profileWants is the outcome under transition, latest, ietf-02 and seed.
type profileWants [4]want

var (
	nowhere      = profileWants{mismatch, mismatch, mismatch, mismatch}
	neverTwo     = profileWants{multiple, multiple, multiple, multiple}
	issuerOnly   = profileWants{accepted, accepted, accepted, mismatch}
	endpointOnly = profileWants{accepted, mismatch, mismatch, accepted}
)

// F17: audiences people send, under the four profiles of section 15.2.
func TestAudiences(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	for i, profile := range []svidgate.Profile{svidgate.Transition, svidgate.Latest, svidgate.IETF02, svidgate.Seed} {
		v := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) { c.Settings.Profile = profile })
		var rows []jwtRow
		for _, c := range []struct {
			name string
			aud  any
			want profileWants
		}{
			{"CJ-6 the issuer", issuer, issuerOnly},
			{"CJ-6 the issuer in an array", []string{issuer}, issuerOnly},
			{"CJ-7 the endpoint", endpoint, endpointOnly},
			{"CJ-7 the endpoint in an array", []string{endpoint}, endpointOnly},
			{"CJ-7 the issuer and the endpoint", []string{issuer, endpoint}, neverTwo},
			{"CJ-7 the endpoint and the issuer", []string{endpoint, issuer}, neverTwo},
			{"CJ-6 the issuer and another", []string{issuer, "other"}, neverTwo},
			{"CJ-6 another and the issuer", []string{"other", issuer}, neverTwo},
			{"CJ-6 the issuer twice", []string{issuer, issuer}, neverTwo},
			{"GL-14 the issuer and a slash", issuer + "/", nowhere},
			{"GL-14 the issuer and its port", "https://as.example.com:443", nowhere},
			{"GL-14 the issuer's host in upper case", "https://AS.example.com", nowhere},
			{"GL-14 the scheme in upper case", "HTTPS://as.example.com", nowhere},
			{"GL-14 plain http", "http://as.example.com", nowhere},
			{"GL-14 the issuer and a space", issuer + " ", nowhere},
			{"GL-14 a trailing dot on the host", "https://as.example.com.", nowhere},
			{"GL-14 the issuer without its scheme", "as.example.com", nowhere},
			{"GL-14 a longer host", "https://as.example.com.evil", nowhere},
			{"GL-14 the endpoint and a slash", endpoint + "/", nowhere},
			{"GL-14 the endpoint and its port", "https://as.example.com:443/token", nowhere},
			{"GL-14 the endpoint's host in upper case", "https://AS.example.com/token", nowhere},
			{"GL-14 the endpoint's path in upper case", "https://as.example.com/Token", nowhere},
			{"CJ-7 the endpoint and a query", endpoint + "?x=1", nowhere},
			{"CJ-7 the endpoint and an empty query", endpoint + "?", nowhere},
			{"CJ-7 the endpoint and a fragment", endpoint + "#f", nowhere},
			{"EC-4 another endpoint", "https://as.example.com/introspect", nowhere},
			{"F17 the address inside the cluster", "http://as.default.svc:8080/token", nowhere},
			{"EC-4 another server", "https://other.example.com", nowhere},
			{"EC-4 the workload itself", "spiffe://example.org/a", nowhere},
		} {
			rows = append(rows, jwtRow{string(profile) + " " + c.name, d.svid(t, claim("aud", c.aud)), c.want[i]})
		}
		run(t, v, rows)
	}
}

// An issuer with a slash at its end is another one.
func TestAudienceOfAnIssuerWithASlash(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) { c.Issuer = issuer + "/" })
	run(t, v, []jwtRow{
		{"GL-14 with the slash", d.svid(t, claim("aud", issuer+"/")), accepted},
		{"GL-14 without", d.svid(t, claim("aud", issuer)), mismatch},
	})
}

// The URL of the endpoint called comes from the caller; without one no endpoint
// is accepted, and another endpoint's URL is not (CJ-7).
func TestAudienceOfTheEndpointCalled(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	transition := newVerifier(t, bundlesOf(t, d))
	seed := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) { c.Settings.Profile = svidgate.Seed })
	toToken := d.svid(t, claim("aud", endpoint))
	const alias = "https://mtls.as.example.com/token"
	for _, c := range []struct {
		name   string
		v      *svidgate.Verifier
		aud    string
		called string
		want   want
		legacy bool
	}{
		{"CJ-7 the endpoint called", transition, toToken, endpoint, accepted, true},
		{"CJ-7 another endpoint called", transition, toToken, "https://as.example.com/par", mismatch, false},
		{"CJ-7 the alias called", transition, toToken, alias, mismatch, false},
		{"CJ-7 no endpoint", transition, toToken, "", mismatch, false},
		{"CJ-7 no endpoint, the issuer", transition, d.svid(t), "", accepted, false},
		{"CJ-7 no endpoint under seed", seed, toToken, "", mismatch, false},
		{"JS-8 no endpoint, an empty audience", seed, d.svid(t, claim("aud", "")), "", refused(oauth.ReasonAudMissing, "JS-8"), false},
		{"CJ-7 the issuer, with an endpoint", transition, d.svid(t), endpoint, accepted, false},
		{"CJ-7 an endpoint that is the issuer is no older form", transition, d.svid(t), issuer, accepted, false},
		{"15.2 the endpoint under seed is its proper form", seed, toToken, endpoint, accepted, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := judgeJWT(t, c.v, svidgate.JWTPresentation{Assertion: c.aud, EndpointURL: c.called}, c.want)
			if id.LegacyAudience() != c.legacy {
				t.Errorf("LegacyAudience is %v", id.LegacyAudience())
			}
		})
	}
}

// A client's profile goes before the trust domain's, and that before the
// server's.
func TestWhoseProfile(t *testing.T) {
	a, b := newDomain(t, "a.example", devca.Options{}), newDomain(t, "b.example", devca.Options{})
	v := newVerifier(t, bundlesOf(t, a, b), func(c *svidgate.Config) {
		c.Settings.Profile = svidgate.Latest
		perTD := svidgate.DefaultSettings()
		perTD.Profile = svidgate.Seed
		c.TrustDomains = map[spiffeid.TrustDomain]svidgate.Settings{b.TrustDomain(): perTD}
	})
	is := func(p svidgate.Profile) func(spiffeid.ID) svidgate.Profile {
		return func(spiffeid.ID) svidgate.Profile { return p }
	}
	toIssuer, toEndpoint := claim("aud", issuer), claim("aud", endpoint)
	for _, c := range []struct {
		name   string
		token  string
		client func(spiffeid.ID) svidgate.Profile
		want   want
	}{
		{"15.2 the server's profile, the issuer", a.svid(t, toIssuer), nil, accepted},
		{"15.2 the server's profile, the endpoint", a.svid(t, toEndpoint), nil, mismatch},
		{"15.2 the trust domain's profile, the issuer", b.svid(t, toIssuer), nil, mismatch},
		{"15.2 the trust domain's profile, the endpoint", b.svid(t, toEndpoint), nil, accepted},
		{"15.2 the client's profile, the issuer", b.svid(t, toIssuer), is(svidgate.IETF02), accepted},
		{"15.2 the client's profile, the endpoint", b.svid(t, toEndpoint), is(svidgate.IETF02), mismatch},
		{"15.2 a client without a profile", b.svid(t, toEndpoint), is(""), accepted},
		{"15.2 a profile that does not exist accepts nothing", b.svid(t, toEndpoint), is("none"), mismatch},
		{"15.2 a profile that does not exist, the issuer", a.svid(t, toIssuer), is("none"), mismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			judgeJWT(t, v, svidgate.JWTPresentation{Assertion: c.token, EndpointURL: endpoint, Profile: c.client}, c.want)
		})
	}
	if v.Profile(a.TrustDomain()) != svidgate.Latest || v.Profile(b.TrustDomain()) != svidgate.Seed {
		t.Error("15.2 Profile does not say which one applies")
	}
}

// The client's profile is asked for the SPIFFE ID that was proven, once, and
// never before the signature was checked.
func TestProfileIsAskedLate(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	var asked []string
	ask := func(id spiffeid.ID) svidgate.Profile {
		asked = append(asked, id.String())
		return ""
	}
	for _, token := range []string{flipped(d.svid(t)), d.svid(t, claim("exp", 1)), d.svid(t, header("kid", "x"))} {
		if _, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: token, Profile: ask}); err == nil || len(asked) != 0 {
			t.Errorf("asked for %q, then: %v", asked, err)
		}
	}
	if _, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: d.svid(t), Profile: ask}); err != nil || len(asked) != 1 || asked[0] != "spiffe://example.org/a" {
		t.Errorf("asked for %q, then: %v", asked, err)
	}
}

// F17: whoever compares two strings has both in front of him.
func TestAudienceMessage(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	_, err := newVerifier(t, bundlesOf(t, d)).VerifyJWTSVID(context.Background(),
		svidgate.JWTPresentation{Assertion: d.svid(t, claim("aud", "https://as.example.com/")), EndpointURL: endpoint})
	refusal := oauth.AsError(err)
	if want := issuer + " or " + endpoint + " (profile transition)"; refusal.Expected != want {
		t.Errorf("expected %q, want %q", refusal.Expected, want)
	}
	if refusal.Presented != "https://as.example.com/" {
		t.Errorf("presented %q", refusal.Presented)
	}
	if !strings.Contains(err.Error(), "aud_mismatch (CJ-6)") {
		t.Errorf("%v", err)
	}
}
