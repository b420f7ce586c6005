package inspect

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"strings"
)

var keyUsages = []struct {
	bit  x509.KeyUsage
	name string
}{
	{x509.KeyUsageDigitalSignature, "digitalSignature"},
	{x509.KeyUsageContentCommitment, "contentCommitment"},
	{x509.KeyUsageKeyEncipherment, "keyEncipherment"},
	{x509.KeyUsageDataEncipherment, "dataEncipherment"},
	{x509.KeyUsageKeyAgreement, "keyAgreement"},
	{x509.KeyUsageCertSign, "keyCertSign"},
	{x509.KeyUsageCRLSign, "cRLSign"},
	{x509.KeyUsageEncipherOnly, "encipherOnly"},
	{x509.KeyUsageDecipherOnly, "decipherOnly"},
}

func keyUsage(usage x509.KeyUsage) string {
	var names []string
	for _, u := range keyUsages {
		if usage&u.bit != 0 {
			names = append(names, u.name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

var extKeyUsages = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny:             "any",
	x509.ExtKeyUsageServerAuth:      "serverAuth",
	x509.ExtKeyUsageClientAuth:      "clientAuth",
	x509.ExtKeyUsageCodeSigning:     "codeSigning",
	x509.ExtKeyUsageEmailProtection: "emailProtection",
	x509.ExtKeyUsageTimeStamping:    "timeStamping",
	x509.ExtKeyUsageOCSPSigning:     "OCSPSigning",
}

func extKeyUsage(cert *x509.Certificate) string {
	var names []string
	for i, u := range cert.ExtKeyUsage {
		if i == mostItems {
			break
		}
		names = append(names, cmp.Or(extKeyUsages[u], "another"))
	}
	if n := len(cert.UnknownExtKeyUsage); n > 0 {
		names = append(names, fmt.Sprintf("%d unknown", n))
	}
	return cmp.Or(strings.Join(names, ", "), "none, so any")
}

func caText(cert *x509.Certificate) string {
	switch {
	case !cert.BasicConstraintsValid:
		return "no (it has no basic constraints)"
	case !cert.IsCA:
		return "no"
	case cert.MaxPathLen > 0 || cert.MaxPathLenZero:
		return fmt.Sprintf("yes, with at most %d CAs below it", cert.MaxPathLen)
	}
	return "yes"
}
