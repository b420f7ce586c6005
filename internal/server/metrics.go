package server

import (
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/svidgate/svidgate/bundle"
)

// metrics are the server's own, in a registry of their own. Every label has a
// closed set of values: nothing a peer sends can make a new series.
type metrics struct {
	registry *prometheus.Registry
	bundles  *bundle.Set
	known    map[string]bool // configured trust domains

	issued    *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	legacyUse *prometheus.CounterVec
	duration  *prometheus.HistogramVec
}

func newMetrics(bundles *bundle.Set, now func() time.Time) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		bundles:  bundles,
		known:    make(map[string]bool),
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
	for _, st := range bundles.Status() {
		m.known[st.TrustDomain.Name()] = true
	}
	for _, rule := range []string{"CJ-7", "CJ-10"} {
		m.legacyUse.WithLabelValues(rule)
	}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "svidgate_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.issued, m.refusals, m.legacyUse, m.duration, build, bundleAge{bundles},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) granted(rec *record) {
	m.issued.WithLabelValues(rec.event.GrantType, rec.event.AuthMethod, rec.event.Binding).Inc()
	m.legacy(rec)
}

// legacy counts every client that authenticated in an older form, whatever
// became of its request afterwards.
func (m *metrics) legacy(rec *record) {
	for _, rule := range rec.event.ProfileLegacyUse {
		m.legacyUse.WithLabelValues(rule).Inc()
	}
}

func (m *metrics) refused(rec *record) {
	td := rec.event.TrustDomain
	if td != "" && !m.known[td] {
		td = "other"
	}
	m.refusals.WithLabelValues(rec.event.Event, rec.event.Reason, td).Inc()
	m.legacy(rec)
}

// bundleAge reports the age of each trust domain's bundle when it is asked.
type bundleAge struct{ bundles *bundle.Set }

var bundleAgeDesc = prometheus.NewDesc("svidgate_bundle_age_seconds", "Time since the source last confirmed the bundle.", []string{"trust_domain"}, nil)

func (bundleAge) Describe(ch chan<- *prometheus.Desc) { ch <- bundleAgeDesc }

func (b bundleAge) Collect(ch chan<- prometheus.Metric) {
	for _, st := range b.bundles.Status() {
		if st.Ready {
			ch <- prometheus.MustNewConstMetric(bundleAgeDesc, prometheus.GaugeValue, st.Age.Seconds(), st.TrustDomain.Name())
		}
	}
}

// measured times a route. The method label is GET, HEAD, POST or other.
func (s *Server) measured(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := s.config.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(sw, r)
		method := "other"
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
			method = r.Method
		}
		s.metrics.duration.WithLabelValues(route, method, strconv.Itoa(sw.status)).Observe(s.config.Now().Sub(started).Seconds())
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
