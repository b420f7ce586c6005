package svidgate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// buildPaths is RFC 5280 path validation by the standard library, with this
// trust domain's anchors only, and with what the peer sent as intermediates
// only: what it sends is never an anchor (XS-13).
//
// The library checks a signature against every anchor of the issuer's name, also
// when it has found one that is good, and in a trust domain that rotates they
// mostly have one name. So the anchors that are named by their key are tried alone
// first; whatever they do not settle, all anchors do.
func (s *x509State) buildPaths() {
	anchors := s.snapshot.AnchorPool()
	if anchors == nil { // nil would mean the system's store (XS-12)
		s.Cause = errors.New("the bundle has no anchor pool")
		return
	}
	intermediates := x509.NewCertPool()
	for _, c := range admitted(s.snapshot.Anchors(), s.sent[1:]) {
		intermediates.AddCert(c)
	}
	options := x509.VerifyOptions{
		Intermediates: intermediates,
		CurrentTime:   s.now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // XS-7 and XS-14 judge it
	}
	if options.Roots = named(s.snapshot.Anchors(), s.sent); options.Roots != nil {
		if s.chains, s.Cause = s.leaf.Verify(options); s.Cause == nil && s.sound(s.chains) != nil {
			return
		}
	}
	options.Roots = anchors
	s.chains, s.Cause = s.leaf.Verify(options)
}

// named are the anchors that the certificates sent name as their issuers by a key
// identifier (RFC 5280 section 4.2.1.1), which is a hint and no proof; nil where
// that is none of them or all.
func named(anchors, sent []*x509.Certificate) *x509.CertPool {
	pool, n := x509.NewCertPool(), 0
	for _, a := range anchors {
		if len(a.SubjectKeyId) > 0 && slices.ContainsFunc(sent, func(c *x509.Certificate) bool { return bytes.Equal(c.AuthorityKeyId, a.SubjectKeyId) }) {
			pool.AddCert(a)
			n++
		}
	}
	if n == 0 || n == len(anchors) {
		return nil
	}
	return pool
}

// sound is the first path that XS-14 allows, nil if there is none.
func (s *x509State) sound(paths [][]*x509.Certificate) []*x509.Certificate {
	for _, path := range paths {
		if !slices.ContainsFunc(path[1:], func(c *x509.Certificate) bool { return !maySign(c, s.usage) }) {
			return path
		}
	}
	return nil
}

// admitted are the certificates sent that an anchor signed, or one that was
// admitted itself. The standard library would try every path among all that is
// sent before it reached an anchor; a stranger who sends certificates that sign
// each other could make it check a hundred signatures a request (AK-18).
func admitted(anchors, sent []*x509.Certificate) []*x509.Certificate {
	if len(sent) == 0 {
		return nil
	}
	signers := slices.Clone(anchors)
	var in []*x509.Certificate
	for left := slices.Clone(sent); ; {
		before := len(left)
		left = slices.DeleteFunc(left, func(c *x509.Certificate) bool {
			signed := signedByAny(c, signers)
			if signed {
				in, signers = append(in, c), append(signers, c)
			}
			return signed
		})
		if len(left) == before {
			return in
		}
	}
}

// signedByAny tries the signers that the certificate names by their key first.
func signedByAny(c *x509.Certificate, signers []*x509.Certificate) bool {
	for _, byKey := range []bool{true, false} {
		for _, signer := range signers {
			if bytes.Equal(c.RawIssuer, signer.RawSubject) && byKey == bytes.Equal(c.AuthorityKeyId, signer.SubjectKeyId) && c.CheckSignatureFrom(signer) == nil {
				return true
			}
		}
	}
	return false
}

// maySign is XS-14 for one certificate above a leaf with this usage. One that names a
// workload authenticates nobody and vouches for nobody.
func maySign(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	//svidgate:rule XS-14
	if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return false
	}
	//svidgate:rule XS-14 XS-18
	if !strong(c) {
		return false
	}
	//svidgate:rule XS-14 XS-7
	if !allows(c, usage) {
		return false
	}
	names, err := strictid.URINames(c)
	//svidgate:rule XS-14
	if err != nil {
		return false
	}
	//svidgate:rule XS-14
	return !slices.ContainsFunc(names, func(name string) bool {
		return strictid.Cut(name).Path != "" // not a SPIFFE ID at all: no path, no harm
	})
}

// intermediates are what lies between the leaf and the anchor on the path that was
// judged; none on one that is remembered.
func (s *x509State) intermediates() []*x509.Certificate {
	if len(s.chain) < 2 {
		return nil
	}
	return s.chain[1 : len(s.chain)-1]
}

// foreignID is the SPIFFE ID of another trust domain that a signing certificate bears,
// well-formed or not, "" where it bears none. It decides nothing: the anchor does (XS-15).
func (s *x509State) foreignID(c *x509.Certificate) string {
	names, _ := strictid.URINames(c) // XS-14 refuses what cannot be read
	for _, name := range names {
		if id := strictid.Cut(name); id.Scheme != "" && id.Name != s.id.TrustDomain().Name() {
			return name
		}
	}
	return ""
}

// tellForeign is XS-15 for what the peer sent; the bundle's own certificates are told
// of where the bundle is read. Only a path that was found good comes here, so that no
// stranger writes into the log, and only one that was not remembered.
func (s *x509State) tellForeign(ctx context.Context) {
	for _, c := range s.intermediates() {
		if name := s.foreignID(c); name != "" {
			s.tellOnce(ctx, c, "an intermediate bears a spiffe id of another trust domain",
				"intermediate", oauth.Shown(name), "serial", oauth.Shown(c.SerialNumber.Text(16)), "rule", "XS-15")
		}
	}
}

// tellOnce logs what is tolerated of a certificate, once for each trust domain, as long
// as it is remembered. Explaining tells nobody.
func (s *x509State) tellOnce(ctx context.Context, c *x509.Certificate, what string, args ...any) {
	td, digest := s.id.TrustDomain().Name(), sha256.Sum256(c.Raw)
	if s.afresh {
		return
	}
	if _, told := s.v.told.Get(td, digest); told {
		return
	}
	s.v.told.Put(td, digest, struct{}{})
	s.v.log.WarnContext(ctx, what, append([]any{"trust_domain", td, "spiffe_id", oauth.Shown(s.idText)}, args...)...)
}
