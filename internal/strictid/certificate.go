package strictid

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
)

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// uniformResourceIdentifier is the context tag of a URI among the general
// names of RFC 5280 section 4.2.1.6.
const uniformResourceIdentifier = 6

// URINames returns the URIs of a certificate's subject alternative name as they
// stand in the extension's bytes (XS-26). Go's parsed URLs will not do: they
// drop an empty fragment and lower the scheme's case. A certificate without the
// extension has none.
func URINames(cert *x509.Certificate) ([]string, error) {
	var names []string
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidSubjectAltName) {
			continue
		}
		var seq asn1.RawValue
		rest, err := asn1.Unmarshal(ext.Value, &seq)
		if err != nil || len(rest) != 0 || !seq.IsCompound || seq.Tag != asn1.TagSequence || seq.Class != asn1.ClassUniversal {
			return nil, errors.New("the subject alternative name extension is malformed")
		}
		for rest = seq.Bytes; len(rest) > 0; {
			var name asn1.RawValue
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				return nil, errors.New("the subject alternative name extension is malformed")
			}
			if name.Class != asn1.ClassContextSpecific || name.Tag != uniformResourceIdentifier {
				continue
			}
			// DER has no constructed form of it. Go's path validation overlooks
			// one, and with it every name constraint (XS-16).
			if name.IsCompound {
				return nil, errors.New("the subject alternative name extension has a URI that is not DER")
			}
			names = append(names, string(name.Bytes))
		}
	}
	return names, nil
}
