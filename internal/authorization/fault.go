package authorization

import (
	"net/url"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// A Fault is an authorization request that is refused. Inside is an *oauth.Error.
type Fault struct {
	refusal  *oauth.Error
	location string
}

func (f *Fault) Error() string { return f.refusal.Error() }

// Unwrap gives the refusal.
func (f *Fault) Unwrap() error { return f.refusal }

// Refusal is why.
func (f *Fault) Refusal() *oauth.Error { return f.refusal }

// Location is where the browser is to be sent. It is empty where it is not proven
// that the client wants the browser there: then there is only a page (AZ-8).
func (f *Fault) Location() string { return f.location }

// response is where to send a browser with the answer to an authorization request.
// Every one has iss (IS-1).
func response(redirectURI, state, issuer string, pairs ...string) string {
	v := url.Values{oauth.ParamIssuer: {issuer}}
	if state != "" { // AZ-9
		v.Set(oauth.ParamState, state)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	separator := "?"
	switch {
	case strings.HasSuffix(redirectURI, "?") || strings.HasSuffix(redirectURI, "&"):
		separator = ""
	case strings.Contains(redirectURI, "?"):
		separator = "&"
	}
	return redirectURI + separator + v.Encode()
}

// inRedirect is the error code that a client is told through the browser, where
// there are no statuses (AZ-8).
func inRedirect(code oauth.ErrorCode) oauth.ErrorCode {
	switch code {
	case oauth.Unavailable, oauth.TooMany:
		return oauth.TemporarilyUnavailable
	case oauth.InvalidRequest, oauth.UnauthorizedClient, oauth.AccessDenied, oauth.UnsupportedResponseType, oauth.InvalidScope,
		oauth.InvalidTarget, oauth.RequestNotSupported, oauth.RequestURINotSupported, oauth.TemporarilyUnavailable:
		return code
	}
	return oauth.ServerError
}
