package resource

import (
	"net/http"
	"testing"
	"time"
)

// KR-2: a server that rotates its keys faster says so with max-age, and is asked
// within it. It can make us ask sooner, never later, and not all the time.
func TestKeysAreRenewedWithinMaxAge(t *testing.T) {
	for _, row := range []struct {
		name   string
		header http.Header
		want   time.Duration // the longest wait
	}{
		{"nothing said", nil, DefaultRefresh},
		{"KR-2 a minute", http.Header{"Cache-Control": {"public, max-age=60"}}, time.Minute},
		{"KR-2 in another spelling", http.Header{"Cache-Control": {"public", `MAX-AGE="60"`}}, time.Minute},
		{"KR-2 partly used up in a cache", http.Header{"Cache-Control": {"max-age=60"}, "Age": {"20"}}, 40 * time.Second},
		{"AM-9 longer than our own", http.Header{"Cache-Control": {"max-age=86400"}}, DefaultRefresh},
		{"KR-6 no time at all", http.Header{"Cache-Control": {"max-age=0, must-revalidate"}}, DefaultRefresh},
		{"KR-2 two seconds", http.Header{"Cache-Control": {"max-age=2"}}, 2 * time.Second},
		{"KR-6 used up in a cache", http.Header{"Cache-Control": {"max-age=60"}, "Age": {"61"}}, leastKept},
		{"not a number", http.Header{"Cache-Control": {"max-age=soon"}}, DefaultRefresh},
		{"negative", http.Header{"Cache-Control": {"max-age=-1"}}, DefaultRefresh},
		{"too large a number", http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, DefaultRefresh},
		{"another directive", http.Header{"Cache-Control": {"s-maxage=60, x-max-age=60"}}, DefaultRefresh},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newAuthServer(t, "")
			jwks := s.jwks
			s.answerKeys(func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range row.header {
					w.Header()[name] = values
				}
				w.Write(jwks)
			})
			r := newRemote(t, s)
			wait := r.run(t)
			for range 20 {
				if wait > row.want || wait < row.want*4/5 {
					t.Fatalf("it waits %v, want up to a fifth less than %v", wait, row.want)
				}
				wait = r.interval()
			}
		})
	}
}
