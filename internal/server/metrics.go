package server

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/build"
	"github.com/svidgate/svidgate/oauth"
)

// metrics are the server's own, in a registry of their own. Every label has a
// closed set of values: nothing a peer sends can make a new series.
type metrics struct {
	registry *prometheus.Registry
	bundles  *bundle.Set

	sightings *Sightings // may be nil

	issued      *prometheus.CounterVec
	issuedFor   map[issue]prometheus.Counter // of issued, found without its lock
	proofs      map[proof]prometheus.Counter // of the signature results
	refusals    *prometheus.CounterVec
	legacyUse   *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	refusedFile prometheus.Gauge
	inFlight    prometheus.Gauge
	panics      prometheus.Counter
	recording   prometheus.Histogram

	registrations *prometheus.CounterVec
}

func newMetrics(c *Config) *metrics {
	bundles, ring := c.Bundles, c.Keys
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		bundles:   bundles,
		sightings: c.Sightings,
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "svidgate_tokens_issued_total", Help: "Access tokens issued.",
		}, []string{"grant", "method", "binding"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "svidgate_refusals_total", Help: "Requests refused, by reason code.",
		}, []string{"endpoint", "reason", "trust_domain"}),
		legacyUse: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "svidgate_profile_legacy_use_total", Help: "Requests that the profile transition let pass in an older form, by rule.",
		}, []string{"rule"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "svidgate_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
		}, []string{"route", "method", "code"}),
	}
	for _, rule := range []string{"CJ-7", "CJ-10"} {
		m.legacyUse.WithLabelValues(rule)
	}
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "svidgate_signature_results_total", Help: "Authenticated callers, by whether their signature or chain was found good now or was remembered.",
	}, []string{"method", "result"})
	m.issuedFor, m.proofs = map[issue]prometheus.Counter{}, map[proof]prometheus.Counter{}
	for _, method := range []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT} {
		m.proofs[proof{string(method), true}] = results.WithLabelValues(string(method), "remembered")
		m.proofs[proof{string(method), false}] = results.WithLabelValues(string(method), "verified")
		for _, g := range c.Grants.Types() {
			for _, binding := range []oauth.Binding{oauth.BindingBearer, oauth.BindingCertificate, oauth.BindingKey} {
				i := issue{string(g), string(method), string(binding)}
				m.issuedFor[i] = m.issued.WithLabelValues(i.grant, i.method, i.binding)
			}
		}
	}
	m.refusedFile = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "svidgate_config_file_refused", Help: "1 while the configuration file is one that was refused, and an earlier one is in force.",
	})
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "svidgate_http_requests_in_flight", Help: "Requests that are being answered.",
	})
	m.panics = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "svidgate_panics_total", Help: "Requests in which the server broke.",
	})
	m.recording = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "svidgate_audit_write_duration_seconds", Help: "Time until the event of a request was recorded, or could not be.",
		Buckets: []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
	})
	built := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "svidgate_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": build.Read().Version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.issued, results, m.refusals, m.legacyUse, m.duration, m.refusedFile, built, bundleState{bundles}, keyState{ring}, revocationState{c.Revocations},
		m.inFlight, m.panics, m.recording, auditHealth(c.Audit),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registrations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "svidgate_registrations_total", Help: "First requests that made a client or one that waits for an operator, or would have (mode observe).",
	}, []string{"trust_domain", "outcome"})
	m.registry.MustRegister(m.registrations)
	if ledger := c.Authenticator.Clients.Ledger(); ledger != nil {
		m.registry.MustRegister(clientState{ledger, m.configured})
	}
	if c.Store != nil {
		m.registry.MustRegister(c.Store)
	}
	if c.Sightings != nil {
		m.registry.MustRegister(c.Sightings)
	}
	return m
}

// An issue and a proof are label values of a counter that is there from the start:
// all of them are known.
type (
	issue struct{ grant, method, binding string }
	proof struct {
		method     string
		remembered bool
	}
)

func (m *metrics) granted(rec *record) {
	if rec.event.Event == audit.EventToken {
		i := issue{rec.event.GrantType, rec.event.AuthMethod, rec.event.Binding}
		counter, ok := m.issuedFor[i]
		if !ok {
			counter = m.issued.WithLabelValues(i.grant, i.method, i.binding)
		}
		counter.Inc()
	}
	m.sightings.granted(rec.event.TrustDomain)
	m.authenticated(rec)
}

// authenticated counts how a caller was authenticated, and by which older forms,
// whatever became of its request afterwards.
func (m *metrics) authenticated(rec *record) {
	if counter, ok := m.proofs[proof{rec.event.AuthMethod, rec.remembered}]; ok && rec.authenticated {
		counter.Inc()
	}
	for _, rule := range rec.event.ProfileLegacyUse {
		m.legacyUse.WithLabelValues(rule).Inc()
	}
}

func (m *metrics) refused(rec *record) {
	td := rec.event.TrustDomain
	if td != "" && !m.configured(td) {
		td = "other"
	}
	m.refusals.WithLabelValues(rec.event.Event, rec.event.Reason, td).Inc()
	m.authenticated(rec)
}

// awaits begins the series of answers that must not come, so that the first one
// is seen as an increase.
func (m *metrics) awaits(route string) {
	for _, code := range []string{"500", "503"} {
		m.duration.WithLabelValues(route, http.MethodPost, code)
	}
}

// FileRefused notes whether the configuration file is one that was refused, so
// that another than it says is in force.
func (s *Server) FileRefused(refused bool) {
	value := 0.0
	if refused {
		value = 1
	}
	s.metrics.refusedFile.Set(value)
}

// configured keeps a stranger's trust domain from making a series.
func (m *metrics) configured(name string) bool {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return false
	}
	_, err = m.bundles.Bundle(td)
	return !errors.Is(err, bundle.ErrUnknownTrustDomain)
}

// answered counts an answer. The method label is GET, HEAD, POST or other.
func (m *metrics) answered(route, method string, status int, seconds float64) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		method = "other"
	}
	m.duration.WithLabelValues(route, method, strconv.Itoa(status)).Observe(seconds)
}
