package registration_test

import (
	"fmt"
	"testing"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// From the request to its client, without the verification between the two, by
// the number of registered clients.
func BenchmarkClaimAndAssociate(b *testing.B) {
	w := testidentity.New(b)
	req, identity := testidentity.Request(b, testidentity.Assertion(billing, w.JWT(b, billing)), nil), w.ProvenByJWT(b, billing)
	for _, n := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			methods := []oauth.AuthMethod{oauth.MethodJWT}
			clients := []registration.Metadata{{ClientID: billing, AuthMethods: methods}}
			for i := 1; i < n; i++ {
				clients = append(clients, registration.Metadata{ClientID: fmt.Sprintf("spiffe://example.org/other/%d", i), AuthMethods: methods})
			}
			r := w.Registry(b, clients...)
			b.ReportAllocs()
			for b.Loop() {
				claim, err := r.Claim(req)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := claim.Associate(identity); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
