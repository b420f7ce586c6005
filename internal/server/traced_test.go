package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/trace"
)

// followed is a server that follows every request.
func followed(t *testing.T) (*site, *[]*trace.Trace) {
	t.Helper()
	var got []*trace.Trace
	s := newSite(t, func(c *Config) {
		c.Tracer = &trace.Tracer{Sample: 1, Now: c.Now, Export: func(t *trace.Trace) { got = append(got, t) }}
	})
	return s, &got
}

// Each request has the stages it came through, the last before the record is the
// one that refused, and nothing is told that a stranger made up.
func TestTraces(t *testing.T) {
	s, got := followed(t)
	const strange = "stranger-7f3a"
	claim := func(name string, value any) func(h, c map[string]any) {
		return func(_, c map[string]any) { c[name] = value }
	}
	all := []trace.Stage{trace.Shape, trace.Identity, trace.Client, trace.Grant, trace.Decision, trace.Token, trace.Record}
	upTo := func(last trace.Stage) []trace.Stage {
		return append(slices.Clone(all[:slices.Index(all, last)+1]), trace.Record)
	}
	for _, row := range []struct {
		name   string
		send   func() *httptest.ResponseRecorder
		stages []trace.Stage
		want   trace.Facts
	}{
		{"granted", func() *httptest.ResponseRecorder { return post(s.server.Public(), s.good(t), nil) }, all,
			trace.Facts{Outcome: "granted", TrustDomain: "example.org", ClientID: billing, AuthMethod: "spiffe_jwt"}},
		{"granted by certificate", func() *httptest.ResponseRecorder {
			return post(s.server.MTLS(), testidentity.Certificate(orders), s.Chain(t, orders))
		}, all, trace.Facts{Outcome: "granted", TrustDomain: "example.org", ClientID: orders, AuthMethod: "spiffe_x509"}},
		{"TK-1 malformed", func() *httptest.ResponseRecorder { return post(s.server.Public(), nil, nil) }, upTo(trace.Shape),
			trace.Facts{Outcome: "refused", Reason: "request_malformed"}},
		{"CJ-6 wrong audience", func() *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.Assertion(billing, s.JWT(t, billing, claim("aud", "https://"+strange))), nil)
		}, upTo(trace.Identity), trace.Facts{Outcome: "refused", Reason: "aud_mismatch", Rule: "CJ-6", TrustDomain: "example.org", AuthMethod: "spiffe_jwt"}},
		{"JS-13 unknown trust domain", func() *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.Assertion("", s.JWT(t, billing, claim("sub", "spiffe://"+strange+".test/a"))), nil)
		}, upTo(trace.Identity), trace.Facts{Outcome: "refused", Reason: "td_unknown", Rule: "JS-13", AuthMethod: "spiffe_jwt"}},
		{"CJ-8 another client's id", func() *httptest.ResponseRecorder { return post(s.server.Public(), s.bad(t), nil) }, upTo(trace.Client),
			trace.Facts{Outcome: "refused", Reason: "client_id_mismatch", TrustDomain: "example.org", AuthMethod: "spiffe_jwt"}},
		{"RI-1 unknown scope", func() *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.With(s.good(t), "scope", strange), nil)
		}, upTo(trace.Decision), trace.Facts{Outcome: "refused", Reason: "scope_denied", TrustDomain: "example.org", ClientID: billing, AuthMethod: "spiffe_jwt"}},
		{"GL-15 no bundle", func() *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.Assertion("", s.JWT(t, "spiffe://not-ready.test/a")), nil)
		}, upTo(trace.Identity), trace.Facts{Outcome: "refused", Reason: "td_not_ready", Rule: "GL-15", TrustDomain: "not-ready.test", AuthMethod: "spiffe_jwt", Failed: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			*got = nil
			w := row.send()
			if len(*got) != 1 {
				t.Fatalf("%d traces", len(*got))
			}
			tr := (*got)[0]
			var stages []trace.Stage
			for i, span := range tr.Stages {
				stages = append(stages, span.Stage)
				if refuses := row.want.Reason != "" && i == len(tr.Stages)-2; (span.Reason != "") != refuses || refuses && span.Reason != row.want.Reason {
					t.Errorf("stage %s has the reason %q", span.Stage, span.Reason)
				}
			}
			if !slices.Equal(stages, row.stages) {
				t.Errorf("stages %v, want %v", stages, row.stages)
			}
			facts := tr.Facts
			if facts.RequestID != w.Header().Get("Request-Id") || facts.Endpoint != "token" || (facts.Rule == "") != (facts.Reason == "") {
				t.Errorf("facts %+v", facts)
			}
			if lines := s.lines(t); facts.Txn == "" || facts.Txn != lines[len(lines)-1]["txn"] {
				t.Errorf("AU-7 txn is %q", facts.Txn)
			}
			if facts.RequestID, facts.Endpoint, facts.Txn = "", "", ""; row.want.Rule == "" {
				facts.Rule = ""
			}
			if facts != row.want {
				t.Errorf("facts %+v, want %+v", facts, row.want)
			}
		})
	}
}

// A server that breaks ends its trace, too, and only where it answers at all.
func TestTraceOfAPanic(t *testing.T) {
	s, got := followed(t)
	breaks := *s.server
	breaks.config.Policy = nil
	if w := post(breaks.Public(), s.good(t), nil); w.Code != http.StatusInternalServerError || len(*got) != 1 {
		t.Fatalf("status %d, %d traces", w.Code, len(*got))
	}
	if tr := (*got)[0]; !tr.Failed || tr.Reason != "internal" || tr.Stages[len(tr.Stages)-2].Stage != trace.Decision {
		t.Errorf("%+v", tr)
	}
}

// What the peer sends of tracing becomes a link, and only what is well formed.
func TestTraceLinks(t *testing.T) {
	s, got := followed(t)
	for value, linked := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00": true,
		strings.Repeat("a", 55):                                   false, "": false,
	} {
		*got = nil
		post(s.server.Public(), s.good(t), nil, func(r *http.Request) { r.Header.Set("Traceparent", value) })
		if (*got)[0].Link != (trace.Link{}) != linked {
			t.Errorf("%q: %+v", value, (*got)[0].Link)
		}
	}
}
