package workloadapi

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keyset"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxDocument is the longest bundle document in bytes (BE-9). Neither the two
	// bundles together nor what is made of them may be longer.
	maxDocument = 1 << 20
	// maxEntries is how many entries a document may have (FX-1).
	maxEntries = 1000
)

var (
	errTooLong = errors.New("the bundle is longer than 1 MiB (BE-9)")
	errTooMany = fmt.Errorf("the bundle has more than %d entries (FX-1)", maxEntries)
)

// compose makes one SPIFFE bundle document of the certificates, one after the
// other in DER, and of the JWK Set. The same bundle gives the same bytes in
// whatever order the agent keeps it.
//
// It judges no entry: a broken one goes into the document, and bundle.Parse
// leaves it out and says so, without a loss for its neighbours (F5). What cannot
// be taken apart into entries at all is an error, and nothing is learnt.
func compose(certificates []byte, keys entry) ([]byte, error) {
	if len(certificates)+len(keys.data) > maxDocument {
		return nil, errTooLong
	}
	entries, err := certificateEntries(certificates)
	if err != nil {
		return nil, fmt.Errorf("X.509 bundle: %w", err)
	}
	if keys.there {
		more, err := keyset.Entries(keys.data, maxEntries)
		if err != nil {
			return nil, fmt.Errorf("JWT bundle: %w", err)
		}
		slices.SortFunc(more, bytes.Compare)
		entries = append(entries, more...)
	}
	if len(entries) > maxEntries {
		return nil, errTooMany
	}
	document := slices.Concat([]byte(`{"keys":[`), bytes.Join(entries, []byte(",")), []byte("]}"))
	if len(document) > maxDocument {
		return nil, errTooLong
	}
	return document, nil
}

// certificateEntries takes the certificates apart by the length that each one
// states, so that what is broken inside of one stays there.
func certificateEntries(der []byte) ([][]byte, error) {
	var entries [][]byte
	for len(der) > 0 {
		var element asn1.RawValue
		rest, err := asn1.Unmarshal(der, &element)
		if err != nil {
			return nil, fmt.Errorf("no end of certificate %d can be found: %w (BU-1)", len(entries), oauth.ShownError(err))
		}
		if len(entries) == maxEntries {
			return nil, errTooMany
		}
		entries = append(entries, certificateEntry(element.FullBytes))
		der = rest
	}
	slices.SortFunc(entries, bytes.Compare)
	return entries, nil
}

// certificateEntry is the entry of one certificate, with its key as the members
// of a JWK beside it, as RFC 7517 wants it. What does not parse, or has a key that
// no JWK can hold, goes without them under some kty: bundle.Parse then says what
// is wrong with the certificate, rather than that a member is missing.
func certificateEntry(der []byte) []byte {
	head := []byte(`{"use":"x509-svid","kty":"EC"`)
	if cert, err := x509.ParseCertificate(der); err == nil {
		if jwk, err := jose.MarshalJWK(cert.PublicKey, "", string(bundle.UseX509), ""); err == nil {
			head = bytes.TrimSuffix(jwk, []byte("}"))
		}
	}
	return fmt.Appendf(head, `,"x5c":["%s"]}`, base64.StdEncoding.EncodeToString(der))
}
