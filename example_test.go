package svidgate_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// one is a trust bundle for one trust domain. A server takes a *bundle.Set,
// which fetches and keeps the bundles of many.
type one struct{ *bundle.Snapshot }

func (o one) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	if td != o.TrustDomain() {
		return nil, bundle.ErrUnknownTrustDomain
	}
	return o.Snapshot, nil
}

func ExampleVerifier_VerifyJWTSVID() {
	ctx := context.Background()
	authority, err := devca.New("example.org", devca.Options{}) // stands for SPIRE
	if err != nil {
		panic(err)
	}
	snapshot, err := bundle.Parse(spiffeid.RequireTrustDomainFromString("example.org"), authority.Bundle(), time.Now())
	if err != nil {
		panic(err)
	}
	verifier, err := svidgate.NewVerifier(svidgate.Config{
		Issuer:   "https://as.example.com",
		Settings: svidgate.DefaultSettings(),
		Bundles:  one{snapshot},
	})
	if err != nil {
		panic(err)
	}

	good, _ := authority.JWTSVID("/billing", []string{"https://as.example.com"})
	identity, err := verifier.VerifyJWTSVID(ctx, svidgate.JWTPresentation{Assertion: good})
	fmt.Println(identity.SPIFFEID(), identity.Method(), err)

	bad, _ := authority.JWTSVID("/billing", []string{"https://as.example.com/"})
	_, err = verifier.VerifyJWTSVID(ctx, svidgate.JWTPresentation{Assertion: bad})
	refusal, _ := errors.AsType[*oauth.Error](err)
	fmt.Println(refusal.Code, refusal.Reason, refusal.Rule)
	fmt.Println("expected ", refusal.Expected)
	fmt.Println("presented", refusal.Presented)
	// Output:
	// spiffe://example.org/billing spiffe_jwt <nil>
	// invalid_client aud_mismatch CJ-6
	// expected  https://as.example.com (profile transition)
	// presented https://as.example.com/
}
