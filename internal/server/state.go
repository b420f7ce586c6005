package server

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/revocation"
)

// bundleState reports each trust domain's bundle when it is asked.
type bundleState struct{ bundles *bundle.Set }

var (
	bundleAgeDesc      = prometheus.NewDesc("svidgate_bundle_age_seconds", "Time since the source last confirmed the bundle.", []string{"trust_domain"}, nil)
	bundleMaxAgeDesc   = prometheus.NewDesc("svidgate_bundle_max_age_seconds", "Age from which the bundle is not trusted any more; +Inf is for ever.", []string{"trust_domain"}, nil)
	bundleAlarmDesc    = prometheus.NewDesc("svidgate_bundle_alarm", "1 while something is wrong that an operator should look into before SVIDs are refused; `svidgate bundle status` says what.", []string{"trust_domain"}, nil)
	bundleFailuresDesc = prometheus.NewDesc("svidgate_bundle_fetch_failures", "Attempts in a row to get the bundle that failed.", []string{"trust_domain"}, nil)
	bundleDemandsDesc  = prometheus.NewDesc("svidgate_bundle_refetches_total", "Wishes for a newer bundle, because an SVID named a key or an issuer that it lacks, by what became of them.", []string{"trust_domain", "outcome"}, nil)
	bundleKeysDesc     = prometheus.NewDesc("svidgate_bundle_keys", "Keys of the bundle in use, by what they verify.", []string{"trust_domain", "use"}, nil)
)

func (bundleState) Describe(ch chan<- *prometheus.Desc) {
	ch <- bundleAgeDesc
	ch <- bundleMaxAgeDesc
	ch <- bundleAlarmDesc
	ch <- bundleFailuresDesc
	ch <- bundleDemandsDesc
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
		gauge(bundleMaxAgeDesc, maxAge(st), name)
		for outcome, n := range map[string]uint64{
			"renewed": st.Demands.Renewed, "unchanged": st.Demands.Unchanged, "failed": st.Demands.Failed, "limited": st.Demands.Limited,
		} {
			ch <- prometheus.MustNewConstMetric(bundleDemandsDesc, prometheus.CounterValue, float64(n), name, outcome)
		}
		if !st.Ready {
			continue
		}
		gauge(bundleAgeDesc, st.Age.Seconds(), name)
		for use, n := range st.Keys {
			gauge(bundleKeysDesc, float64(n), name, string(use))
		}
	}
}

func maxAge(st bundle.Status) float64 {
	if st.MaxAge == 0 {
		return math.Inf(1)
	}
	return st.MaxAge.Seconds()
}

// auditHealth reports whether decisions can be recorded.
func auditHealth(log *audit.Log) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "svidgate_audit_healthy", Help: "1 while decisions can be recorded; 0: nothing is issued until they can.",
	}, func() float64 {
		if log.Healthy() != nil {
			return 0
		}
		return 1
	})
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

// revocationState reports what is revoked when it is asked.
type revocationState struct{ list *revocation.List }

var (
	revocationsDesc   = prometheus.NewDesc("svidgate_revocations", "What is revoked now, by what the entries name.", []string{"kind"}, nil)
	revocationAgeDesc = prometheus.NewDesc("svidgate_revocations_age_seconds", "Time since the store last said what is revoked; over 10 introspection answers 503.", nil, nil)
)

func (revocationState) Describe(ch chan<- *prometheus.Desc) {
	ch <- revocationsDesc
	ch <- revocationAgeDesc
}

func (r revocationState) Collect(ch chan<- prometheus.Metric) {
	for kind, n := range r.list.Counts() {
		ch <- prometheus.MustNewConstMetric(revocationsDesc, prometheus.GaugeValue, float64(n), string(kind))
	}
	ch <- prometheus.MustNewConstMetric(revocationAgeDesc, prometheus.GaugeValue, max(0, r.list.Age().Seconds()))
}
