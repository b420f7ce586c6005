package inspect

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

func inspectChain(certs []*x509.Certificate, now time.Time) *Report {
	r := recogniseCertificate(certs[0])
	if len(certs) > 1 {
		r.Because += fmt.Sprintf("; %d more certificates follow", len(certs)-1)
	}
	for i, cert := range certs {
		s := certificateSection(cert, now)
		if len(certs) > 1 {
			s.Title = fmt.Sprintf("Certificate %d of %d", i+1, len(certs))
		}
		r.Sections = append(r.Sections, s)
	}
	switch r.Kind {
	case X509SVID:
		r.Remarks = certificateRemarks(certs, now)
		order(r, certs)
	case CACertificate:
		for i, cert := range certs {
			anchorRemarks(r, i, cert, now)
		}
	}
	return r
}

func recogniseCertificate(cert *x509.Certificate) *Report {
	uris, _ := strictid.URINames(cert)
	spiffe := 0
	for _, uri := range uris {
		if strictid.Cut(uri).Scheme != "" {
			spiffe++
		}
	}
	switch {
	case cert.IsCA && spiffe > 0:
		return &Report{Kind: CACertificate, Name: "CA certificate of a trust domain", Because: "it is a CA and bears a SPIFFE ID"}
	case cert.IsCA:
		return &Report{Kind: CACertificate, Name: "CA certificate", Because: "its basic constraints say that it is a CA"}
	case spiffe > 0:
		return &Report{Kind: X509SVID, Name: "X.509-SVID", Because: "it is no CA and has a SPIFFE ID among its URI names"}
	}
	return &Report{Kind: Certificate, Name: "certificate that is no X.509-SVID", Because: "it has no SPIFFE ID among its URI names"}
}

func certificateSection(cert *x509.Certificate, now time.Time) Section {
	var s Section
	uris, err := strictid.URINames(cert)
	if err != nil {
		s.add("URI names", oauth.Shown(err.Error()))
	}
	for i, uri := range uris {
		switch {
		case i == mostItems:
			s.add("URI name", fmt.Sprintf("and %d more", len(uris)-i))
		case i > mostItems:
		case strictid.Cut(uri).Scheme == "":
			s.add("URI name", oauth.Shown(uri))
		case cert.IsCA:
			s.add("SPIFFE ID", oauth.Shown(uri))
		default:
			identifier(&s, uri)
		}
	}
	s.add("subject", oauth.Shown(cmp.Or(cert.Subject.String(), "(empty)")))
	s.add("issuer", oauth.Shown(cmp.Or(cert.Issuer.String(), "(empty)")))
	s.add("serial", oauth.Shown(fmt.Sprintf("%x", cert.SerialNumber)))
	s.moment("not before", cert.NotBefore, now)
	s.end("not after", cert.NotAfter, now)
	s.add("key", jose.KeyType(cert.PublicKey))
	s.add("signed with", cert.SignatureAlgorithm.String())
	s.add("CA", caText(cert))
	s.add("key usage", keyUsage(cert.KeyUsage))
	s.add("extended key usage", extKeyUsage(cert))
	if len(cert.DNSNames) > 0 {
		s.add("DNS names", oauth.Shown(strings.Join(cert.DNSNames, ", ")))
	}
	s.add("x5t#S256", Thumbprint(cert.Raw))
	return s
}

// order looks whether each certificate names the next one as its issuer. That is
// a comparison of names; the signatures are not looked at.
func order(r *Report, certs []*x509.Certificate) {
	for i := range len(certs) - 1 {
		if string(certs[i].RawIssuer) != string(certs[i+1].RawSubject) {
			r.remark("XS-10", fmt.Sprintf("certificate %d names another issuer than certificate %d: the workload's own comes first, then its intermediates", i+1, i+2))
		}
	}
}
