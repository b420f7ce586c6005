package server

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"testing"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

func listeners() map[string]string { return map[string]string{"public": "127.0.0.1:1234"} }

func readyz(t *testing.T, s *site) (int, map[string]any) {
	t.Helper()
	w := get(s.server.Status(listeners, true), "http://127.0.0.1:9/readyz")
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", w.Header())
	}
	return w.Code, body
}

// /readyz is 200 only when the server can issue tokens.
func TestReadiness(t *testing.T) {
	ready := func(sequence, age float64) map[string]any {
		return map[string]any{"ready": true, "sequence": sequence, "age_seconds": age, "error": ""}
	}
	none := map[string]any{"ready": false, "age_seconds": 0.0, "error": "nobody answers"}
	old := func(age float64) map[string]any {
		return map[string]any{"ready": false, "sequence": 1.0, "age_seconds": age, "error": "bundle_too_old"}
	}
	day := 24 * time.Hour
	for _, row := range []struct {
		name         string
		trustDomains []string
		happens      func(*testing.T, *site)
		status       int
		err          string
		want         map[string]any
	}{
		{"one trust domain", []string{"example.org"}, nil, 200, "", map[string]any{"example.org": ready(1, 0)}},
		{"F9 one of two is not ready", []string{"example.org", "not-ready.test"}, nil, 200, "", map[string]any{"example.org": ready(1, 0), "not-ready.test": none}},
		{"GL-15 none is ready", []string{"not-ready.test"}, nil, 503, "td_not_ready", map[string]any{"not-ready.test": none}},
		{"no trust domain is configured", nil, nil, 200, "", map[string]any{}},
		{"BE-15 as old as may be", []string{"example.org"}, func(t *testing.T, s *site) { s.Clock.Advance(day) }, 200, "", map[string]any{"example.org": ready(1, 86400)}},
		{"BE-15 too old", []string{"example.org"}, func(t *testing.T, s *site) { s.Clock.Advance(day + time.Second) }, 503, "td_not_ready", map[string]any{"example.org": old(86401)}},
		{"the audit record cannot be written", []string{"example.org"}, func(t *testing.T, s *site) { breakAudit(t, s) }, 503, "audit_unavailable", map[string]any{"example.org": ready(1, 0)}},
		{"GL-15 the store is down", []string{"example.org"}, func(t *testing.T, s *site) { s.config.Store.(io.Closer).Close() }, 503, "store_unavailable", map[string]any{"example.org": ready(1, 0)}},
		{"it is stopping", []string{"example.org"}, func(t *testing.T, s *site) { s.server.Stopping() }, 503, "stopping", map[string]any{"example.org": ready(1, 0)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSiteWith(t, row.trustDomains)
			if row.happens != nil {
				row.happens(t, s)
			}
			status, body := readyz(t, s)
			want := map[string]any{"ready": row.status == 200, "listeners": map[string]any{"public": "127.0.0.1:1234"}, "trust_domains": row.want}
			if row.err != "" {
				want["error"] = row.err
			}
			if status != row.status || !reflect.DeepEqual(body, want) {
				t.Errorf("%d %v\nwant %d %v", status, body, row.status, want)
			}
		})
	}
}

// BE-15: a bundle that may be of any age never makes a trust domain unready.
func TestReadinessWithoutAnAgeLimit(t *testing.T) {
	s := newSite(t)
	settings := svidgate.DefaultSettings()
	settings.MaxBundleAge = svidgate.Unbounded
	var err error
	s.config.Authenticator.Verifier, err = svidgate.NewVerifier(svidgate.Config{Issuer: testidentity.Issuer, Settings: settings, Bundles: s.config.Bundles, Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(10 * 365 * 24 * time.Hour)
	if status, body := readyz(t, s); status != http.StatusOK {
		t.Errorf("BE-15 %d %v", status, body)
	}
}

// breakAudit puts a record in place that has failed: /dev/full is always full.
func breakAudit(t *testing.T, s *site) {
	t.Helper()
	full, err := audit.Open(audit.Config{File: "/dev/full", Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	s.config.Audit = full
	if s.server, err = New(s.config, nil); err != nil {
		t.Fatal(err)
	}
	if w := post(s.server.Public(), s.good(t), nil); w.Code != http.StatusServiceUnavailable || w.Body.Len() > 0 {
		t.Fatalf("GL-15 %d %s", w.Code, w.Body)
	}
}

// Requests go on being answered while readiness is taken away.
func TestStoppingStillServes(t *testing.T) {
	s := newSite(t)
	s.server.Stopping()
	if w := post(s.server.Public(), s.good(t), nil); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestStatusPaths(t *testing.T) {
	h := newSite(t).server.Status(listeners, true)
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/metrics": 200,
		"/": 404, "/token": 404, "/jwks.json": 404, "/debug/pprof/": 404, "/livez/": 404, "/Metrics": 404,
		"/.well-known/oauth-authorization-server": 404,
	} {
		w := get(h, "http://localhost:9"+path)
		if w.Code != want || w.Header().Get(oauth.HeaderRequestID) == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d with %v, want %d", path, w.Code, w.Header(), want)
		}
	}
	w := get(h, "http://localhost:9/livez", func(r *http.Request) { r.Method = http.MethodPost })
	if w.Code == http.StatusOK {
		t.Error("POST /livez is answered")
	}
}

// On plain HTTP only names of the loopback host are answered, so that no web page
// reads the status by a name of its own that leads to 127.0.0.1.
func TestHostOfTheStatusListener(t *testing.T) {
	s := newSite(t)
	guarded, open := s.server.Status(listeners, true), s.server.Status(listeners, false)
	for host, ours := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:9": true, "127.8.9.1:9": true, "localhost": true, "localhost:9": true, "[::1]": true, "[::1]:9": true,
		"": false, "example.com": false, "example.com:9": false, "localhost.example.com": false, "127.0.0.1.example.com": false,
		"10.0.0.1": false, "[2001:db8::1]:9": false, "0.0.0.0": false, "localhost:9@example.com": false, "[localhost]x": false, "[]": false, ":9": false,
	} {
		edit := func(r *http.Request) { r.Host = host }
		want := http.StatusMisdirectedRequest
		if ours {
			want = http.StatusOK
		}
		w := get(guarded, "http://127.0.0.1/readyz", edit)
		if w.Code != want || w.Header().Get(oauth.HeaderRequestID) == "" || !ours && w.Body.Len() > 0 {
			t.Errorf("host %q: %d %s, want %d", host, w.Code, w.Body, want)
		}
		if w := get(open, "https://127.0.0.1/readyz", edit); w.Code != http.StatusOK { // over TLS the certificate says who is asked
			t.Errorf("host %q over TLS: %d", host, w.Code)
		}
	}
}

// Every answer has a Request-Id of ours: never the caller's, never the same.
func TestRequestID(t *testing.T) {
	s := newSite(t)
	seen := map[string]bool{}
	for name, h := range map[string]http.Handler{"public": s.server.Public(), "mtls": s.server.MTLS(), "status": s.server.Status(listeners, true)} {
		for _, path := range []string{"/token", "/jwks.json", "/nowhere", "//", "/livez"} {
			for range 2 {
				w := get(h, "https://localhost"+path, func(r *http.Request) { r.Header.Set(oauth.HeaderRequestID, "theirs") })
				id := w.Header().Get(oauth.HeaderRequestID)
				if id == "" || id == "theirs" || seen[id] || len(w.Header().Values(oauth.HeaderRequestID)) != 1 {
					t.Errorf("%s %s: %q", name, path, id)
				}
				if w.Header().Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s %s may be sniffed", name, path)
				}
				seen[id] = true
			}
		}
	}
	w := post(s.server.Public(), s.good(t), nil)
	if lines := s.lines(t); len(lines) != 1 || lines[0]["request_id"] != w.Header().Get(oauth.HeaderRequestID) {
		t.Errorf("the audit record names another request than %v: %v", w.Header(), lines)
	}
}
