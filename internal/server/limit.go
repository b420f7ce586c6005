package server

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// admitSource turns away an address whose requests failed too often, before any
// signature is checked (GL-16).
func (s *Server) admitSource(source netip.Addr) error {
	if wait, spent := s.failures.Spent(sourceKey(source)); spent {
		return tooMany("failures per source", source.String(), wait)
	}
	return nil
}

// admitClient is the limit on one authenticated client's requests.
func (s *Server) admitClient(id string) error {
	if !s.requests.Take(id) {
		wait, _ := s.requests.Spent(id)
		return tooMany("requests per client", id, wait)
	}
	return nil
}

// failed counts against its source a request that came to nothing without its client
// being authenticated, whatever was wrong with it: every one that is refused, and a
// revocation of no token. What is our own fault, or was turned away for its rate
// already, does not count.
func (s *Server) failed(rec *record, e *oauth.Error) {
	if rec.authenticated || e.Code == oauth.TooMany || e.Code == oauth.ServerError || e.Code == oauth.Unavailable {
		return
	}
	s.failures.Charge(sourceKey(rec.source))
}

// sourceKey is what failures are counted by: an address, or with IPv6 its /64,
// all of which one peer may well have.
func sourceKey(source netip.Addr) netip.Addr {
	if source.Is6() {
		if prefix, err := source.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return source
}

func tooMany(limit, key string, wait time.Duration) *oauth.Error {
	e := oauth.Refuse(oauth.TooMany, oauth.ReasonRateLimited, "GL-16", "no more than the configured "+limit, oauth.Shown(key))
	e.RetryAfter = wait
	return e
}

// retryAfter is what a caller is told to wait, in whole seconds, at least one.
func retryAfter(e *oauth.Error) string {
	seconds := (e.RetryAfter + time.Second - 1) / time.Second
	return strconv.FormatInt(int64(max(1, seconds)), 10)
}
