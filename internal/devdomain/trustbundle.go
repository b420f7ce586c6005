package devdomain

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
)

// A trustBundle is the keys of one trust domain. It never changes.
type trustBundle struct {
	td    spiffeid.TrustDomain
	roots []*x509.Certificate
	jwt   map[string]crypto.PublicKey // by kid
	wit   map[string]crypto.PublicKey
}

// AddFederated hands out the bundle of another trust domain beside our own, or
// replaces the one of that name. The document is a SPIFFE bundle, as its
// endpoint serves it; nothing is fetched here. The name is given, never taken
// from the document (BU-18).
func (d *Domain) AddFederated(trustDomain string, document []byte) error {
	td, err := strictid.TrustDomain(trustDomain)
	if err != nil {
		return fmt.Errorf("devdomain: federated trust domain: %w", err)
	}
	if td == d.authority.TrustDomain() {
		return fmt.Errorf("devdomain: %s is the domain itself, and bundles are never merged (BU-19)", td)
	}
	parsed, err := spiffebundle.Parse(td, document)
	if err != nil {
		return fmt.Errorf("devdomain: bundle of %s: %w", td, err)
	}
	d.mu.Lock()
	d.federated[td.Name()] = &trustBundle{td, parsed.X509Authorities(), parsed.JWTAuthorities(), parsed.WITAuthorities()}
	d.mu.Unlock()
	return d.refresh(false)
}

// RemoveFederated takes a trust domain's bundle out of what is handed out; that
// of an unknown one is out already.
func (d *Domain) RemoveFederated(trustDomain string) error {
	td, err := strictid.TrustDomain(trustDomain)
	if err != nil {
		return fmt.Errorf("devdomain: federated trust domain: %w", err)
	}
	d.mu.Lock()
	delete(d.federated, td.Name())
	d.mu.Unlock()
	return d.refresh(false)
}

// sortedFederated is called with d.mu held.
func (d *Domain) sortedFederated() []*trustBundle {
	return slices.SortedFunc(maps.Values(d.federated), func(a, b *trustBundle) int {
		return cmp.Compare(a.td.Name(), b.td.Name())
	})
}

// all is our own bundle and the federated ones.
func (s *state) all() []*trustBundle {
	return append([]*trustBundle{s.own}, s.federated...)
}

// der is the roots one after the other, as the Workload API sends them.
func (b *trustBundle) der() []byte {
	var der []byte
	for _, root := range b.roots {
		der = append(der, root.Raw...)
	}
	return der
}

// keySet is a JWK Set of keys by kid, always the same bytes for the same keys.
func keySet(keys map[string]crypto.PublicKey, use string) ([]byte, error) {
	entries := []json.RawMessage{}
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		entry, err := jose.MarshalJWK(keys[kid], kid, use, "")
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return json.Marshal(struct {
		Keys []json.RawMessage `json:"keys"`
	}{entries})
}

// newWIT makes a WIT-SVID with a key of its own.
func newWIT(a *devca.Authority, path string) (witSVID, error) {
	signer, err := devca.GenerateKey(devca.P256)
	if err != nil {
		return witSVID{}, err
	}
	token, err := a.WITSVID(path, signer.Public())
	if err != nil {
		return witSVID{}, err
	}
	public, err := jose.MarshalJWK(signer.Public(), "", "", jose.ES256)
	if err != nil {
		return witSVID{}, err
	}
	secret, err := signer.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		return witSVID{}, err
	}
	var members map[string]string
	if err := json.Unmarshal(public, &members); err != nil {
		return witSVID{}, err
	}
	members["d"] = base64.RawURLEncoding.EncodeToString(secret) // RFC 7518 section 6.2.2
	jwk, err := json.Marshal(members)
	return witSVID{token, string(jwk)}, err
}
