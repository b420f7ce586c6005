package authorization

import (
	"fmt"
	"io"
	"log/slog"
)

// A Request is an authorization request that was judged and found good. Only
// Requests makes one; the zero value asks for nothing.
type Request struct {
	clientID    string
	clientName  string
	redirectURI string
	state       string
	scope       []string
	resource    string
	challenge   string
	sent        parameters // as it came, for Keep
	pushed      Pushed     // zero for one that was not
	requestURI  string
}

// Read reports whether Requests made the request.
func (r Request) Read() bool { return r.clientID != "" && r.challenge != "" }

// ClientID is the client that asks. Nothing proves that it does, unless the request
// was pushed (CA-12).
func (r Request) ClientID() string { return r.clientID }

// ClientName is what people are shown of the client.
func (r Request) ClientName() string { return r.clientName }

// RedirectURI is where the browser goes back to, a registered one.
func (r Request) RedirectURI() string { return r.redirectURI }

// State is the client's own, unchanged.
func (r Request) State() string { return r.state }

// Scope is what is asked for. It must not be changed.
func (r Request) Scope() []string { return r.scope }

// Resource is the API that it is asked for.
func (r Request) Resource() string { return r.resource }

// Pushed reports whether the client pushed the request.
func (r Request) Pushed() bool { return r.requestURI != "" }

// SPIFFEID is the workload that pushed the request; empty where none did.
func (r Request) SPIFFEID() string { return r.pushed.SPIFFEID }

// String is all that a request prints and logs as.
func (r Request) String() string { return "authorization request of " + r.clientID }

// Format keeps every verb of fmt to String.
func (r Request) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue does the same for slog.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }
