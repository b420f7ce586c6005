package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

const levelGranted = slog.LevelDebug // the audit record has it; a log line each would only repeat it

// refuse is the one door through which a refusal leaves. Inside: the audit line,
// the log line, the metric. Outside: the code and its one sentence.
func (s *Server) refuse(w *response, r *http.Request, rec *record, e *oauth.Error) {
	s.failed(rec, e)
	e = s.refusalRecorded(r.Context(), rec, e)
	s.giveChallenge(w, e)
	writeRefusal(w, rec, e)
}

// refusalRecorded is the inside of it. It returns the refusal that is to be told,
// which is another one where this one could not be recorded.
func (s *Server) refusalRecorded(ctx context.Context, rec *record, e *oauth.Error) *oauth.Error {
	rec.span.Refused(string(e.Reason), e.Rule)
	rec.span.Stage(trace.Record)
	rec.refused(e)
	if e.Reason != oauth.ReasonAuditUnavailable {
		if err := s.record(ctx, rec); err != nil {
			// A decision that cannot be recorded is not given (GL-15).
			e = oauth.AsError(err)
			rec.refused(e)
		}
	}
	s.metrics.refused(rec)
	level := slog.LevelInfo
	if e.Code == oauth.ServerError || e.Reason == oauth.ReasonAuditUnavailable || e.Reason == oauth.ReasonStoreUnavailable {
		level = slog.LevelError
	}
	s.config.Log.LogAttrs(ctx, level, "refused", append(rec.attrs(), refusalAttrs(e)...)...)
	return e
}

func writeRefusal(w http.ResponseWriter, rec *record, e *oauth.Error) {
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

// Values of headers that never change. They are shared: nobody may append to one.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
)

// writeJSON answers with what must not be cached (GL-6).
func writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil { // cannot be: the bodies are structs of strings and numbers
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	writeEncoded(w, status, encoded)
}

// writeEncoded does the same for what is JSON already.
func writeEncoded(w http.ResponseWriter, status int, encoded []byte) {
	encoded = append(encoded, '\n')
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h["Content-Length"] = []string{strconv.Itoa(len(encoded))}
	w.WriteHeader(status)
	w.Write(encoded) // an error here is the peer's
}

// writeToken answers with a token (TK-6). The body is what encoding/json makes of
// a TokenResponse.
func writeToken(w http.ResponseWriter, t oauth.TokenResponse) {
	b := make([]byte, 0, len(t.AccessToken)+len(t.Scope)+128)
	b = strictjson.AppendText(append(b, `{"access_token":`...), string(t.AccessToken))
	b = strictjson.AppendText(append(b, `,"token_type":`...), t.TokenType)
	b = strconv.AppendInt(append(b, `,"expires_in":`...), t.ExpiresIn, 10)
	if t.RefreshToken != "" {
		b = strictjson.AppendText(append(b, `,"refresh_token":`...), string(t.RefreshToken))
	}
	if t.Scope != "" {
		b = strictjson.AppendText(append(b, `,"scope":`...), t.Scope)
	}
	writeEncoded(w, http.StatusOK, append(b, '}'))
}

// cached serves a public document that may be kept for a while (AM-9).
func cached(keep func() time.Duration, document func() []byte) handler {
	return func(w *response, _ *http.Request) {
		body := document()
		h := w.Header()
		h["Content-Type"] = jsonType
		h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(keep()/time.Second)))
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}
}

func methodNotAllowed(w *response, allow string) {
	allow = strings.Replace(allow, http.MethodGet, "GET, HEAD", 1)
	w.Header().Set("Allow", allow)
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusMethodNotAllowed)
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusNotFound)
}
