package server

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

// Sightings are what is counted by trust domain: how far its clock is ahead of
// ours, as a verifier tells of genuine SVIDs, and how many requests were granted.
// Besides, how much life SVIDs have left when they are used. Noting one takes no
// lock and no memory.
type Sightings struct {
	now     func() time.Time
	domains atomic.Pointer[map[string]*sighted] // by the names of trust domains

	left      *prometheus.HistogramVec
	jwt, x509 prometheus.Observer
	wit       prometheus.Observer
}

// NewSightings begins with no trust domain.
func NewSightings(now func() time.Time) *Sightings {
	s := &Sightings{now: now, left: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "svidgate_svid_time_to_expiry_seconds", Help: "What genuine SVIDs had left of their life when they were used; 0 and less: they had expired.",
		Buckets: []float64{0, 10, 30, 60, 150, 300, 900, 1800, 3600, 6 * 3600, 24 * 3600},
	}, []string{"method"})}
	s.jwt, s.x509 = s.left.WithLabelValues(string(oauth.MethodJWT)), s.left.WithLabelValues(string(oauth.MethodX509))
	s.wit = s.left.WithLabelValues(string(oauth.MethodWIT))
	s.Expect(nil)
	return s
}

// Expect says which trust domains there are from now on. What was noted of those
// that stay is kept. One caller at a time.
func (s *Sightings) Expect(domains []spiffeid.TrustDomain) {
	next := make(map[string]*sighted, len(domains))
	before := s.domains.Load()
	for _, td := range domains {
		name := td.Name()
		next[name] = new(sighted)
		if before != nil && (*before)[name] != nil {
			next[name] = (*before)[name]
		}
	}
	s.domains.Store(&next)
}

// sighted is what was noted of one trust domain.
type sighted struct {
	skew    skew
	granted atomic.Uint64
}

// of is nil for a trust domain that is not expected.
func (s *Sightings) of(trustDomain string) *sighted { return (*s.domains.Load())[trustDomain] }

// Note is for [svidgate.Config.Sighted].
func (s *Sightings) Note(seen svidgate.Sighting) {
	left := seen.ExpiresAt.Sub(seen.At).Seconds()
	switch seen.Method {
	case oauth.MethodX509:
		s.x509.Observe(left)
		return
	case oauth.MethodWIT:
		s.wit.Observe(left)
		return
	}
	s.jwt.Observe(left)
	if d := s.of(seen.TrustDomain.Name()); d != nil && !seen.IssuedAt.IsZero() {
		d.skew.note(seen.IssuedAt.Sub(seen.At), seen.At)
	}
}

// granted counts a request that was granted. A nil receiver counts nothing.
func (s *Sightings) granted(trustDomain string) {
	if s == nil {
		return
	}
	if d := s.of(trustDomain); d != nil {
		d.granted.Add(1)
	}
}

var (
	clockSkewDesc = prometheus.NewDesc("svidgate_clock_skew_seconds",
		"iat of the youngest JWT-SVID of the last minutes, less our time when it came: the issuer's clock is ahead of ours by at least this.", []string{"trust_domain"}, nil)
	grantedDesc = prometheus.NewDesc("svidgate_requests_granted_total", "Requests granted.", []string{"trust_domain"}, nil)
)

// Describe makes Sightings a [prometheus.Collector].
func (s *Sightings) Describe(ch chan<- *prometheus.Desc) {
	s.left.Describe(ch)
	ch <- clockSkewDesc
	ch <- grantedDesc
}

// Collect makes Sightings a [prometheus.Collector].
func (s *Sightings) Collect(ch chan<- prometheus.Metric) {
	s.left.Collect(ch)
	now := s.now()
	for name, d := range *s.domains.Load() {
		ch <- prometheus.MustNewConstMetric(grantedDesc, prometheus.CounterValue, float64(d.granted.Load()), name)
		if ahead, ok := d.skew.greatest(now); ok {
			ch <- prometheus.MustNewConstMetric(clockSkewDesc, prometheus.GaugeValue, ahead.Seconds(), name)
		}
	}
}

// skewSpan is the length of one of the two spans in which the greatest value is
// kept, the present one and the one before. So a value is told for 5 to 10
// minutes.
const skewSpan = 5 * time.Minute

// A skew keeps the greatest of recent values. An SVID is never younger than new,
// so each iat less our time is at most what the issuer's clock is ahead of ours,
// and the greatest of them comes nearest.
type skew struct {
	// Each holds a span's number in its upper half, from 1, and milliseconds in
	// its lower; spans take turns. Zero is nothing.
	spans [2]atomic.Uint64
}

func spanOf(now time.Time) uint64 { return uint64(max(0, now.Unix()/int64(skewSpan/time.Second))) + 1 }

func (s *skew) note(ahead time.Duration, now time.Time) {
	n := spanOf(now)
	milliseconds := int32(min(max(ahead.Milliseconds(), math.MinInt32), math.MaxInt32))
	next := n<<32 | uint64(uint32(milliseconds))
	slot := &s.spans[n%2]
	for {
		before := slot.Load()
		if before>>32 == n && int32(uint32(before)) >= milliseconds {
			return
		}
		if slot.CompareAndSwap(before, next) {
			return
		}
	}
}

// greatest is false when nothing was noted lately.
func (s *skew) greatest(now time.Time) (greatest time.Duration, ok bool) {
	n := spanOf(now)
	for i := range s.spans {
		held := s.spans[i].Load()
		if number := held >> 32; number == n || number == n-1 && number > 0 {
			ahead := time.Duration(int32(uint32(held))) * time.Millisecond
			if !ok || ahead > greatest {
				greatest, ok = ahead, true
			}
		}
	}
	return greatest, ok
}
