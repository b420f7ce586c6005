package server

import (
	"net/netip"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// admitSource turns away an address whose requests failed too often, before any
// signature is checked (GL-16).
func (s *Server) admitSource(source netip.Addr) error {
	if _, spent := s.failures.Spent(source.String()); spent {
		return tooMany("failures per source", source.String())
	}
	return nil
}

// admitClient is the limit on one authenticated client's requests.
func (s *Server) admitClient(id string) error {
	if !s.requests.Take(id) {
		return tooMany("requests per client", id)
	}
	return nil
}

// failed counts a failed authentication against its source.
func (s *Server) failed(source netip.Addr, e *oauth.Error) {
	if e.Code == oauth.InvalidClient {
		s.failures.Take(source.String())
	}
}

func tooMany(limit, key string) *oauth.Error {
	return oauth.Refuse(oauth.TooMany, oauth.ReasonRateLimited, "GL-16", "no more than the configured "+limit, oauth.Shown(key))
}

// retryAfter is what a caller is told to wait, in seconds: long enough for a
// bucket to refill, short enough for a start-up to be over.
const retryAfter = int(time.Second / time.Second)
