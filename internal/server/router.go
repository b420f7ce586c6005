package server

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/svidgate/svidgate/oauth"
)

// A router finds the handler of a request by its path, which must be written in
// its one form: the standard mux would answer another form with a redirect, and
// repeat the query in it (GL-7, GL-14). It gives every response a Request-Id of
// ours, which an operator can find in log and audit record; one that the peer
// sends is not taken over. And it measures how long each answer took.
type router struct {
	metrics *metrics
	now     func() time.Time
	routes  map[string]*route
	other   *route // for every path that has none
}

// A handler answers one route.
type handler func(w *response, r *http.Request)

type route struct {
	name    string // for the metrics
	method  string // with GET goes HEAD
	handler handler
	also    *route              // another method at the same path
	granted prometheus.Observer // of its method and status 200, which most answers have
}

func (s *Server) newRouter() *router {
	return &router{
		metrics: s.metrics, now: s.config.Now, routes: map[string]*route{},
		other: &route{name: "other", handler: func(w *response, r *http.Request) { notFound(w, r) }},
	}
}

func (rt *router) handle(method, path string, h handler) {
	rt.routes[path] = &route{name: path, method: method, handler: h, also: rt.routes[path], granted: rt.metrics.duration.WithLabelValues(path, method, "200")}
}

func (to *route) takes(method string) bool {
	return to.method == method || to.method == http.MethodGet && method == http.MethodHead
}

// A response is an http.ResponseWriter that knows its request's id and keeps its
// status.
type response struct {
	http.ResponseWriter
	requestID string
	status    int
}

func (w *response) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var nosniff = []string{"nosniff"}

// respond begins a response with its Request-Id.
func respond(w http.ResponseWriter) *response {
	id := rand.Text()
	h := w.Header()
	h[oauth.HeaderRequestID] = []string{id}
	h["X-Content-Type-Options"] = nosniff
	return &response{w, id, http.StatusOK}
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := rt.now()
	to := rt.routes[r.URL.Path]
	if to == nil || r.URL.RawPath != "" { // RawPath is there only for another spelling of the path
		to = rt.other
	}
	answer := respond(w)
	allowed := to.method
	for next := to.also; next != nil && !to.takes(r.Method); next = next.also {
		to, allowed = next, allowed+", "+next.method
	}
	switch {
	case to == rt.other, to.takes(r.Method):
		to.handler(answer, r)
	default:
		methodNotAllowed(answer, allowed)
	}
	took := rt.now().Sub(started).Seconds()
	if answer.status == http.StatusOK && r.Method == to.method {
		to.granted.Observe(took)
		return
	}
	rt.metrics.answered(to.name, r.Method, answer.status, took)
}
