package credential

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

const (
	blockType    = "CERTIFICATE"
	asn1Sequence = 0x30
	// mostCertificates is how many are read; a server takes five (MT-8). A trust
	// store of a whole system has a few hundred.
	mostCertificates = 20
)

func readPEM(text string) (Credential, error) {
	var c Credential
	var others []string
	for data := []byte(text); ; {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != blockType {
			others = append(others, block.Type)
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Credential{}, fmt.Errorf("certificate %d of the input cannot be read: %s", len(c.Certificates)+1, shown(err))
		}
		if c.Certificates = append(c.Certificates, certificate); len(c.Certificates) > mostCertificates {
			return Credential{}, errMany()
		}
	}
	switch {
	case len(c.Certificates) == 0 && len(others) == 0:
		return Credential{}, ErrCutOff
	case len(c.Certificates) == 0:
		return Credential{}, fmt.Errorf("%w: there is a PEM block of the type %s", ErrUnknown, oauth.Shown(others[0]))
	case len(others) > 0:
		c.Notes = append(c.Notes, fmt.Sprintf("%d PEM blocks that are no certificates were passed over", len(others)))
	}
	if !strings.HasPrefix(text, "-----BEGIN ") {
		c.Notes = append(c.Notes, "text before the first certificate was passed over")
	}
	c.noteOrder()
	return c, nil
}

// readDER reads what the Workload API hands out: certificates one after the other.
func readDER(der []byte) (Credential, error) {
	certificates, err := x509.ParseCertificates(der)
	switch {
	case err != nil || len(certificates) == 0:
		return Credential{}, ErrBinary
	case len(certificates) > mostCertificates:
		return Credential{}, errMany()
	}
	c := Credential{Certificates: certificates}
	c.noteOrder()
	return c, nil
}

// noteOrder looks for a leaf that is not the first.
func (c *Credential) noteOrder() {
	if !c.Certificates[0].IsCA {
		return
	}
	for i, later := range c.Certificates[1:] {
		if !later.IsCA {
			c.Notes = append(c.Notes, fmt.Sprintf("certificate %d looks like the workload's own; it has to be the first", i+2))
			return
		}
	}
}

func errMany() error { return fmt.Errorf("the input has more than %d certificates", mostCertificates) }

func shown(err error) string { return oauth.ShownError(err).Error() }
