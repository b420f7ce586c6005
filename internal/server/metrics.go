package server

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/oauth"
)

// metrics are the server's own, in a registry of their own. Every label has a
// closed set of values: nothing a peer sends can make a new series.
type metrics struct {
	registry *prometheus.Registry
	bundles  *bundle.Set

	issued      *prometheus.CounterVec
	issuedFor   map[issue]prometheus.Counter // of issued, found without its lock
	proofs      map[proof]prometheus.Counter // of the signature results
	refusals    *prometheus.CounterVec
	legacyUse   *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	refusedFile prometheus.Gauge
}

func newMetrics(bundles *bundle.Set, ring *keys.Ring) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		bundles:  bundles,
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
	for _, method := range []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509} {
		m.proofs[proof{string(method), true}] = results.WithLabelValues(string(method), "remembered")
		m.proofs[proof{string(method), false}] = results.WithLabelValues(string(method), "verified")
		for _, g := range grant.Types() {
			for _, binding := range []oauth.Binding{oauth.BindingBearer, oauth.BindingCertificate} {
				i := issue{string(g), string(method), string(binding)}
				m.issuedFor[i] = m.issued.WithLabelValues(i.grant, i.method, i.binding)
			}
		}
	}
	m.refusedFile = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "svidgate_config_file_refused", Help: "1 while the configuration file is one that was refused, and an earlier one is in force.",
	})
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "svidgate_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.issued, results, m.refusals, m.legacyUse, m.duration, m.refusedFile, build, bundleState{bundles}, keyState{ring},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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
	i := issue{rec.event.GrantType, rec.event.AuthMethod, rec.event.Binding}
	counter, ok := m.issuedFor[i]
	if !ok {
		counter = m.issued.WithLabelValues(i.grant, i.method, i.binding)
	}
	counter.Inc()
	m.authenticated(rec)
}

// authenticated counts how a caller was authenticated, whatever became of its
// request afterwards.
func (m *metrics) authenticated(rec *record) {
	if counter, ok := m.proofs[proof{rec.event.AuthMethod, rec.remembered}]; ok && rec.authenticated {
		counter.Inc()
	}
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
	if td != "" && !m.configured(td) {
		td = "other"
	}
	m.refusals.WithLabelValues(rec.event.Event, rec.event.Reason, td).Inc()
	m.authenticated(rec)
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

// bundleState reports each trust domain's bundle when it is asked.
type bundleState struct{ bundles *bundle.Set }

var (
	bundleAgeDesc      = prometheus.NewDesc("svidgate_bundle_age_seconds", "Time since the source last confirmed the bundle.", []string{"trust_domain"}, nil)
	bundleAlarmDesc    = prometheus.NewDesc("svidgate_bundle_alarm", "1 while something is wrong that an operator should look into before SVIDs are refused; `svidgate bundle status` says what.", []string{"trust_domain"}, nil)
	bundleFailuresDesc = prometheus.NewDesc("svidgate_bundle_fetch_failures", "Attempts in a row to get the bundle that failed.", []string{"trust_domain"}, nil)
	bundleKeysDesc     = prometheus.NewDesc("svidgate_bundle_keys", "Keys of the bundle in use, by what they verify.", []string{"trust_domain", "use"}, nil)
)

func (bundleState) Describe(ch chan<- *prometheus.Desc) {
	ch <- bundleAgeDesc
	ch <- bundleAlarmDesc
	ch <- bundleFailuresDesc
	ch <- bundleKeysDesc
}

func (b bundleState) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, st := range b.bundles.Status() {
		name := st.TrustDomain.Name()
		gauge(bundleAlarmDesc, float64(min(1, len(st.Alarm))), name)
		gauge(bundleFailuresDesc, float64(st.Failures), name)
		if !st.Ready {
			continue
		}
		gauge(bundleAgeDesc, st.Age.Seconds(), name)
		for use, n := range st.Keys {
			gauge(bundleKeysDesc, float64(n), name, string(use))
		}
	}
}

// keyState reports the signing keys when it is asked.
type keyState struct{ keys *keys.Ring }

var signingKeysDesc = prometheus.NewDesc("svidgate_signing_keys", "Signing keys, by where they stand in their life.", []string{"state", "alg"}, nil)

func (keyState) Describe(ch chan<- *prometheus.Desc) { ch <- signingKeysDesc }

func (k keyState) Collect(ch chan<- prometheus.Metric) {
	type series struct{ state, alg string }
	count := map[series]int{}
	for _, key := range k.keys.List() {
		count[series{string(key.State), string(key.Algorithm)}]++
	}
	for s, n := range count {
		ch <- prometheus.MustNewConstMetric(signingKeysDesc, prometheus.GaugeValue, float64(n), s.state, s.alg)
	}
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
