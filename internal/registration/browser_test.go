package registration_test

import (
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// CA-12 A name finds its client and proves nothing; what people sign in for is with
// the client, and RD-6 nothing where the operator said nothing.
func TestNamed(t *testing.T) {
	w := testidentity.New(t)
	uris := []string{"https://app.example.com/cb", "com.example.app:/cb"}
	r := w.Registry(t,
		registration.Metadata{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}},
		registration.Metadata{ClientID: "phone", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}, Name: "The phone", RedirectURIs: uris, RequirePushed: true},
	)
	phone := r.Named("phone")
	uris[0] = "https://evil.test/" // it is not the list of the caller
	if !phone.Registered() || !phone.Public() || phone.Name() != "The phone" || !phone.RequirePushed() || !slices.Equal(phone.RedirectURIs(), []string{"https://app.example.com/cb", "com.example.app:/cb"}) {
		t.Errorf("phone is %q, %v", phone.Name(), phone.RedirectURIs())
	}
	if c := r.Named(billing); !c.Registered() || c.Public() || c.Name() != billing || c.RequirePushed() || c.RedirectURIs() != nil {
		t.Errorf("RD-6 %q has %v", c.Name(), c.RedirectURIs())
	}
	for _, id := range []string{"", "Phone", "phone ", "spiffe://example.org/new"} {
		if c := r.Named(id); c.Registered() || c.Public() || c.Name() != "" {
			t.Errorf("RF-7 %q is %q", id, c.ID())
		}
	}
	// A public client is nobody's SPIFFE ID.
	req := testidentity.Request(t, testidentity.Assertion("", w.JWT(t, billing)), nil)
	claim, err := r.Claim(req)
	if err != nil {
		t.Fatal(err)
	}
	if client, _, err := claim.Associate(w.ProvenByJWT(t, billing)); err != nil || client.ID() != billing {
		t.Errorf("CJ-10 %q, %v", client.ID(), err)
	}
}
