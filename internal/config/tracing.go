package config

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/svidgate/svidgate/internal/loopback"
)

// Tracing is which requests are followed through their stages, and where that is
// told. The zero value follows none.
type Tracing struct {
	// Endpoint, `tracing.endpoint`, required with tracing: the base URL of an
	// OpenTelemetry collector that takes OTLP over HTTP; /v1/traces is added. https,
	// or http on loopback. Danger: it learns the client, the trust domain and the
	// refusal of each request that is followed.
	Endpoint string
	// Sample, `tracing.sample`, default 0.01: the share of requests, above 0, up to
	// 1. Danger of 1 in production: each request costs some microseconds more.
	Sample float64
}

func readTracing(t *table) Tracing {
	if !t.opened {
		return Tracing{}
	}
	return Tracing{Endpoint: t.collectorURL("endpoint"), Sample: t.share("sample", 0.01)}
}

// collectorURL reads the base URL of a collector. http is for this machine alone:
// elsewhere anybody on the way could read it, and answer.
func (t *table) collectorURL(key string) string {
	const want = "an https URL, or an http URL of a loopback address such as http://127.0.0.1:4318"
	raw, ok := t.text(key, want)
	if !ok {
		return ""
	}
	if strings.Contains(authority(raw), "@") { // not repeated: it may be a password
		t.r.fault(t.place(key), "%s must be a URL without user information before the host; what a collector wants as headers stands in OTEL_EXPORTER_OTLP_HEADERS", t.name(key))
		return ""
	}
	u, err := url.Parse(raw)
	switch {
	case !printable(raw) || err != nil || !strings.HasPrefix(raw, "https://") && !strings.HasPrefix(raw, "http://") || badAuthority(u):
		t.mustBe(key, want)
	case strings.HasPrefix(raw, "http://") && !loopback.Host(u.Hostname()):
		t.mustBe(key, want)
	case strings.ContainsAny(raw, "?#") || oddPath(u, raw):
		t.mustBe(key, "a URL without query and fragment, whose path has no dot segment, no empty segment and no percent-encoding")
	default:
		return raw
	}
	return ""
}

// share reads a number above 0, up to 1.
func (t *table) share(key string, otherwise float64) float64 {
	m, there := t.members[key]
	if !there {
		return otherwise
	}
	f, err := strconv.ParseFloat(m.value.text, 64)
	if m.value.kind != number || err != nil || !(f > 0 && f <= 1) || strings.Trim(m.value.text, "0123456789.") != "" {
		t.mustBe(key, "a number above 0, up to 1, such as 0.01 for one request in a hundred")
		return otherwise
	}
	return f
}
