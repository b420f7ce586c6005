package otlp

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/svidgate/svidgate/internal/trace"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// refused is a request that a rule on its identity turned away.
func refused() *trace.Trace {
	return &trace.Trace{
		Facts: trace.Facts{RequestID: "R1", Endpoint: "token", Outcome: "refused", Reason: "expired", Rule: "CJ-5", TrustDomain: "example.org", AuthMethod: "spiffe_jwt"},
		Began: noon, Ended: noon.Add(3 * time.Millisecond),
		Link: trace.Link{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Sampled: true},
		Stages: []trace.Span{
			{Stage: trace.Shape, Began: noon, Ended: noon.Add(time.Millisecond)},
			{Stage: trace.Identity, Began: noon.Add(time.Millisecond), Ended: noon.Add(2 * time.Millisecond), Reason: "expired", Rule: "CJ-5"},
			{Stage: trace.Record, Began: noon.Add(2 * time.Millisecond), Ended: noon.Add(3 * time.Millisecond)},
		},
	}
}

// collecting is a real collector as far as OTLP over HTTP goes. It hands out what
// it was sent, once the exporter has been shut down.
func collecting(t *testing.T, use func(endpoint string)) []*v1.ResourceSpans {
	t.Helper()
	var mu sync.Mutex
	var got []*v1.ResourceSpans // guarded by mu
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		var request collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/base/v1/traces" || proto.Unmarshal(body, &request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, request.GetResourceSpans()...)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer s.Close()
	use(s.URL + "/base")
	mu.Lock()
	defer mu.Unlock()
	return got
}

func attributes(s *v1.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		all[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return all
}

// One span for the request and one below it for each stage, as they were, in a
// trace of its own that only links to the peer's.
func TestSpans(t *testing.T) {
	got := collecting(t, func(endpoint string) {
		e, err := New(Config{Endpoint: endpoint, Version: "v1", Log: quietLog()})
		if err != nil {
			t.Fatal(err)
		}
		e.Export(refused())
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if len(got) != 1 || len(got[0].GetScopeSpans()) != 1 || len(got[0].GetScopeSpans()[0].GetSpans()) != 4 {
		t.Fatalf("%v", got)
	}
	if url := got[0].GetSchemaUrl(); url != "" {
		t.Errorf("the resource has the schema %s", url)
	}
	resource := map[string]string{}
	for _, a := range got[0].GetResource().GetAttributes() {
		resource[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if resource["service.name"] != "svidgate" || resource["service.version"] != "v1" {
		t.Errorf("resource %v", resource)
	}
	spans := map[string]*v1.Span{}
	for _, s := range got[0].GetScopeSpans()[0].GetSpans() {
		spans[s.GetName()] = s
	}
	whole := spans["token"]
	if whole == nil || len(whole.GetParentSpanId()) != 0 || whole.GetKind() != v1.Span_SPAN_KIND_SERVER {
		t.Fatalf("the request is %v", whole)
	}
	if a := attributes(whole); a["request_id"] != "R1" || a["reason"] != "expired" || a["rule"] != "CJ-5" || a["trust_domain"] != "example.org" || a["auth_method"] != "spiffe_jwt" || a["outcome"] != "refused" || len(a) != 6 {
		t.Errorf("attributes %v", a)
	}
	if whole.GetStatus().GetCode() != v1.Status_STATUS_CODE_UNSET {
		t.Errorf("a refusal is told as an error of the server: %v", whole.GetStatus())
	}
	if l := whole.GetLinks(); len(l) != 1 || hex.EncodeToString(l[0].GetTraceId()) != "01"+strings.Repeat("0", 30) || bytes.Equal(l[0].GetTraceId(), whole.GetTraceId()) {
		t.Errorf("links %v of trace %x", l, whole.GetTraceId())
	}
	for _, want := range refused().Stages {
		s := spans[string(want.Stage)]
		if s == nil || !bytes.Equal(s.GetParentSpanId(), whole.GetSpanId()) || !bytes.Equal(s.GetTraceId(), whole.GetTraceId()) {
			t.Errorf("stage %s is %v", want.Stage, s)
			continue
		}
		if s.GetStartTimeUnixNano() != uint64(want.Began.UnixNano()) || s.GetEndTimeUnixNano() != uint64(want.Ended.UnixNano()) {
			t.Errorf("stage %s has other times: %v", want.Stage, s)
		}
		if a := attributes(s); a["reason"] != want.Reason || a["rule"] != want.Rule || (s.GetStatus().GetCode() == v1.Status_STATUS_CODE_ERROR) != (want.Reason != "") {
			t.Errorf("stage %s: %v %v", want.Stage, a, s.GetStatus())
		}
	}
}

// A fault of the server is an error of its span, and without traceparent there is
// no link.
func TestFailedSpan(t *testing.T) {
	got := collecting(t, func(endpoint string) {
		e, err := New(Config{Endpoint: endpoint + "/", Version: "v1", Log: quietLog()})
		if err != nil {
			t.Fatal(err)
		}
		e.Export(&trace.Trace{Facts: trace.Facts{Endpoint: "token", Reason: "internal", Failed: true}, Began: noon, Ended: noon})
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if len(got) != 1 {
		t.Fatalf("%v", got)
	}
	if s := got[0].GetScopeSpans()[0].GetSpans()[0]; s.GetStatus().GetCode() != v1.Status_STATUS_CODE_ERROR || len(s.GetLinks()) != 0 {
		t.Errorf("%v", s)
	}
}

// A collector that takes connections and never answers holds up neither requests
// nor the stop, and the log hears of it, a few times at most.
func TestHangingCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	e, err := New(Config{Endpoint: "http://" + l.Addr().String(), Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	exported := make(chan struct{})
	go func() {
		for range 20_000 { // far more than the queue holds
			e.Export(refused())
		}
		close(exported)
	}()
	select {
	case <-exported:
	case <-time.After(30 * time.Second):
		t.Fatal("requests wait for the collector")
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); err == nil {
		t.Error("traces were delivered to nobody")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop waited %v", took)
	}
}

// A collector that is away, or sends us elsewhere, is told of once, in one line.
func TestUndelivered(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for name, handler := range map[string]http.Handler{
		"an error":   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }),
		"a redirect": http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect),
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(handler)
			defer s.Close()
			var log bytes.Buffer
			e, err := New(Config{Endpoint: s.URL, Log: slog.New(slog.NewJSONHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				e.Export(refused())
				e.provider.ForceFlush(t.Context()) // its error is what the log has to tell
				e.failed(slog.New(slog.NewJSONHandler(&log, nil)), context.DeadlineExceeded)
			}
			e.Shutdown(t.Context())
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "traces cannot be delivered") {
				t.Errorf("%d lines: %s", n, log.String())
			}
		})
	}
}
