package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/bundle/workloadapi"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/regularfile"
)

// A sourceInUse is a bundle source and what it was made from. Two that were made
// from the same are one, so that a reload leaves what did not change alone.
type sourceInUse struct {
	kind   string // for the log
	made   string // not for the log: a URL may hold what only its server should read
	source bundle.Source
}

// trustDomains makes what the bundle set needs. Sources in use that have not
// changed are used again.
func (d *Daemon) trustDomains(cfg *config.Config) ([]bundle.TrustDomain, map[spiffeid.TrustDomain]sourceInUse, error) {
	var domains []bundle.TrustDomain
	sources := map[spiffeid.TrustDomain]sourceInUse{}
	for _, td := range cfg.TrustDomains {
		source, err := d.bundleSource(td)
		if err != nil {
			return nil, nil, fmt.Errorf("daemon: trust domain %s: %w", td.Name.Name(), err)
		}
		if before, ok := d.sources[td.Name]; ok && before.made == source.made {
			source = before
		}
		sources[td.Name] = source
		domains = append(domains, bundle.TrustDomain{Name: td.Name, Source: source.source, Refresh: refreshOf(td), MaxAge: td.MaxStale})
	}
	return domains, sources, nil
}

// refreshOf bounds the time between two polls so that a bundle is confirmed
// about three times within max_stale, whatever its own hint says: a healthy
// endpoint must not let it get too old, and a silent one is told of at half of
// the time.
func refreshOf(td config.TrustDomain) bundle.Refresh {
	r := bundle.Refresh{Min: td.Refresh.Min, Max: td.Refresh.Max}
	if td.MaxStale > 0 {
		third := td.MaxStale / 3
		r.Min, r.Max = min(r.Min, third), min(r.Max, third)
	}
	return r
}

// bundleSource makes the source of a trust domain's bundle. What it was made from
// includes the certificates of ca_file: a file that changed makes another source.
func (d *Daemon) bundleSource(td config.TrustDomain) (sourceInUse, error) {
	source, err := d.documents(td)
	if err == nil && td.KeySet {
		source = sourceInUse{source.kind + " with a JWK Set", source.made + " JWK Set", bundle.NewKeySet(source.source)}
	}
	return source, err
}

// documents makes the source of a trust domain's documents, whatever their form.
func (d *Daemon) documents(td config.TrustDomain) (sourceInUse, error) {
	switch {
	case td.BundleFile != "":
		source, err := bundle.NewFile(td.BundleFile)
		return sourceInUse{"bundle_file", "file " + td.BundleFile, source}, err
	case td.WorkloadAPI.Address != "":
		source, err := workloadapi.New(workloadapi.Config{Address: td.WorkloadAPI.Address, TrustDomain: td.Name, Log: d.log})
		return sourceInUse{"workload_api", "workload API " + td.WorkloadAPI.Address, source}, err
	}
	return d.endpoint(td.BundleEndpoint, td.Name)
}

// endpoint makes the source of a bundle endpoint.
func (d *Daemon) endpoint(endpoint config.BundleEndpoint, td spiffeid.TrustDomain) (sourceInUse, error) {
	c := bundle.EndpointConfig{URL: endpoint.URL, ForbidRedirects: !endpoint.Redirects, Now: d.now}
	made := fmt.Sprintf("endpoint %s redirects %t", endpoint.URL, endpoint.Redirects)
	if endpoint.CAFile != "" {
		pem, err := regularfile.Read(endpoint.CAFile, maxPEM)
		if err != nil {
			return sourceInUse{}, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return sourceInUse{}, fmt.Errorf("ca_file %s has no certificate", endpoint.CAFile)
		}
		made += fmt.Sprintf(" ca %x", sha256.Sum256(pem))
	}
	c.Profile = bundle.ProfileHTTPSWeb // BE-1: said even where it was left to the default
	if !endpoint.SPIFFEID.IsZero() {
		c.Profile, c.SPIFFE = bundle.ProfileHTTPSSPIFFE, bundle.SPIFFEServer{ID: endpoint.SPIFFEID, Verify: svidgate.VerifyServerX509SVID}
		made += " as " + endpoint.SPIFFEID.String()
	}
	if endpoint.InitialBundleFile != "" {
		initial, digest, err := readBundle(endpoint.InitialBundleFile, td, d.now())
		if err != nil {
			return sourceInUse{}, fmt.Errorf("initial_bundle_file: %w", err)
		}
		c.SPIFFE.Initial = initial
		made += fmt.Sprintf(" first known by %x", digest)
	}
	source, err := bundle.NewEndpoint(c)
	return sourceInUse{"spiffe_bundle_endpoint " + c.Profile, made, source}, err
}

// readBundle reads a bundle from a file once.
func readBundle(path string, td spiffeid.TrustDomain, now time.Time) (s *bundle.Snapshot, digest [sha256.Size]byte, err error) {
	file, err := bundle.NewFile(path)
	if err != nil {
		return nil, digest, err
	}
	document, err := file.Fetch(context.Background())
	if err != nil {
		return nil, digest, err
	}
	if s, err = bundle.Parse(td, document.Bytes, now); err != nil {
		return nil, digest, fmt.Errorf("%s: %w", path, err)
	}
	return s, sha256.Sum256(document.Bytes), nil
}
