package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/inspect"
	"github.com/svidgate/svidgate/oauth"
)

// An identity is all that a Workload API gives to one process.
type identity struct {
	WorkloadAPI string         `json:"workload_api"`
	X509SVIDs   []x509Identity `json:"x509_svids"`
	Bundles     []trustBundle  `json:"bundles"`
	Audience    string         `json:"audience,omitempty"`
	JWTSVIDs    []jwtIdentity  `json:"jwt_svids,omitempty"`
	WITSVIDs    []jwtIdentity  `json:"wit_svids,omitempty"` // none where the Workload API does not have them
}

type x509Identity struct {
	SPIFFEID     string    `json:"spiffe_id"`
	Hint         string    `json:"hint,omitempty"`
	Default      bool      `json:"default"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	Issuer       string    `json:"issuer"`
	Serial       string    `json:"serial"`
	Certificates int       `json:"certificates"`
	Thumbprint   string    `json:"x5t#S256"`
}

type trustBundle struct {
	TrustDomain string   `json:"trust_domain"`
	Own         bool     `json:"own"` // of one of the identities
	X509        int      `json:"x509_authorities"`
	JWTKeyIDs   []string `json:"jwt_key_ids"`
	WITKeyIDs   []string `json:"wit_key_ids,omitempty"`
}

type jwtIdentity struct {
	Hint string `json:"hint,omitempty"`
	*inspect.Report
}

func identityOf(v *workload.View, audience string, now time.Time) (identity, error) {
	who := identity{WorkloadAPI: v.Address, X509SVIDs: []x509Identity{}, Bundles: []trustBundle{}, Audience: audience}
	own := map[spiffeid.TrustDomain]bool{}
	for i, svid := range v.X509SVIDs {
		own[svid.ID.TrustDomain()] = true
		who.X509SVIDs = append(who.X509SVIDs, x509IdentityOf(svid, i == 0))
	}
	bundles := map[spiffeid.TrustDomain]*trustBundle{}
	bundle := func(td spiffeid.TrustDomain) *trustBundle {
		if bundles[td] == nil {
			bundles[td] = &trustBundle{TrustDomain: td.Name(), Own: own[td], JWTKeyIDs: []string{}}
		}
		return bundles[td]
	}
	if v.X509Bundles != nil {
		for _, b := range v.X509Bundles.Bundles() {
			bundle(b.TrustDomain()).X509 = len(b.X509Authorities())
		}
	}
	if v.JWTBundles != nil {
		for _, b := range v.JWTBundles.Bundles() {
			for kid := range b.JWTAuthorities() {
				one := bundle(b.TrustDomain())
				one.JWTKeyIDs = append(one.JWTKeyIDs, oauth.Shown(kid))
			}
		}
	}
	if v.WITBundles != nil {
		for _, b := range v.WITBundles.Bundles() {
			for kid := range b.WITAuthorities() {
				one := bundle(b.TrustDomain())
				one.WITKeyIDs = append(one.WITKeyIDs, oauth.Shown(kid))
			}
		}
	}
	for _, b := range bundles {
		slices.Sort(b.JWTKeyIDs)
		slices.Sort(b.WITKeyIDs)
		who.Bundles = append(who.Bundles, *b)
	}
	slices.SortFunc(who.Bundles, func(a, b trustBundle) int {
		if a.Own != b.Own && a.Own {
			return -1
		} else if a.Own != b.Own {
			return 1
		}
		return strings.Compare(a.TrustDomain, b.TrustDomain)
	})
	for _, svid := range v.JWTSVIDs {
		report, err := inspect.Inspect([]byte(svid.Marshal()), now)
		if err != nil {
			return who, fmt.Errorf("a JWT-SVID of %s cannot be read: %w", svid.ID, err)
		}
		who.JWTSVIDs = append(who.JWTSVIDs, jwtIdentity{oauth.Shown(svid.Hint), report})
	}
	for _, svid := range v.WITSVIDs {
		report, err := inspect.Inspect([]byte(svid.Marshal()), now)
		if err != nil {
			return who, fmt.Errorf("a WIT-SVID of %s cannot be read: %w", svid.ID, err)
		}
		who.WITSVIDs = append(who.WITSVIDs, jwtIdentity{oauth.Shown(svid.Hint), report})
	}
	return who, nil
}

func x509IdentityOf(svid *x509svid.SVID, first bool) x509Identity {
	leaf := svid.Certificates[0] // go-spiffe has looked
	return x509Identity{
		SPIFFEID: svid.ID.String(), Hint: oauth.Shown(svid.Hint), Default: first,
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Issuer: oauth.Shown(leaf.Issuer.String()), Serial: fmt.Sprintf("%x", leaf.SerialNumber),
		Certificates: len(svid.Certificates), Thumbprint: inspect.Thumbprint(leaf.Raw),
	}
}
