package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// Keys of the log lines.
const (
	logRequestID = "request_id"
	logReason    = "reason"
	logRule      = "rule"
	logExpected  = "expected"
	logPresented = "presented"
	logWhy       = "why" // in words; a reason is a code
	logError     = "error"
)

// retryAfter is what a caller is told, in seconds, while keys are missing.
const retryAfter = "10"

// Require is middleware that lets a request through when Verify accepts it with
// all these scopes. The handler finds the caller with CallerFrom. Every answer
// gets a Request-Id; a refusal says to the caller what RFC 6750 section 3 wants
// and nothing more, and why goes to the log.
//
// It panics on a scope that is not one scope by RFC 6749 section 3.3, such as
// "read write": no token could ever have it.
func (v *Verifier) Require(scopes ...string) func(http.Handler) http.Handler {
	for _, scope := range scopes {
		if !scopeToken(scope) {
			panic(fmt.Sprintf("resource: Require: %q is not one scope", scope))
		}
	}
	scopes = slices.Clone(scopes)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, id := requestID(r.Context())
			w.Header().Set(oauth.HeaderRequestID, id)
			caller, err := v.Verify(ctx, r, scopes...)
			if err != nil {
				v.refuse(ctx, w, err, scopes)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, callerKey{}, caller)))
		})
	}
}

// Challenge is the value of WWW-Authenticate for an error of Verify (RFC 6750
// section 3); the status is oauth.AsError(err).Code.Status(). It is empty where
// presenting another token would not help.
func (v *Verifier) Challenge(err error, scopes ...string) string {
	e := oauth.AsError(err)
	switch e.Code {
	case oauth.InvalidToken, oauth.InvalidRequest, oauth.InsufficientScope:
	default:
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `%s realm="%s"`, scheme, v.realm)
	if e.Reason != oauth.ReasonTokenMissing {
		// One sentence per code: a stranger learns nothing about the reason.
		fmt.Fprintf(&b, `, error="%s", error_description="%s"`, e.Code, e.Code.Description())
	}
	if scope := strings.Join(scopes, " "); scope != "" && scopeText(scope) {
		fmt.Fprintf(&b, `, scope="%s"`, scope)
	}
	return b.String()
}

// refuse is the one place that answers a request.
func (v *Verifier) refuse(ctx context.Context, w http.ResponseWriter, err error, scopes []string) {
	e := oauth.AsError(err)
	attrs := []slog.Attr{
		slog.String(logRequestID, RequestID(ctx)), slog.String(logReason, string(e.Reason)), slog.String(logRule, e.Rule),
		slog.String(logExpected, e.Expected), slog.String(logPresented, e.Presented),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String(logError, e.Err.Error()))
	}
	level := slog.LevelInfo
	if e.Code.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	v.log.LogAttrs(ctx, level, "access refused", attrs...)

	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if challenge := v.Challenge(err, scopes...); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	if e.Code == oauth.Unavailable {
		h.Set("Retry-After", retryAfter)
	}
	if !e.Code.HasBody() || e.Reason == oauth.ReasonTokenMissing {
		w.WriteHeader(e.Code.Status())
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.Status())
	// The caller may have gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(oauth.ErrorResponse{Error: e.Code, Description: e.Code.Description()})
}
