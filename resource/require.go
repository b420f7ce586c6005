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

// retryAfter is what a caller is told, in seconds, while keys are missing, or room
// to remember its proof.
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
			s := v.requestAttempt(r, scopes)
			caller, err := s.verify(ctx)
			if err != nil {
				v.refuse(ctx, w, err, scopes, s.dpop)
				return
			}
			if s.possession != nil {
				ctx = context.WithValue(ctx, proofKey{}, seenProof{v, s.possession.mark})
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, callerKey{}, caller)))
		})
	}
}

// Status is the HTTP status for an error of Verify.
func Status(err error) int {
	code := oauth.AsError(err).Code
	if ofProof(code) { // 400 at an authorization server only
		return http.StatusUnauthorized
	}
	return code.Status()
}

// ofProof reports whether a code is about the DPoP proof and not the token.
func ofProof(code oauth.ErrorCode) bool {
	return code == oauth.InvalidDPoPProof || code == oauth.UseDPoPNonce
}

// Nonce is the value of DPoP-Nonce for an error of Verify, without which a caller
// cannot answer the challenge (RFC 9449 section 9); empty where none is asked for. An
// answer with it is not to be stored: Cache-Control: no-store.
func (v *Verifier) Nonce(err error) string {
	if oauth.AsError(err).Code != oauth.UseDPoPNonce {
		return ""
	}
	return v.nonce
}

// Challenge is the value of WWW-Authenticate for an error of Verify (RFC 6750
// section 3, RFC 9449 section 7.1); Status has the status, and Nonce what may have to
// stand beside it. It is empty where presenting another token would not help.
func (v *Verifier) Challenge(err error, scopes ...string) string {
	e := oauth.AsError(err)
	return v.challenges(e, scopes, ofProof(e.Code))
}

// challenges says what was wrong under the scheme that the caller used, which is
// DPoP or not, and that a token may be bound to a key (RFC 9449 section 7.2).
func (v *Verifier) challenges(e *oauth.Error, scopes []string, dpop bool) string {
	algs := `, algs="` + proofAlgorithms + `"`
	switch e.Code {
	case oauth.InvalidToken, oauth.InvalidRequest, oauth.InsufficientScope, oauth.InvalidDPoPProof, oauth.UseDPoPNonce:
	default:
		return ""
	}
	if dpop {
		return v.challenge(oauth.TokenTypeDPoP, e, scopes) + algs
	}
	bearer := v.challenge(scheme, e, scopes)
	if e.Code != oauth.InvalidToken || len(v.origins) == 0 {
		return bearer
	}
	return bearer + fmt.Sprintf(`, %s realm="%s"`, oauth.TokenTypeDPoP, v.realm) + algs
}

// proofAlgorithms is the algs of a DPoP challenge (DP-8).
var proofAlgorithms = func() string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, " ")
}()

func (v *Verifier) challenge(scheme string, e *oauth.Error, scopes []string) string {
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
func (v *Verifier) refuse(ctx context.Context, w http.ResponseWriter, err error, scopes []string, dpop bool) {
	e := oauth.AsError(err)
	attrs := []slog.Attr{
		slog.String(logRequestID, RequestID(ctx)), slog.String(logReason, string(e.Reason)), slog.String(logRule, e.Rule),
		slog.String(logExpected, e.Expected), slog.String(logPresented, e.Presented),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String(logError, e.Err.Error()))
	}
	level := slog.LevelInfo
	if Status(e) >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	v.log.LogAttrs(ctx, level, "access refused", attrs...)

	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if challenge := v.challenges(e, scopes, dpop); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	if nonce := v.Nonce(e); nonce != "" {
		h.Set(oauth.HeaderDPoPNonce, nonce)
	}
	if e.Code == oauth.Unavailable || e.Code == oauth.TooMany {
		h.Set("Retry-After", retryAfter)
	}
	if !e.Code.HasBody() || e.Reason == oauth.ReasonTokenMissing {
		w.WriteHeader(Status(e))
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(Status(e))
	// The caller may have gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(oauth.ErrorResponse{Error: e.Code, Description: e.Code.Description()})
}
