package svidgate

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// Bounds on what a TLS peer may send (MT-8).
const (
	maxChain      = 5
	maxChainBytes = 32 << 10
)

// x509State is one certificate chain while it is judged.
type x509State struct {
	judgement
	usage   x509.ExtKeyUsage // what the leaf is shown for: it authenticates a client, or a server
	sent    []*x509.Certificate
	leaf    *x509.Certificate
	names   []string // the raw URIs of its subject alternative name
	nameErr error
	chains  [][]*x509.Certificate
	chain   []*x509.Certificate // the one that was accepted; nil when it was remembered

	thumbprint [sha256.Size]byte // of the leaf, from XS-10 on
	sentDigest [sha256.Size]byte // of all that was sent, from XS-10 on
}

func newX509State(v *Verifier, sent []*x509.Certificate) *x509State {
	return &x509State{judgement: newJudgement(v), usage: x509.ExtKeyUsageClientAuth, sent: sent}
}

func (s *x509State) identity() Identity {
	sequence, sequenced := s.snapshot.Sequence()
	return Identity{
		id: s.id, method: oauth.MethodX509, expiresAt: s.leaf.NotAfter,
		digest: s.thumbprint, thumbprint: s.thumbprint,
		keyID: serialOf(s.leaf), sequence: sequence, sequenced: sequenced,
		remembered: s.remembered,
	}
}

func serialOf(c *x509.Certificate) string { return "serial " + c.SerialNumber.Text(16) }

// x509Rules are X.509-SVID validation: the leaf, its trust domain, the path.
var x509Rules = slices.Concat(
	x509ShapeRules,
	idRules[*x509State](strictid.Rule{ID: "XS-2", Source: "X509-SVID 3.1, 5.2", Broken: strictid.PathRule.Broken}, certIDReason),
	x509LeafRules,
	bundleRules[*x509State](bundle.UseX509),
	x509PathRules,
)

// certIDReason tells a spelling that would be fine in lower case from the rest.
func certIDReason(id string) oauth.Reason {
	if id == "SI-10" {
		return oauth.ReasonCertIDNotCanonical
	}
	return oauth.ReasonCertIDMalformed
}

var x509ShapeRules = []judge.Rule[*x509State]{
	{
		ID: "CX-1", Source: "draft section 3.2", What: "there is a client certificate",
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if len(s.sent) == 0 || slices.Contains(s.sent, nil) {
				return oauth.ReasonCertMissing
			}
			s.leaf = s.sent[0]
			s.Facts |= factParsed
			return ""
		},
		Expected:  func(*x509State) string { return "an X.509-SVID on the connection" },
		Presented: func(s *x509State) string { return fmt.Sprintf("%d certificates", len(s.sent)) },
	},
	{
		ID: "MT-8", Source: "RFC 8705 7.5", What: "the chain is not too large", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if len(s.sent) > maxChain || s.bytes() > maxChainBytes || s.longestRSA() > jose.MaxRSABits {
				return oauth.ReasonCertChainBad
			}
			return ""
		},
		Expected: func(*x509State) string {
			return fmt.Sprintf("at most %d certificates, %d bytes, RSA keys of %d bits", maxChain, maxChainBytes, jose.MaxRSABits)
		},
		Presented: func(s *x509State) string {
			return fmt.Sprintf("%d certificates, %d bytes, RSA keys of up to %d bits", len(s.sent), s.bytes(), s.longestRSA())
		},
	},
	{
		ID: "XS-1", Source: "X509-SVID 2, 5.2; draft section 3.2 step 2", What: "there is exactly one URI name", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			s.names, s.nameErr = strictid.URINames(s.leaf)
			if s.Cause = s.nameErr; s.Cause != nil || len(s.names) == 0 {
				return oauth.ReasonCertURISANCount
			}
			s.idText = s.names[0] // so that explain can go on
			s.Facts |= factIDText
			if len(s.names) > 1 {
				return oauth.ReasonCertURISANCount
			}
			return ""
		},
		Expected: func(*x509State) string { return "one URI" },
		Presented: func(s *x509State) string {
			if len(s.names) == 0 {
				return "none"
			}
			return oauth.Shown(fmt.Sprintf("%d: %s", len(s.names), strings.Join(s.names, ", ")))
		},
	},
}

func (s *x509State) bytes() int {
	n := 0
	for _, c := range s.sent {
		n += len(c.Raw)
	}
	return n
}

// longestRSA is the size of the longest RSA key sent. One that fills 32 KiB would
// keep path building busy for seconds, before any signature was found good.
func (s *x509State) longestRSA() int {
	bits := 0
	for _, c := range s.sent {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok {
			bits = max(bits, k.N.BitLen())
		}
	}
	return bits
}

var x509LeafRules = []judge.Rule[*x509State]{
	{
		ID: "XS-3", Source: "X509-SVID 4.1, 5.2; draft section 3.2 step 3", What: "it is not a CA", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if s.leaf.IsCA {
				return oauth.ReasonCertNotLeaf
			}
			return ""
		},
		Expected:  func(*x509State) string { return "cA false or absent" },
		Presented: func(s *x509State) string { return fmt.Sprintf("cA %t", s.leaf.IsCA) },
	},
	{
		ID: "XS-4", Source: "X509-SVID 4.3; draft section 3.2 step 4", What: "its key usage has digitalSignature", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if s.leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
				return oauth.ReasonCertKeyUsage
			}
			return ""
		},
		Expected:  func(*x509State) string { return "digitalSignature" },
		Presented: func(s *x509State) string { return keyUsage(s.leaf) },
	},
	{
		ID: "XS-5", Source: "X509-SVID 4.3, 5.2", What: "its key usage signs no certificates and no lists", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if s.leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
				return oauth.ReasonCertKeyUsageSigns
			}
			return ""
		},
		Expected:  func(*x509State) string { return "neither keyCertSign nor cRLSign" },
		Presented: func(s *x509State) string { return keyUsage(s.leaf) },
	},
	{
		ID: "XS-7", Source: "X509-SVID 4.4", What: "its extended key usage, if there, allows client authentication", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if !allows(s.leaf, s.usage) {
				return oauth.ReasonCertExtKeyUsage
			}
			return ""
		},
		Expected:  func(s *x509State) string { return "none, or " + usageName(s.usage) + " among them" },
		Presented: func(s *x509State) string { return extKeyUsage(s.leaf) },
	},
	{
		ID: "XS-18", Source: "RFC 8725; client-authentication XS-18", What: "its key is strong enough", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if !strong(s.leaf) {
				return oauth.ReasonKeyTooWeak
			}
			return ""
		},
		Expected:  func(*x509State) string { return "RSA of 2048 bits or more, EC P-256, P-384, P-521, or Ed25519" },
		Presented: func(s *x509State) string { return jose.KeyType(s.leaf.PublicKey) },
	},
	{
		ID: "XS-22", Source: "RFC 5280 6.1.3", What: "it is valid now", Needs: factParsed,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			switch {
			case s.now.Before(s.leaf.NotBefore):
				return oauth.ReasonNotYetValid
			case s.now.After(s.leaf.NotAfter):
				return oauth.ReasonExpired
			}
			return ""
		},
		Expected: func(s *x509State) string { return "valid at " + stamp(s.now) },
		Presented: func(s *x509State) string {
			return "from " + stamp(s.leaf.NotBefore) + " (" + offset(s.now, s.leaf.NotBefore) + ") to " + stamp(s.leaf.NotAfter) + " (" + offset(s.now, s.leaf.NotAfter) + ")"
		},
	},
}

var x509PathRules = []judge.Rule[*x509State]{
	{
		ID: "XS-10", Source: "RFC 5280 6; X509-SVID 5.1; XS-11, XS-12, XS-13, XS-16", What: "a path leads to an anchor of its own trust domain", Needs: factParsed | factBundle,
		Judge: func(ctx context.Context, s *x509State) oauth.Reason {
			if s.remembered = s.recallPath(); s.remembered {
				s.Facts |= factChain
				return ""
			}
			s.buildPaths()
			if unknown := (x509.UnknownAuthorityError{}); errors.As(s.Cause, &unknown) && s.fetchAgain(ctx) {
				s.buildPaths()
			}
			if s.Cause != nil {
				s.Cause = oauth.ShownError(s.Cause) // it names what the peer sent, at any length
				return oauth.ReasonCertChainBad
			}
			s.Facts |= factChain
			return ""
		},
		Expected: func(s *x509State) string {
			if s.snapshot == nil { // explain asks even when no bundle was found
				return "a path to an anchor of its own trust domain"
			}
			return fmt.Sprintf("a path to one of %d anchors of %s", len(s.snapshot.Anchors()), s.id.TrustDomain().Name())
		},
		Presented: func(s *x509State) string {
			return oauth.Shown(fmt.Sprintf("%d certificates, the leaf issued by %s", len(s.sent), s.leaf.Issuer))
		},
	},
	{
		ID: "XS-14", Source: "X509-SVID 3.2, 4.1, 4.3", What: "every signing certificate of the path may sign for workloads", Needs: factChain,
		Judge: func(_ context.Context, s *x509State) oauth.Reason {
			if s.remembered { // it was judged before the path was remembered
				return ""
			}
			if s.chain = s.sound(s.chains); s.chain != nil {
				s.rememberPath()
				return ""
			}
			if len(s.chains) > 0 {
				s.chain = s.chains[0]
			}
			return oauth.ReasonCertChainBad
		},
		Expected: func(s *x509State) string {
			return "cA true, keyCertSign, a strong key, no workload's SPIFFE ID, no extended key usage that rules " + usageName(s.usage) + " out"
		},
		Presented: func(s *x509State) string {
			if len(s.chain) == 0 {
				return "no path"
			}
			var parts []string
			for _, c := range s.chain[1:] {
				parts = append(parts, fmt.Sprintf("cA %t, %s, %s", c.IsCA, keyUsage(c), jose.KeyType(c.PublicKey)))
			}
			return strings.Join(parts, "; ")
		},
	},
	{
		ID: "XS-15", Source: "X509-SVID 3.2", What: "its intermediates bear no SPIFFE ID of another trust domain (told, not refused)", Needs: factChain,
		Judge: func(ctx context.Context, s *x509State) oauth.Reason {
			s.tellForeign(ctx)
			return ""
		},
		Expected: func(*x509State) string { return "none, or some: it is told, not refused" },
		Presented: func(s *x509State) string {
			var names []string
			for _, c := range s.intermediates() {
				if name := s.foreignID(c); name != "" {
					names = append(names, name)
				}
			}
			return shownNone(strings.Join(names, ", "))
		},
	},
	{
		ID: "XS-6", Source: "X509-SVID 4.3", What: "its key usage is marked critical (told, or refused where the settings say so)", Needs: factParsed | factChain,
		Judge: func(ctx context.Context, s *x509State) oauth.Reason {
			switch {
			case keyUsageCritical(s.leaf):
			case s.settings.StrictKeyUsageCritical:
				return oauth.ReasonCertKeyUsage
			default:
				s.tellOnce(ctx, s.leaf, "x509-svid has a key usage that is not critical", "rule", "XS-6")
			}
			return ""
		},
		Expected: func(s *x509State) string {
			if s.settings.StrictKeyUsageCritical {
				return "critical"
			}
			return "critical, or not: it is told, not refused"
		},
		Presented: func(s *x509State) string { return fmt.Sprintf("critical %t", keyUsageCritical(s.leaf)) },
	},
}

// strong is XS-18 for one certificate's key.
func strong(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= jose.MinRSABits
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// allows is XS-7: no extended key usage at all, or this one.
func allows(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, usage) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

func keyUsageCritical(c *x509.Certificate) bool {
	for _, ext := range c.Extensions {
		if ext.Id.Equal(oidKeyUsage) {
			return ext.Critical
		}
	}
	return false
}

var keyUsageNames = []string{
	"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
	"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
}

func keyUsage(c *x509.Certificate) string {
	var names []string
	for i, name := range keyUsageNames {
		if c.KeyUsage&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no key usage"
	}
	return strings.Join(names, ", ")
}

func extKeyUsage(c *x509.Certificate) string {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return "none"
	}
	var names []string
	for _, u := range c.ExtKeyUsage {
		names = append(names, usageName(u))
	}
	if n := len(c.UnknownExtKeyUsage); n > 0 {
		names = append(names, fmt.Sprintf("%d unknown", n))
	}
	return strings.Join(names, ", ")
}

func usageName(u x509.ExtKeyUsage) string {
	switch u {
	case x509.ExtKeyUsageAny:
		return "any"
	case x509.ExtKeyUsageServerAuth:
		return "serverAuth"
	case x509.ExtKeyUsageClientAuth:
		return "clientAuth"
	}
	return "another"
}
