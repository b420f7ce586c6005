package clientauth_test

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const (
	billing = "spiffe://example.org/billing"
	orders  = "spiffe://example.org/orders"
)

// A want is the outcome of a row: the zero value is acceptance.
type want struct {
	code   oauth.ErrorCode
	reason oauth.Reason
	rule   string
}

var accepted = want{}

func check(t testing.TB, err error, w want) {
	t.Helper()
	testidentity.Want{Code: w.code, Reason: w.reason, Rule: w.rule}.Check(t, err)
}

// A site is a world with registered clients and the one way in.
type site struct {
	*testidentity.World
	auth *clientauth.Authenticator
}

func newSite(t testing.TB, clients ...registration.Metadata) *site {
	t.Helper()
	w := testidentity.New(t)
	return &site{w, &clientauth.Authenticator{Verifier: w.Verifier, Clients: w.Registry(t, clients...), Used: replay.New(1<<16, w.Clock.Now)}}
}

func client(id string, methods ...oauth.AuthMethod) registration.Metadata {
	return registration.Metadata{ClientID: id, AuthMethods: methods}
}

// authenticate checks what holds for every answer, and returns it.
func (s *site) authenticate(t testing.TB, req *tokenrequest.Request) (clientauth.Caller, error) {
	t.Helper()
	caller, method, err := s.auth.Authenticate(t.Context(), req, nil)
	if caller.Authenticated() != (err == nil) {
		t.Errorf("Authenticated is %t beside %v", caller.Authenticated(), err)
	}
	if err == nil {
		if method != caller.Identity().Method() {
			t.Errorf("the method is %s, the identity's %s", method, caller.Identity().Method())
		}
		return caller, nil
	}
	if _, _, bound := caller.Certificate(); bound || caller.Client().Registered() || len(caller.LegacyUse()) > 0 {
		t.Errorf("a refused caller holds %+v", caller)
	}
	if a := req.Assertion(); len(a) > 40 && strings.Contains(err.Error(), a[len(a)-40:]) {
		t.Error("F50 the error shows the assertion's signature")
	}
	return caller, err
}

func jwt(t testing.TB, form url.Values, chain ...*x509.Certificate) *tokenrequest.Request {
	t.Helper()
	return testidentity.Request(t, form, chain)
}
