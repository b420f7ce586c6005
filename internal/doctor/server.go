package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// serverTLS makes the handshake by itself, to say what is wrong with it.
func serverTLS(ctx context.Context, p *patient) verdict {
	if p.Issuer == "" {
		return notJudged("there is no --issuer")
	}
	conn, err := (&tls.Dialer{Config: p.tlsConfig()}).DialContext(ctx, "tcp", p.host)
	if err != nil {
		return p.explainTLS(err)
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState() // of tls.Dialer, by its word
	leaf := state.PeerCertificates[0]
	left, life := leaf.NotAfter.Sub(p.Now()), leaf.NotAfter.Sub(leaf.NotBefore)
	if left < life/10 {
		return failed("renew the server's certificate; the server takes a new file by itself",
			"the certificate of %s ends in %s, of a life of %s", oauth.Shown(p.host), spoken.Duration(left), spoken.Duration(life))
	}
	p.facts |= factTLS
	return passed("%s, certificate by %s, expires in %s", tls.VersionName(state.Version), signer(leaf), spoken.Duration(left))
}

// signer is the name of a certificate's issuer, by its common name where it has one.
func signer(cert *x509.Certificate) string {
	if cert.Issuer.CommonName != "" {
		return oauth.Shown(cert.Issuer.CommonName)
	}
	return oauth.Shown(cert.Issuer.String())
}

func (p *patient) explainTLS(err error) verdict {
	host, _, _ := net.SplitHostPort(p.host)
	host = oauth.Shown(host)
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		by := ""
		if e.Cert != nil {
			by = ", which is by " + signer(e.Cert)
		}
		if p.CAFile != "" {
			return failed("put the authority that signed the server's certificate into "+oauth.Shown(p.CAFile)+"; the SPIFFE trust bundle has no part in this (CX-6)",
				"no authority in %s vouches for the certificate of %s%s", oauth.Shown(p.CAFile), host, by)
		}
		return failed("name the authority that signed the server's certificate with --ca-file; the SPIFFE trust bundle has no part in this (CX-6)",
			"no authority of this system vouches for the certificate of %s%s", host, by)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		names := "no name"
		if e.Certificate != nil && len(e.Certificate.DNSNames)+len(e.Certificate.IPAddresses) > 0 {
			all := append([]string(nil), e.Certificate.DNSNames...)
			for _, ip := range e.Certificate.IPAddresses {
				all = append(all, ip.String())
			}
			names = strings.Join(all, ", ")
		}
		return failed("use the issuer under the name that its certificate has, or have one issued for "+host,
			"the certificate is for %s, not for %s", oauth.Shown(names), host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired && e.Cert != nil {
		return failed("renew the server's certificate, and compare the clocks",
			"the certificate of %s is valid from %s to %s, not now", host, stamp(e.Cert.NotBefore), stamp(e.Cert.NotAfter))
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return failed("mind the host's name inside and outside the cluster", "there is no host %s", host)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return failed("start the server, and check the issuer's host and port and what stands in between", "nobody answers at %s: %s", oauth.Shown(p.host), cause(err))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return failed("check the issuer's port", "what answers at %s does not speak TLS", oauth.Shown(p.host))
	}
	return failed("check what answers at that address", "no TLS connection to %s: %s", oauth.Shown(p.host), cause(err))
}
