package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/svidgate/svidgate/internal/loopback"
	"github.com/svidgate/svidgate/oauth"
)

// Readiness is the body of /readyz.
type Readiness struct {
	Ready        bool                   `json:"ready"`
	Error        string                 `json:"error,omitempty"`
	Listeners    map[string]string      `json:"listeners"`
	TrustDomains map[string]TrustDomain `json:"trust_domains"`
}

// TrustDomain is the state of one trust domain in /readyz.
type TrustDomain struct {
	Ready      bool    `json:"ready"`
	Sequence   *uint64 `json:"sequence,omitempty"`
	AgeSeconds int64   `json:"age_seconds"`
	Error      string  `json:"error"`
}

// Readiness says whether the server can issue tokens now.
func (s *Server) Readiness(listeners map[string]string) Readiness {
	r := Readiness{Listeners: listeners, TrustDomains: map[string]TrustDomain{}}
	anyReady := false
	for _, st := range s.config.Bundles.Status() {
		td := TrustDomain{Ready: st.Ready, AgeSeconds: int64(st.Age.Seconds()), Error: st.LastError}
		if st.Age > s.config.Authenticator.Verifier.Settings(st.TrustDomain).MaxBundleAge {
			td.Ready, td.Error = false, string(oauth.ReasonBundleTooOld)
		}
		if st.HasSequence {
			td.Sequence = &st.Sequence
		}
		anyReady = anyReady || td.Ready
		r.TrustDomains[st.TrustDomain.Name()] = td
	}
	err := s.checkStore()
	switch {
	case s.stopping.Load():
		err = errors.New("stopping")
	case s.config.Audit.Healthy() != nil:
		err = oauth.ReasonAuditUnavailable
	case err != nil:
		err = oauth.ReasonStoreUnavailable
	case s.config.Keys.Signer().KeyID == "":
		err = errors.New("no signing key")
	case len(r.TrustDomains) > 0 && !anyReady:
		err = oauth.ReasonTDNotReady
	}
	if r.Ready = err == nil; err != nil {
		r.Error = err.Error()
	}
	return r
}

// checkTime is how long /readyz waits for the store.
const checkTime = 2 * time.Second

func (s *Server) checkStore() error {
	if s.config.Store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	return s.config.Store.Check(ctx)
}

// Status is the handler of the status listener: /livez, /readyz, /metrics and
// nothing else. On plain HTTP it answers only to names of the loopback host, so
// that no web page can read it through a name of its own (a request under
// another name gets 421).
func (s *Server) Status(listeners func() map[string]string, loopbackOnly bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.Readiness(listeners())
		w.Header().Set("Content-Type", "application/json")
		if !r.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(r)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", notFound)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := respond(w)
		answer.Header().Set("Cache-Control", "no-store")
		if loopbackOnly && !loopbackHost(r.Host) {
			answer.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(answer, r)
	})
}

func loopbackHost(host string) bool {
	if h, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = h
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return loopback.Host(host)
}
