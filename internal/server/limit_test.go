package server

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// GL-16: a source that failed too often is turned away before anything is looked
// at; others are not, and neither is it a second later.
func TestFailuresPerSource(t *testing.T) {
	s := newSite(t, func(c *Config) { c.FailuresPerSource = 3 })
	h := s.server.Public()
	const one, other = "192.0.2.1:1000", "192.0.2.2:1000"
	for range 3 {
		if w := post(h, s.bad(t), nil, from(one)); w.Code != http.StatusUnauthorized {
			t.Fatalf("%d", w.Code)
		}
	}
	for _, row := range []struct {
		name   string
		source string
		want   int
	}{
		{"another port", "192.0.2.1:2000", 429},
		{"the address in IPv6", "[::ffff:192.0.2.1]:1000", 429},
		{"another address", other, 200},
	} {
		if w := post(h, s.good(t), nil, from(row.source)); w.Code != row.want {
			t.Errorf("GL-16 %s: %d, want %d", row.name, w.Code, row.want)
		}
	}
	w := post(h, nil, nil, from(one), func(r *http.Request) { r.Body = noBody{t} })
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || w.Body.Len() > 0 {
		t.Errorf("GL-16 %d %v %s", w.Code, w.Header(), w.Body)
	}
	lines := s.lines(t)
	if last := lines[len(lines)-1]; last["reason"] != "rate_limited" || last["source"] != "192.0.2.1" {
		t.Errorf("TK-9 the record is %v", last)
	}
	s.Clock.Advance(time.Second)
	if w := post(h, s.good(t), nil, from(one)); w.Code != http.StatusOK {
		t.Errorf("GL-16 a second later: %d", w.Code)
	}
}

// noBody fails a test that reads it.
type noBody struct{ t *testing.T }

func (b noBody) Read([]byte) (int, error) {
	b.t.Error("GL-16 the body of a source over its limit is read")
	return 0, http.ErrBodyReadAfterClose
}
func (noBody) Close() error { return nil }

// What counts as a failure: whatever was refused before its client was
// authenticated, but not what is the server's own fault.
func TestWhatCountsAsAFailure(t *testing.T) {
	for _, row := range []struct {
		name   string
		post   func(*testing.T, *site) int
		status int
		counts bool
	}{
		{"a token", func(t *testing.T, s *site) int { return post(s.server.Public(), s.good(t), nil).Code }, 200, false},
		{"another client's SVID", func(t *testing.T, s *site) int { return post(s.server.Public(), s.bad(t), nil).Code }, 401, true},
		{"an unknown client", func(t *testing.T, s *site) int {
			return post(s.server.Public(), testidentity.Assertion("nobody", s.JWT(t, billing)), nil).Code
		}, 401, true},
		{"no authentication", func(t *testing.T, s *site) int {
			return post(s.server.Public(), testidentity.Certificate(billing), nil).Code
		}, 401, true},
		{"TK-3 another workload's certificate beside an assertion", func(t *testing.T, s *site) int {
			return post(s.server.Public(), s.good(t), s.Chain(t, orders)).Code
		}, 400, true},
		{"a malformed request, since it costs an audit line", func(t *testing.T, s *site) int { return post(s.server.Public(), nil, nil).Code }, 400, true},
		{"a scope too many", func(t *testing.T, s *site) int {
			return post(s.server.Public(), testidentity.With(s.good(t), "scope", "admin"), nil).Code
		}, 400, false},
		{"F9 a trust domain that is not ready", func(t *testing.T, s *site) int {
			return post(s.server.Public(), testidentity.Assertion("", s.JWT(t, "spiffe://not-ready.test/a")), nil).Code
		}, 503, false},
	} {
		t.Run("GL-16 "+row.name, func(t *testing.T) {
			s := newSite(t, func(c *Config) { c.FailuresPerSource = 1 })
			if got := row.post(t, s); got != row.status {
				t.Fatalf("%d, want %d", got, row.status)
			}
			want := http.StatusOK
			if row.counts {
				want = http.StatusTooManyRequests
			}
			if got := post(s.server.Public(), s.good(t), nil).Code; got != want {
				t.Errorf("then a good request: %d, want %d", got, want)
			}
		})
	}
}

// One peer may have a whole /64 of IPv6, and does not get a limit for each
// address of it.
func TestSourceKey(t *testing.T) {
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		a, b := sourceKey(netip.MustParseAddr(row.a)), sourceKey(netip.MustParseAddr(row.b))
		if (a == b) != row.same {
			t.Errorf("GL-16 %s is %s, %s is %s", row.a, a, row.b, b)
		}
	}
	if sourceKey(netip.Addr{}) == sourceKey(netip.MustParseAddr("192.0.2.1")) {
		t.Error("a peer without an address shares another's limit")
	}
}

// GL-16: one client's requests have a limit of their own, once it is known who
// asks.
func TestRequestsPerClient(t *testing.T) {
	s := newSite(t, func(c *Config) { c.RequestsPerClient = 2 })
	h := s.server.Public()
	for i, want := range []int{200, 200, 429, 429} {
		if w := post(h, s.good(t), nil); w.Code != want {
			t.Errorf("GL-16 request %d: %d, want %d", i+1, w.Code, want)
		}
	}
	if w := post(h, testidentity.Certificate(orders), s.Chain(t, orders)); w.Code != 200 {
		t.Errorf("GL-16 another client: %d", w.Code)
	}
	for range 5 { // who only says that it is the client uses nothing up
		s.Clock.Advance(time.Second)
		post(h, s.bad(t), nil)
		post(h, s.bad(t), nil)
		if w := post(h, s.good(t), nil); w.Code != 200 {
			t.Errorf("GL-16 after somebody else's attempts: %d", w.Code)
		}
	}
	if got := counted(t, s, "svidgate_refusals_total", "reason", string(oauth.ReasonRateLimited), "trust_domain", "example.org"); got != 2 {
		t.Errorf("GL-16 %v were counted", got)
	}
}
