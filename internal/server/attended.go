package server

import "net/http"

// attended counts requests while they are answered, and those that nothing
// recovered from: net/http cuts their connection, so no status code tells of them.
func (s *Server) attended(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.metrics.inFlight.Inc()
		answered := false
		defer func() {
			s.metrics.inFlight.Dec()
			if !answered {
				s.metrics.panics.Inc()
			}
		}()
		next.ServeHTTP(w, r)
		answered = true
	})
}
