package inspect

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// nobody stands for the server or API that a credential is meant for, which
// inspect does not know. The rules that ask for it are left out of the remarks.
const nobody = "https://inspect.invalid"

// noBundles knows no trust domain, so that the walk of the rules ends where a
// bundle would be needed.
type noBundles struct{}

func (noBundles) Bundle(spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	return nil, bundle.ErrUnknownTrustDomain
}

// noKeys is the same for access tokens.
type noKeys struct{}

func (noKeys) Issuer() string { return nobody }

func (noKeys) KeySet(context.Context, string) (*resource.KeySet, error) {
	return nil, resource.ErrKeysUnavailable
}

// elsewhere are the rules that say something about the verifier and nothing about
// what is inspected: its trust domains, its own name, its issuers, its connection.
var elsewhere = []string{"JS-13", "CJ-6", "PP-5", "GL-14", "AT-4", "LD-3", "MT-2", "MT-7", "DP-5"}

// judged are the remarks of the rules of the server or of an API, as far as a
// rule can be judged here.
func judged(e oauth.Explanation) []Remark {
	var remarks []Remark
	for _, f := range e.Findings {
		if f.Outcome != oauth.Refused || slices.Contains(elsewhere, f.Rule) {
			continue
		}
		remarks = append(remarks, Remark{f.Rule, f.Reason, "expected " + f.Expected + ", found " + f.Presented})
	}
	return remarks
}

func verifier(now time.Time) *svidgate.Verifier {
	v, err := svidgate.NewVerifier(svidgate.Config{
		Issuer: nobody, Settings: svidgate.DefaultSettings(), Bundles: noBundles{}, Now: func() time.Time { return now },
	})
	if err != nil { // cannot be: all of it is ours
		return nil
	}
	return v
}

// remarks judges a token by the rules for its kind.
func (t *token) remarks(kind Kind) []Remark {
	switch kind {
	case JWTSVID:
		remarks := judged(verifier(t.now).ExplainJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: t.raw}))
		if _, ok := t.Header.Get("kid"); !ok {
			remarks = append(remarks, Remark{"JS-14", oauth.ReasonKIDMissing, "there is no kid: it verifies only where the trust domain has a single key, and not with svid.require_kid"})
		}
		return remarks
	case AccessToken:
		v, err := resource.New(resource.Config{Resource: nobody, Issuers: []resource.KeySource{noKeys{}}, Now: func() time.Time { return t.now }})
		if err != nil { // cannot be: all of it is ours
			return nil
		}
		return judged(v.ExplainToken(context.Background(), t.raw, nil))
	case WITSVID:
		return witRemarks(t.raw, "", t.now)
	case WITProof:
		return proofRemarks(t.raw, t.now)
	}
	return nil
}

// certificateRemarks judges a chain whose first certificate is a workload's.
func certificateRemarks(chain []*x509.Certificate, now time.Time) []Remark {
	return judged(verifier(now).ExplainX509SVID(context.Background(), chain))
}
