package clientauth_test

import (
	"testing"

	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// TK-2 A public client is known by its name, and nothing about it is proven.
func TestPublicClient(t *testing.T) {
	s := newSite(t, registration.Metadata{ClientID: "phone", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}}, client(billing, oauth.MethodJWT))
	caller, method, err := s.auth.Authenticate(t.Context(), testidentity.Request(t, testidentity.Certificate("phone"), nil), nil)
	check(t, err, accepted)
	if method != oauth.MethodNone {
		t.Errorf("the method is %q", method)
	}
	if !caller.Public() || caller.Authenticated() || caller.Client().ID() != "phone" || caller.Identity().Proven() || caller.Key() != "" {
		t.Errorf("public %t, authenticated %t", caller.Public(), caller.Authenticated())
	}
	if _, _, bound := caller.Certificate(); bound {
		t.Error("CA-6 there is a certificate to bind to")
	}
	_, err = s.authenticate(t, testidentity.Request(t, testidentity.Certificate("phone"), s.Chain(t, billing)))
	check(t, err, want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CA-7"})
	caller, err = s.authenticate(t, testidentity.Request(t, testidentity.Assertion(billing, s.JWT(t, billing)), nil))
	check(t, err, accepted)
	if caller.Public() || !caller.Authenticated() {
		t.Errorf("public %t, authenticated %t", caller.Public(), caller.Authenticated())
	}
	if (clientauth.Caller{}).Public() {
		t.Error("the zero Caller is a public client")
	}
}
