package svidgate

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/judge"
)

// VerifyServerX509SVID judges the certificates that a TLS server sent, leaf first, at
// the time now: by the rules XS-* with the anchors of one bundle, and the SPIFFE ID has
// to be exactly id. An extended key usage has to allow serverAuth (X509-SVID section
// 4.4). The TLS library must have proven that the server holds the leaf's key.
//
// It is for a client that knows its server by SPIFFE ID, such as one of a bundle
// endpoint with the profile https_spiffe (FED section 5.2.2.4). Nothing is remembered
// from one call to the next. Without a bundle, or with one of another trust domain,
// nobody is good.
//
// Not checked here: the host name, which counts for nothing beside a SPIFFE ID; how old
// the bundle is; and revocation lists.
func VerifyServerX509SVID(sent []*x509.Certificate, id spiffeid.ID, by *bundle.Snapshot, now time.Time) error {
	s := newX509State(&Verifier{
		settings: Settings{MaxBundleAge: Unbounded}, bundles: onlyBundle{by},
		now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler),
	}, sent)
	s.usage, s.afresh = x509.ExtKeyUsageServerAuth, true
	refusal := judge.FirstRefusal(context.Background(), x509Rules, s)
	switch {
	case s.Has(factID) && s.id != id:
		//svidgate:rule BE-6
		return fmt.Errorf("the server is %s, not %s (BE-6)", s.id, id)
	case refusal != nil: // without its code, which is for clients
		return fmt.Errorf("%w (%s): expected %s, presented %s", refusal.Reason, refusal.Rule, refusal.Expected, refusal.Presented)
	}
	return nil
}

// onlyBundle are the bundles of whoever has one.
type onlyBundle struct{ snapshot *bundle.Snapshot }

func (b onlyBundle) Bundle(spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	if b.snapshot == nil {
		return nil, bundle.ErrNotReady
	}
	return b.snapshot, nil
}
