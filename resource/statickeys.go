package resource

import (
	"context"
	"errors"
	"fmt"
)

// StaticKeys are the keys of an issuer that were handed over as a document. They
// never change and never grow old: for tests, and for places where another
// program renews the document and restarts this one.
type StaticKeys struct {
	issuer string
	set    *KeySet
}

// NewStaticKeys reads a JWK Set, which must have at least one key that may
// verify access tokens; see ParseKeySet.
func NewStaticKeys(issuer string, jwks []byte) (*StaticKeys, error) {
	var faults []error
	if err := checkIssuer(issuer); err != nil {
		faults = append(faults, fmt.Errorf("resource: the issuer %w", err))
	}
	set, err := ParseKeySet(jwks)
	if err != nil {
		faults = append(faults, err)
	} else if set.Len() == 0 {
		faults = append(faults, errors.New("resource: key set: there is no key that may verify access tokens"))
		for _, out := range set.leftOut {
			faults = append(faults, fmt.Errorf("resource: key set: key %d: %s (%s)", out.Index, out.Why, out.Rule))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &StaticKeys{issuer, set}, nil
}

// Issuer is the issuer identifier.
func (k *StaticKeys) Issuer() string { return k.issuer }

// KeySet is always the same.
func (k *StaticKeys) KeySet(context.Context, string) (*KeySet, error) { return k.set, nil }
