package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// A ResponseError is an answer of the token endpoint that is no token. The server
// says little about why, on purpose; its operator finds everything under
// RequestID. errors.Is(err, oauth.InvalidClient) and its like ask for the kind.
type ResponseError struct {
	Status      int             // of HTTP
	Code        oauth.ErrorCode // empty when the answer is no OAuth error
	Description string          // the server's words, at most 200 bytes of plain ASCII
	RequestID   string          // of the server's log; empty when it gave none
	RetryAfter  time.Duration   // zero when the server did not say

	// What was asked.
	Endpoint string
	ClientID string
	Method   oauth.AuthMethod
	Resource string
	Scope    string

	skew time.Duration // of our clock against the server's, when it matters
}

// Unwrap gives the code.
func (e *ResponseError) Unwrap() error {
	switch {
	case e.Code != "":
		return e.Code
	case e.Status == http.StatusServiceUnavailable:
		return oauth.Unavailable
	case e.Status == http.StatusTooManyRequests:
		return oauth.TooMany
	case e.Status == http.StatusRequestEntityTooLarge:
		return oauth.TooLarge
	}
	return nil
}

// Error says what was refused and what the owner of the workload can do.
func (e *ResponseError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s refused the token request: %d", e.Endpoint, e.Status)
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", string(e.Code))
	}
	if e.Description != "" {
		fmt.Fprintf(&b, " (%s)", strings.TrimSuffix(e.Description, "."))
	}
	b.WriteString("; " + e.next())
	if e.skew != 0 {
		ahead := "ahead of"
		if e.skew < 0 {
			ahead = "behind"
		}
		fmt.Fprintf(&b, "; the clock of this host is %d s %s the server's", int64(e.skew.Abs().Seconds()), ahead)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, "; the server's operator finds the reason under request id %s", e.RequestID)
	}
	return b.String()
}

// next is what to do about it.
func (e *ResponseError) next() string {
	switch e.Code {
	case oauth.InvalidClient:
		return fmt.Sprintf("check that client %s is registered there for this SPIFFE ID with method %s and that the server knows the trust domain", e.ClientID, e.Method)
	case oauth.UnauthorizedClient, oauth.UnsupportedGrantType:
		return fmt.Sprintf("ask for client %s to be given the grant client_credentials", e.ClientID)
	case oauth.InvalidTarget:
		if e.Resource == "" {
			return fmt.Sprintf("name a resource: client %s has none, or more than one", e.ClientID)
		}
		return fmt.Sprintf("check the spelling of resource %s and ask for client %s to be given it", oauth.Shown(e.Resource), e.ClientID)
	case oauth.InvalidScope:
		return fmt.Sprintf("ask for less than scope %q, or for client %s to be given it", oauth.Shown(e.Scope), e.ClientID)
	case oauth.InvalidRequest:
		return fmt.Sprintf("check that client_id %s is right; if the server binds tokens to certificates, this workload must show its X.509-SVID too", e.ClientID)
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		return "too many requests came; the client waits and asks again by itself"
	case e.Status >= 500:
		return "the server or a proxy before it is not ready; the client waits and asks again by itself"
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed with credentials; the server's metadata must name the endpoint itself"
	case e.Code == "":
		return "this is no OAuth answer; is the issuer right, does a proxy stand in between?"
	}
	return "see the server's documentation of this code"
}

// skewShown is where a difference of the clocks begins to spoil SVIDs (JS-10).
const skewShown = 30 * time.Second

// refusal makes the error of an answer. Of the body it takes the code and the
// description only, cleaned and cut.
func (a *answer) refusal(now time.Time) *ResponseError {
	e := &ResponseError{
		Status:     a.status,
		RequestID:  oauth.Shown(a.header.Get(oauth.HeaderRequestID)),
		RetryAfter: retryAfter(a.header, now),
	}
	if isJSON(a.header) {
		e.Code, e.Description = parseRefusal(a.body)
	}
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil && e.Code == oauth.InvalidClient {
		if skew := now.Sub(date); skew.Abs() >= skewShown {
			e.skew = skew
		}
	}
	return e
}

// explainTLS adds to a failed verification of the server what people get wrong:
// the trust bundle of SPIFFE says nothing about it, unless it is pinned (CX-6, A-9).
func explainTLS(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; the server is verified by RootCAs or the system's roots, never by the SPIFFE trust bundle, unless its SPIFFE ID is pinned (CX-6, A-9)", err)
	}
	return err
}
