package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// The table of client-authentication section 15.2, on the wire. It stands here
// once more, cell by cell, so that it does not follow from the code it judges.
type edition struct {
	name         string
	issuer       bool // accepted as audience
	endpoint     bool // the URL of the endpoint called
	nameless     bool // a JWT-SVID without client_id
	x509Named    bool // client_id of a certificate's client another than the SPIFFE ID
	wildcardJWT  bool
	wildcardX509 bool
	counted      bool // older forms are counted in the metric
}

var editions = []edition{
	{"transition", true, true, true, true, true, true, true},
	{"latest", true, false, false, true, true, true, false},
	{"ietf-02", true, false, true, false, true, false, false},
	{"seed", false, true, true, false, false, false, false},
}

// editionDomain is a trust domain with a profile of its own, and clients of all
// kinds that the profile lets be configured.
func editionDomain(t *testing.T, e edition) (*domain, string) {
	t.Helper()
	d := newFileDomain(t, e.name+".test", devca.Options{})
	d.more = ", profile: " + e.name
	client := func(id, spiffeID string, methods ...string) string {
		return fmt.Sprintf("  - {client_id: %q, spiffe_id: %q, auth_methods: [%s], resources: [%q], scope: read}\n",
			id, spiffeID, strings.Join(methods, ", "), apiURL)
	}
	clients := client(d.id("/exact"), d.id("/exact"), "spiffe_jwt") +
		client(d.id("/exact-x"), d.id("/exact-x"), "spiffe_x509") +
		client(e.name+"-named", d.id("/named"), "spiffe_jwt") +
		client(e.name+"-named-x", d.id("/named-x"), "spiffe_x509")
	if e.wildcardJWT {
		clients += client(e.name+"-wild", d.id("/wild/*"), "spiffe_jwt")
	}
	if e.wildcardX509 {
		clients += client(e.name+"-wild-x", d.id("/wild-x/*"), "spiffe_x509")
	}
	return d, clients
}

func TestProfiles(t *testing.T) {
	config := "resources: [{resource: \"" + apiURL + "\", scopes: [read]}]\nclients:\n"
	var domains []*domain
	for _, e := range editions {
		d, clients := editionDomain(t, e)
		config += clients
		domains = append(domains, d)
	}
	s := start(t, config, domains...)
	mismatch := refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"}
	missing := refusal{"invalid_request", oauth.ReasonClientIDMissing, "CJ-10"}
	counted := map[string]float64{}
	count := func(e edition, rules ...string) {
		for _, rule := range rules {
			if e.counted {
				counted[rule]++
			}
		}
	}
	judge := func(t *testing.T, c call, listener string, accepted bool, want refusal) {
		t.Helper()
		conn := s.dial(t, listener, tlsConfig(listener, c.cert))
		defer conn.Close()
		if accepted {
			conn.granted(t, c)
		} else {
			conn.refused(t, c, want)
		}
	}
	for i, e := range editions {
		d := domains[i]
		for _, aud := range []struct {
			name     string
			values   any
			listener string
			issuer   bool // it is the issuer
			endpoint bool // it is the endpoint called
			want     refusal
		}{
			{"the issuer", issuer, "public", true, false, mismatch},
			{"the issuer in a list", []string{issuer}, "public", true, false, mismatch},
			{"the issuer at the alias", issuer, "mtls", true, false, mismatch},
			{"the endpoint", tokenURL, "public", false, true, mismatch},
			{"the endpoint in a list", []string{tokenURL}, "public", false, true, mismatch},
			{"the alias at the alias", aliasURL, "mtls", false, true, mismatch},
			{"AM-6 the alias at the public listener", aliasURL, "public", false, false, mismatch},
			{"AM-6 the endpoint at the alias", tokenURL, "mtls", false, false, mismatch},
			{"the endpoint with a query", tokenURL + "?x=y", "public", false, false, mismatch},
			{"the endpoint with a slash", tokenURL + "/", "public", false, false, mismatch},
			{"EC-4 another endpoint", issuer + "/introspect", "public", false, false, mismatch},
			{"CJ-7 issuer and endpoint", []string{issuer, tokenURL}, "public", false, false, refusal{"invalid_client", oauth.ReasonAudMultiple, "EC-4"}},
			{"CJ-7 endpoint and issuer", []string{tokenURL, issuer}, "public", false, false, refusal{"invalid_client", oauth.ReasonAudMultiple, "EC-4"}},
			{"the mtls listener itself", mtlsURL, "mtls", false, false, mismatch},
		} {
			accepted := e.issuer && aud.issuer || e.endpoint && aud.endpoint
			var older []string
			if accepted && aud.endpoint {
				older = []string{"CJ-7"}
			}
			t.Run(e.name+"/"+aud.name, func(t *testing.T) {
				assertion := d.jwt(t, "/exact", "", inClaims("aud", aud.values))
				judge(t, withJWT(d.id("/exact"), assertion), aud.listener, accepted, aud.want)
				count(e, older...)
				// Without client_id the audience is judged first, as it is with one.
				want := aud.want
				if accepted {
					want = missing
				}
				judge(t, withJWT("", assertion), aud.listener, accepted && e.nameless, want)
				if accepted && e.nameless {
					count(e, append(older, "CJ-10")...)
				}
			})
		}
		good := issuer
		if !e.issuer {
			good = tokenURL
		}
		t.Run(e.name+"/clients", func(t *testing.T) {
			named := withJWT(e.name+"-named", d.jwt(t, "/named", good))
			judge(t, named, "public", true, refusal{})
			cert := func(clientID, path string) call {
				return call{cert: d.svid(t, path), form: form("client_id", clientID)}
			}
			judge(t, cert(d.id("/exact-x"), "/exact-x"), "mtls", true, refusal{})
			judge(t, cert(e.name+"-named-x", "/named-x"), "mtls", e.x509Named, refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CX-3"})
			judge(t, cert("", "/exact-x"), "mtls", false, refusal{"invalid_request", oauth.ReasonClientIDMissing, "CX-2"})
			if e.wildcardJWT {
				judge(t, withJWT(e.name+"-wild", d.jwt(t, "/wild/a/b", good)), "public", true, refusal{})
			}
			if e.wildcardX509 {
				judge(t, cert(e.name+"-wild-x", "/wild-x/a/b"), "mtls", true, refusal{})
			}
			if good == tokenURL {
				count(e, "CJ-7")
			}
		})
	}
	for _, rule := range []string{"CJ-7", "CJ-10"} {
		if got := s.metric(t, `svidgate_profile_legacy_use_total{rule="`+rule+`"}`); got != counted[rule] {
			t.Errorf("the metric has %v uses of the older form of %s, not %v", got, rule, counted[rule])
		}
	}

	// MD-20: a wildcard that a profile does not know is a fault of the configuration.
	for _, row := range []struct{ profile, method, config string }{
		{"ietf-02", "spiffe_x509", ""}, {"seed", "spiffe_jwt", ""}, {"seed", "spiffe_x509", ""},
	} {
		d := newFileDomain(t, "wild.test", devca.Options{})
		config := func(profile string) *server {
			return prepare(t, fmt.Sprintf("profile: %s\nresources: [{resource: %q, scopes: [read]}]\nclients: [{client_id: wild, spiffe_id: %q, token_endpoint_auth_method: %s, resources: [%q], scope: read}]\n",
				profile, apiURL, d.id("/*"), row.method, apiURL), d)
		}
		if _, errs, code := command(t, config("transition").dir, "check-config", "svidgate.yaml"); code != 0 {
			t.Errorf("%s in transition: code %d, %s", row.method, code, errs)
		}
		if _, errs, code := command(t, config(row.profile).dir, "check-config", "svidgate.yaml"); code != 1 || !strings.Contains(errs, "svidgate.yaml:") || !strings.Contains(errs, "wildcard") {
			t.Errorf("%s in %s: code %d, %s", row.method, row.profile, code, errs)
		}
	}
}

// Shows b: the first draft's request under the default profile, and what it takes
// under the newest.
func TestSeedRequestUnderEachProfile(t *testing.T) {
	config := func(profile string) string {
		return "profile: " + profile + "\nresources: [{resource: \"" + apiURL + "\", scopes: [read]}]\nclients:\n" +
			`  - {client_id: "spiffe://example.org/my-oauth-client", auth_methods: [spiffe_jwt, spiffe_x509], binding: none, resources: ["` + apiURL + `"], scope: read}` + "\n"
	}
	td := newDomain(t, "example.org", devca.Options{KeyAlgorithm: devca.P384})
	td.serve(t, strings.Replace(string(td.Bundle()), `"spiffe_sequence":1`, `"spiffe_sequence":10`, 1))
	id := td.id("/my-oauth-client")
	old := func() call { return withJWT("", td.jwt(t, "/my-oauth-client", tokenURL)) }
	now := func() call { return withJWT(id, td.jwt(t, "/my-oauth-client", issuer)) }
	series := func(rule string) string { return `svidgate_profile_legacy_use_total{rule="` + rule + `"}` }

	transition := start(t, config("transition"), td)
	g := transition.granted(t, old())
	if used := fmt.Sprint(g.audit["profile_legacy_use"]); used != "[CJ-10 CJ-7]" {
		t.Errorf("the audit line says %s", used)
	}
	for _, rule := range []string{"CJ-7", "CJ-10"} {
		if n := transition.metric(t, series(rule)); n != 1 {
			t.Errorf("%s is %v", series(rule), n)
		}
	}
	transition.granted(t, now())
	if n := transition.metric(t, series("CJ-7")); n != 1 {
		t.Errorf("the newest form was counted as an older one")
	}

	latest := start(t, config("latest"), td)
	a := latest.refused(t, old(), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
	if a.audit.text("expected") != issuer+" (profile latest)" || a.audit.text("presented") != tokenURL {
		t.Errorf("expected %q, presented %q", a.audit.text("expected"), a.audit.text("presented"))
	}
	latest.refused(t, withJWT(id, td.jwt(t, "/my-oauth-client", tokenURL)), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
	latest.refused(t, withJWT("", td.jwt(t, "/my-oauth-client", issuer)), refusal{"invalid_request", oauth.ReasonClientIDMissing, "CJ-10"})
	latest.granted(t, now())
	for _, rule := range []string{"CJ-7", "CJ-10"} {
		if n := latest.metric(t, series(rule)); n != 0 {
			t.Errorf("%s is %v under latest", series(rule), n)
		}
	}

	// Its own certificate, its own body: client_id without percent-encoding.
	cert := td.svid(t, "/my-oauth-client", seedCertificate)
	for _, s := range []*server{transition, latest, start(t, config("seed"), td)} {
		c := call{cert: cert, body: "grant_type=client_credentials&client_id=" + id}
		s.granted(t, c)
		// The grants of its examples are not offered, and the answer says so.
		c.body = "grant_type=refresh_token&refresh_token=abc&client_id=" + id
		s.refused(t, c, refusal{"unsupported_grant_type", oauth.ReasonGrantUnsupported, "TK-1"})
	}
}
