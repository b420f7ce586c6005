package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/explain"
)

// ExplainByConfig judges a credential by a configuration and what it has on disk:
// bundle files, and what a server kept. It fetches nothing and changes no file.
func ExplainByConfig(ctx context.Context, cfg *config.Config, now func() time.Time, q explain.Question) (explain.Report, error) {
	d := &Daemon{now: now, log: slog.New(slog.DiscardHandler)}
	bundles, err := d.onDisk(ctx, cfg)
	if err != nil {
		return explain.Report{}, err
	}
	authenticator, err := newAuthenticator(cfg, svidgate.Config{Bundles: bundles, Now: d.now, Log: d.log})
	if err != nil {
		return explain.Report{}, err
	}
	bound := cfg.Listen.MTLS
	if strings.HasSuffix(bound, ":0") { // which port that will be only the running server knows
		bound = ""
	}
	mtlsURL, err := aliasBase(cfg, bound)
	if err != nil {
		return explain.Report{}, err
	}
	report, err := explained(ctx, authenticator, situation(cfg, authenticator.Clients.All(), d.now()), endpointsOf(cfg, mtlsURL), q)
	if err != nil {
		return report, err
	}
	if id, err := spiffeid.FromString(report.SPIFFEID); err == nil {
		if why := bundles.faults[id.TrustDomain()]; why != nil {
			report.Notes = append(report.Notes, why.Error())
		}
	}
	return report, nil
}

// DecisionByConfig finds a decision in the audit file of a configuration, or in
// another one, such as one that was rotated away.
func DecisionByConfig(ctx context.Context, cfg *config.Config, file, requestID string) (explain.Decision, error) {
	if file == "" {
		file = cfg.Audit.File
	}
	authenticator, err := newAuthenticator(cfg, svidgate.Config{Bundles: &bundlesOnDisk{}})
	if err != nil {
		return explain.Decision{}, err
	}
	return decision(ctx, file, requestID, situation(cfg, authenticator.Clients.All(), time.Now()))
}

// bundlesOnDisk are those that need no source to be asked over a network.
type bundlesOnDisk struct {
	kept   *bundle.Set
	files  map[spiffeid.TrustDomain]*bundle.Snapshot
	faults map[spiffeid.TrustDomain]error
}

// onDisk reads what a server with this configuration would begin with.
func (d *Daemon) onDisk(ctx context.Context, cfg *config.Config) (*bundlesOnDisk, error) {
	domains, sources, err := d.trustDomains(cfg)
	if err != nil {
		return nil, err
	}
	d.useSources(sources)
	defer d.useSources(nil) // none is asked but the files
	b := &bundlesOnDisk{files: map[spiffeid.TrustDomain]*bundle.Snapshot{}, faults: map[spiffeid.TrustDomain]error{}}
	if b.kept, err = bundle.NewSet(bundle.Config{TrustDomains: domains, Folder: cfg.Bundles.Folder, Log: d.log, Now: d.now}); err != nil {
		return nil, err
	}
	for i, td := range cfg.TrustDomains {
		if td.BundleFile == "" {
			if _, err := b.kept.Bundle(td.Name); err != nil {
				b.faults[td.Name] = fmt.Errorf("nothing that this user can use is kept of %s in %s", td.Name.Name(), cfg.Bundles.Folder)
			}
			continue
		}
		document, err := domains[i].Source.Fetch(ctx)
		if err == nil {
			b.files[td.Name], err = bundle.Parse(td.Name, document.Bytes, d.now())
		}
		if err != nil {
			b.faults[td.Name] = err
		}
	}
	return b, nil
}

// Bundle is svidgate.Bundles.
func (b *bundlesOnDisk) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	if s := b.files[td]; s != nil {
		return s, nil
	}
	return b.kept.Bundle(td)
}

// A BundleFile is what is judged by without any server.
type BundleFile struct {
	Document    []byte
	TrustDomain string
	Audience    string // taken for the issuer; empty for certificates, which have none
}

// unnamed stands for the issuer where nobody said which; it names no host.
const unnamed = "https://issuer.invalid"

// ExplainByBundle judges a credential by a bundle alone, as a server would that
// trusts it as of now.
func ExplainByBundle(ctx context.Context, file BundleFile, now func() time.Time, q explain.Question) (explain.Report, error) {
	td, err := spiffeid.TrustDomainFromString(file.TrustDomain)
	if err != nil {
		return explain.Report{}, fmt.Errorf("--trust-domain: %w", err)
	}
	snapshot, err := bundle.Parse(td, file.Document, now())
	if err != nil {
		return explain.Report{}, fmt.Errorf("--bundle: %w", err)
	}
	s := explain.Situation{By: explain.ByBundle, Now: now(), Issuer: file.Audience, TrustDomains: []explain.TrustDomain{{Name: td.Name()}}}
	c := svidgate.Config{Issuer: file.Audience, Settings: svidgate.DefaultSettings(), Bundles: oneBundle{td, snapshot}, Now: now}
	if c.Issuer == "" {
		c.Issuer = unnamed
	}
	verifier, err := svidgate.NewVerifier(c)
	if err != nil {
		return explain.Report{}, fmt.Errorf("--audience: %w", err)
	}
	report, err := explained(ctx, &clientauth.Authenticator{Verifier: verifier}, s, endpoints{}, q)
	if err != nil {
		return report, err
	}
	for _, left := range snapshot.LeftOut() {
		report.Notes = append(report.Notes, fmt.Sprintf("entry %d of the bundle was left out: %s (%s)", left.Index, left.Why, left.Rule))
	}
	return report, nil
}

// oneBundle is that of the only trust domain there is.
type oneBundle struct {
	td       spiffeid.TrustDomain
	snapshot *bundle.Snapshot
}

func (b oneBundle) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	if td != b.td {
		return nil, bundle.ErrUnknownTrustDomain
	}
	return b.snapshot, nil
}
