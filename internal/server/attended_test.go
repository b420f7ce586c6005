package server

import (
	"net/http"
	"testing"
)

func TestRequestsInFlight(t *testing.T) {
	s := newSite(t)
	value := func() float64 { return counted(t, s, "svidgate_http_requests_in_flight") }
	during := -1.0
	s.server.attended(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { during = value() })).ServeHTTP(nil, nil)
	if during != 1 || value() != 0 {
		t.Errorf("%v during a request and %v after it", during, value())
	}
}

// A request in which the server broke shows twice: as a 500 of its route, and as
// a panic, also where nothing answers it.
func TestPanicsAreCounted(t *testing.T) {
	s := newSite(t)
	count := func() float64 { return counted(t, s, "svidgate_panics_total") }
	post(s.server.Public(), s.good(t), nil)
	if count() != 0 {
		t.Fatalf("%v panics in a good request", count())
	}
	breaks := *s.server
	breaks.config.Policy = nil
	if w := post(breaks.Public(), s.good(t), nil); w.Code != http.StatusInternalServerError || count() != 1 {
		t.Errorf("status %d, %v panics", w.Code, count())
	}
	if n := of(gather(t, s), "svidgate_http_request_duration_seconds", "route", "/token", "code", "500"); len(n) != 1 || n[0].count != 1 {
		t.Errorf("the route has %v with code 500", n)
	}
	func() {
		defer func() { recover() }()
		s.server.attended(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).ServeHTTP(nil, nil)
	}()
	if count() != 2 || counted(t, s, "svidgate_http_requests_in_flight") != 0 {
		t.Errorf("%v panics", count())
	}
}

// GL-15: the state of the audit record shows, and how long it takes, also while
// nothing can be recorded.
func TestAuditMetrics(t *testing.T) {
	broken := newSite(t)
	breakAudit(t, broken)
	for _, row := range []struct {
		site    *site
		healthy float64
	}{
		{newSite(t), 1}, {broken, 0},
	} {
		s := row.site
		post(s.server.Public(), s.good(t), nil)
		post(s.server.Public(), s.bad(t), nil)
		written := of(gather(t, s), "svidgate_audit_write_duration_seconds")
		if got := counted(t, s, "svidgate_audit_healthy"); got != row.healthy || len(written) != 1 || written[0].count < 2 {
			t.Errorf("healthy %v, want %v, with %+v", got, row.healthy, written)
		}
	}
}
