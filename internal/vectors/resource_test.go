package vectors

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// A resourceServerContext is an API and the authorization servers it trusts.
type resourceServerContext struct {
	Resource string          `json:"resource"`
	Origins  []string        `json:"origins,omitempty"`
	Leeway   int             `json:"leeway,omitempty"` // seconds
	Issuers  []issuerContext `json:"issuers"`
}

type issuerContext struct {
	Issuer string `json:"issuer"`
	Keys   string `json:"keys,omitempty"` // the name of the text of a JWK Set; none: there are none to use
}

// An issuerKeys gives the keys of one authorization server, or says that there
// are none to use.
type issuerKeys struct {
	issuer string
	set    *resource.KeySet
}

func (k issuerKeys) Issuer() string { return k.issuer }

func (k issuerKeys) KeySet(context.Context, string) (*resource.KeySet, error) {
	if k.set == nil {
		return nil, resource.ErrKeysUnavailable
	}
	return k.set, nil
}

// judgeAccessToken verifies the access token of a request to an API.
func judgeAccessToken(t testing.TB, f *file, input json.RawMessage) expectation {
	var in tokenInput
	read(t, input, &in)
	var c resourceServerContext
	f.context(t, in.Context, &c)
	config := resource.Config{Resource: c.Resource, Origins: c.Origins, Leeway: seconds(c.Leeway)}
	begun := false
	config.Now = func() time.Time {
		if !begun {
			begun = true
			return f.Now.Add(-10 * time.Second) // long enough for a proof of now (DP-3)
		}
		return f.Now
	}
	for _, i := range c.Issuers {
		source := issuerKeys{issuer: i.Issuer}
		if i.Keys != "" {
			set, err := resource.ParseKeySet([]byte(f.text(t, i.Keys)))
			if err != nil {
				t.Fatal(err)
			}
			source.set = set
		}
		config.Issuers = append(config.Issuers, source)
	}
	v, err := resource.New(config)
	if err != nil {
		t.Fatal(err)
	}
	// The host of the request is a stranger's: it counts for nothing.
	r := httptest.NewRequest("GET", "https://host.example.com"+cmp.Or(in.Path, "/")+"?"+in.Query, nil)
	r.Header["Authorization"] = in.Authorization
	if in.DPoP != nil {
		r.Header["Dpop"] = in.DPoP
	}
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: f.chain(t, in.Chain)}
	for range in.Before {
		_, _ = v.Verify(t.Context(), r, in.Scopes...)
	}
	caller, err := v.Verify(t.Context(), r, in.Scopes...)
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		f.tell(refusal{string(e.Reason), e.Rule, e.Expected, e.Presented})
		return expectation{Outcome: refused, Status: resource.Status(e), Error: wireError(e), Reason: string(e.Reason), Rule: e.Rule}
	}
	e := expectation{Outcome: accepted, Binding: string(caller.Binding())}
	if id, ok := caller.SPIFFEID(); ok {
		e.SPIFFEID = id.String()
	}
	return e
}

// wireError is the error code of a challenge, which a caller without a token is
// not told.
func wireError(e *oauth.Error) string {
	if !e.Code.HasBody() || e.Reason == oauth.ReasonTokenMissing {
		return ""
	}
	return string(e.Code)
}
