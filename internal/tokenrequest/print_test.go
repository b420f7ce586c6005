package tokenrequest

import (
	"fmt"
	"strings"
	"testing"
)

// AU-2: a request prints without its assertion, whichever way it is printed.
func TestRequestHidesItsAssertion(t *testing.T) {
	r := Request{endpoint: Endpoint{Name: "token"}, clientID: "billing", assertion: "canary-assertion", attestation: "canary-wit", proof: "canary-proof"}
	held := struct{ Request Request }{r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		got := fmt.Sprintf(verb+" "+verb+" "+verb, r, &r, held)
		if strings.Contains(got, "canary") || strings.Contains(got, fmt.Sprintf("%x", "canary")) || strings.Contains(got, "99 97 110") {
			t.Errorf("%s: %s", verb, got)
		}
		if !strings.Contains(got, "billing") {
			t.Errorf("%s says nothing: %s", verb, got)
		}
	}
}
