package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

const levelGranted = slog.LevelDebug // the audit record has it; a log line each would only repeat it

// refuse is the one door through which a refusal leaves. Inside: the audit line,
// the log line, the metric. Outside: the code and its one sentence.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, rec *record, e *oauth.Error) {
	s.failed(rec, e)
	rec.span.Refused(string(e.Reason), e.Rule)
	rec.span.Stage(trace.Record)
	rec.refused(e)
	if e.Reason != oauth.ReasonAuditUnavailable {
		if err := s.record(r.Context(), rec); err != nil {
			// A decision that cannot be recorded is not given (GL-15).
			e = oauth.AsError(err)
			rec.refused(e)
		}
	}
	s.metrics.refused(rec)
	level := slog.LevelInfo
	if e.Code == oauth.ServerError || e.Reason == oauth.ReasonAuditUnavailable {
		level = slog.LevelError
	}
	s.config.Log.LogAttrs(r.Context(), level, "refused", append(rec.attrs(), refusalAttrs(e)...)...)
	writeRefusal(w, r, rec, e)
}

func writeRefusal(w http.ResponseWriter, r *http.Request, rec *record, e *oauth.Error) {
	h := w.Header()
	h.Set("Cache-Control", "no-store") // GL-6
	if e.Code == oauth.InvalidClient {
		// ER-2: a challenge only to one who used the Authorization header.
		switch rec.scheme {
		case "basic":
			h.Set("WWW-Authenticate", `Basic realm="token endpoint"`)
		case "bearer":
			h.Set("WWW-Authenticate", `Bearer realm="token endpoint"`)
		}
	}
	switch e.Code {
	case oauth.Unavailable, oauth.TooMany:
		h.Set("Retry-After", retryAfter(e))
	case oauth.TooLarge:
		h.Set("Connection", "close") // the rest of the body is not read
	}
	if !e.Code.HasBody() {
		w.WriteHeader(e.Code.Status())
		return
	}
	writeJSON(w, e.Code.Status(), oauth.ErrorResponse{Error: e.Code, Description: e.Code.Description()})
}

// writeJSON answers with what must not be cached (GL-6).
func writeJSON(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	encoded, err := json.Marshal(body)
	if err != nil { // cannot be: the bodies are structs of strings and numbers
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(encoded)+1))
	w.WriteHeader(status)
	w.Write(append(encoded, '\n')) // an error here is the peer's
}

// cached serves a public document that may be kept for a while (AM-9).
func (s *Server) cached(keep func() time.Duration, document func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body := document()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(keep()/time.Second)))
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})
}

func methodNotAllowed(allow string) http.Handler {
	if allow == http.MethodGet {
		allow = "GET, HEAD"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
}

// onePath lets only a path through that is written in its one form. The mux would
// answer any other with a redirect to that form, and repeat the query in it
// (GL-7, GL-14).
func (s *Server) onePath(next http.Handler) http.Handler {
	other := s.measured("other", http.HandlerFunc(notFound))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); p != r.URL.Path || p != path.Clean("/"+p) {
			other.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
}
