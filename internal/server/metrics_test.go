package server

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// A series is one line of /metrics.
type series struct {
	family string
	labels map[string]string
	value  float64 // of a counter or a gauge
	count  uint64  // of a histogram
	first  uint64  // in its first bucket
}

func gather(t *testing.T, s *site) []series {
	t.Helper()
	families, err := s.server.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []series
	for _, f := range families {
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			one := series{f.GetName(), map[string]string{}, m.GetCounter().GetValue() + m.GetGauge().GetValue(), h.GetSampleCount(), 0}
			if buckets := h.GetBucket(); len(buckets) > 0 {
				one.first = buckets[0].GetCumulativeCount()
			}
			for _, p := range m.GetLabel() {
				one.labels[p.GetName()] = p.GetValue()
			}
			all = append(all, one)
		}
	}
	return all
}

// of are the series of a family that have these labels.
func of(all []series, family string, labels ...string) (some []series) {
	for _, one := range all {
		fits := one.family == family
		for i := 0; i+1 < len(labels); i += 2 {
			fits = fits && one.labels[labels[i]] == labels[i+1]
		}
		if fits {
			some = append(some, one)
		}
	}
	return some
}

// counted adds up the counters or gauges of a family that have these labels.
func counted(t *testing.T, s *site, family string, labels ...string) (sum float64) {
	t.Helper()
	for _, one := range of(gather(t, s), family, labels...) {
		sum += one.value
	}
	return sum
}

// labelNames are the labels of each metric that tools may rely on.
var labelNames = map[string][]string{
	"svidgate_tokens_issued_total":           {"binding", "grant", "method"},
	"svidgate_refusals_total":                {"endpoint", "reason", "trust_domain"},
	"svidgate_signature_results_total":       {"method", "result"},
	"svidgate_profile_legacy_use_total":      {"rule"},
	"svidgate_bundle_age_seconds":            {"trust_domain"},
	"svidgate_bundle_alarm":                  {"trust_domain"},
	"svidgate_bundle_fetch_failures":         {"trust_domain"},
	"svidgate_bundle_keys":                   {"trust_domain", "use"},
	"svidgate_signing_keys":                  {"alg", "state"},
	"svidgate_config_file_refused":           {},
	"svidgate_http_request_duration_seconds": {"code", "method", "route"},
	"svidgate_build_info":                    {"version"},
	"svidgate_bundle_max_age_seconds":        {"trust_domain"},
	"svidgate_bundle_refetches_total":        {"outcome", "trust_domain"},
	"svidgate_clock_skew_seconds":            {"trust_domain"},
	"svidgate_requests_granted_total":        {"trust_domain"},
	"svidgate_svid_time_to_expiry_seconds":   {"method"},
	"svidgate_http_requests_in_flight":       {},
	"svidgate_panics_total":                  {},
	"svidgate_audit_write_duration_seconds":  {},
	"svidgate_audit_healthy":                 {},
	"svidgate_store_healthy":                 {},
	"svidgate_store_bytes":                   {},
	"svidgate_store_rows":                    {"table"},
	"svidgate_store_commit_duration_seconds": {},
	"svidgate_store_commit_writes":           {},
	"svidgate_store_writes_refused_total":    {},
	"svidgate_store_expired_rows_total":      {},
	"svidgate_revocations":                   {"kind"},
	"svidgate_revocations_age_seconds":       {},
	"svidgate_clients":                       {"state", "trust_domain"},
	"svidgate_registrations_total":           {"outcome", "trust_domain"},
}

// labelValues are all values that a label of ours ever has, besides the reasons.
var labelValues = map[string][]string{
	"binding": {"bearer", "x5t#S256", "jkt"}, "grant": {"client_credentials", "authorization_code", "refresh_token"}, "method": {"spiffe_jwt", "spiffe_x509", "spiffe_wit", "none", "GET", "HEAD", "POST", "other"},
	"endpoint": {"token", "par"}, "result": {"remembered", "verified"}, "trust_domain": {"", "other", "example.org", "not-ready.test"}, "rule": {"CJ-7", "CJ-10"},
	"route": {"/token", "/par", "/introspect", "/revoke", "/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "other"},
	"table": {"documents", "grants", "pushed_requests", "revocations", "client_archive", "client_blocks", "client_changes", "client_counts", "client_records", "login_attempts", "login_consents", "login_sessions", "login_tries", "login_users"}, "kind": {"jti", "client", "spiffe_id", "spiffe_id_prefix", "trust_domain", "kid"},
	"use": {"x509-svid", "jwt-svid", "wit-svid"}, "alg": {"ES256"}, "state": {"pending", "active", "retiring", "observed", "member"},
	"outcome": {"renewed", "unchanged", "failed", "limited", "registered", "pending", "would_register", "would_refuse"}, "code": {"200", "400", "401", "404", "405", "413", "429", "500", "503"},
}

// Whatever a stranger sends, the set of series stays the same: labels have values
// of ours only.
func TestMetricLabelsAreClosed(t *testing.T) {
	s := newFirstUseSite(t, registration.OnFirstUse)
	h := s.server.Public()
	post(h, testidentity.Assertion("", s.JWT(t, "spiffe://example.org/fleet/stranger-7f3a")), nil)
	post(h, testidentity.Assertion("", s.JWT(t, "spiffe://example.org/stranger-7f3a")), nil)
	s.Ledger().Look(t.Context())
	post(h, s.good(t), nil)
	post(s.server.MTLS(), testidentity.Certificate(orders), s.Chain(t, orders))
	edit := func(name string, value any) func(h, c map[string]any) {
		return func(_, c map[string]any) { c[name] = value }
	}
	strange := "stranger-7f3a"
	for _, form := range []url.Values{
		s.bad(t),
		testidentity.Assertion(strange, s.JWT(t, billing)),
		testidentity.Assertion("", s.JWT(t, billing, edit("sub", "spiffe://"+strange+".test/a"))),
		testidentity.Assertion("", s.JWT(t, "spiffe://not-ready.test/a")),
		testidentity.Assertion("", s.JWT(t, billing, edit("aud", testidentity.TokenURL))),
		testidentity.With(s.good(t), "grant_type", strange),
		testidentity.With(s.good(t), "scope", strange),
		testidentity.With(s.good(t), "resource", "https://"+strange+".example.com/"),
		testidentity.With(s.good(t), "client_assertion_type", strange),
		testidentity.With(s.good(t), "x", strings.Repeat(strange, 10000)),
		testidentity.With(s.good(t), "client_assertion", strange),
	} {
		post(h, form, nil)
	}
	for _, path := range []string{"/", "/" + strange, "/token/" + strange, "/.well-known/" + strange} {
		get(h, testidentity.Issuer+path)
	}
	post(h, nil, nil, func(r *http.Request) { r.Method = strings.ToUpper(strange) })
	get(h, testidentity.Issuer+"/jwks.json", func(r *http.Request) { r.Method = http.MethodHead })

	reasons := []string{}
	for _, text := range oauth.ReasonTexts() {
		reasons = append(reasons, string(text.Reason))
	}
	all := gather(t, s)
	for name := range labelNames {
		if len(of(all, name)) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	for _, one := range all {
		want, known := labelNames[one.family]
		switch {
		case !known && !strings.HasPrefix(one.family, "go_") && !strings.HasPrefix(one.family, "process_"):
			t.Errorf("%s stands in no list", one.family)
			continue
		case !known:
			continue
		}
		if names := slices.Sorted(maps.Keys(one.labels)); !slices.Equal(names, want) {
			t.Errorf("%s has the labels %v, want %v", one.family, names, want)
		}
		for label, value := range one.labels {
			allowed := labelValues[label]
			if label == "reason" {
				allowed = reasons
			}
			if label != "version" && !slices.Contains(allowed, value) {
				t.Errorf("%s has %s=%q", one.family, label, value)
			}
		}
	}
	body := get(s.server.Status(listeners, true), "http://localhost/metrics").Body.String()
	if !strings.Contains(body, "svidgate_refusals_total") || strings.Contains(body, strange) {
		t.Error("AU-2 /metrics repeats what a stranger sent, or says nothing")
	}
}

func TestMetricsCount(t *testing.T) {
	s := newSite(t)
	if n := counted(t, s, "svidgate_profile_legacy_use_total"); n != 0 || len(of(gather(t, s), "svidgate_profile_legacy_use_total")) != 2 {
		t.Errorf("15.2 %v older forms before any request, or no series to watch", n)
	}
	edit := func(name string, value any) func(h, c map[string]any) {
		return func(_, c map[string]any) { c[name] = value }
	}
	h := s.server.Public()
	post(h, s.good(t), nil)
	post(h, s.good(t), s.Chain(t, billing))
	post(h, testidentity.Certificate(orders), s.Chain(t, orders))
	post(h, testidentity.Assertion("", s.JWT(t, billing, edit("aud", testidentity.TokenURL))), nil)
	post(h, s.bad(t), nil)
	post(h, testidentity.Assertion("", s.JWT(t, billing, edit("sub", "spiffe://nowhere.test/a"))), nil)
	post(h, testidentity.Assertion("", s.JWT(t, "spiffe://not-ready.test/a")), nil)
	post(h, nil, nil)
	for _, row := range []struct {
		family string
		labels []string
		want   float64
	}{
		{"svidgate_tokens_issued_total", []string{"grant", "client_credentials", "method", "spiffe_jwt", "binding", "bearer"}, 2},
		{"svidgate_tokens_issued_total", []string{"method", "spiffe_jwt", "binding", "x5t#S256"}, 1},
		{"svidgate_tokens_issued_total", []string{"method", "spiffe_x509", "binding", "x5t#S256"}, 1},
		{"svidgate_tokens_issued_total", nil, 4},
		{"svidgate_refusals_total", []string{"endpoint", "token", "reason", "client_id_mismatch", "trust_domain", "example.org"}, 1},
		{"svidgate_refusals_total", []string{"reason", "td_unknown", "trust_domain", "other"}, 1},
		{"svidgate_refusals_total", []string{"reason", "td_not_ready", "trust_domain", "not-ready.test"}, 1},
		{"svidgate_refusals_total", []string{"reason", "request_malformed", "trust_domain", ""}, 1},
		{"svidgate_refusals_total", nil, 4},
		{"svidgate_requests_granted_total", []string{"trust_domain", "example.org"}, 4},
		{"svidgate_requests_granted_total", nil, 4},
		{"svidgate_profile_legacy_use_total", []string{"rule", "CJ-7"}, 1},
		{"svidgate_profile_legacy_use_total", []string{"rule", "CJ-10"}, 1},
	} {
		if got := counted(t, s, row.family, row.labels...); got != row.want {
			t.Errorf("%s%v is %v, want %v", row.family, row.labels, got, row.want)
		}
	}
	ages := of(gather(t, s), "svidgate_bundle_age_seconds")
	if len(ages) != 1 || ages[0].labels["trust_domain"] != "example.org" {
		t.Errorf("the ages are %v, want that of the one trust domain that has a bundle", ages)
	}
}
