package resource

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxChain and maxChainBytes bound what a caller's TLS stack sent (MT-8).
	maxChain      = 5
	maxChainBytes = 32 << 10
)

// bindingRules find out how a token is bound, and hold one that is bound to a
// certificate to that of the connection. For any other token they pass.
var bindingRules = []judge.Rule[*attempt]{
	{
		// To skip a confirmation that we cannot check would turn a stolen token into
		// a bearer token (AK-27). So there is one of the two we know and nothing may
		// stand beside it.
		ID: "AT-5", Source: "RFC 8705 3.1; RFC 9449 6.1; RFC 7800 3.1", What: "cnf, if there, is x5t#S256 alone or jkt alone", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			cnf := &s.said.confirmation
			if !cnf.there {
				s.Facts |= factCnf
				return ""
			}
			if !cnf.valid {
				return oauth.ReasonClaimMalformed
			}
			x5t, jkt := &cnf.value.certificate, &cnf.value.key
			if cnf.value.members != 1 || !x5t.there && !jkt.there {
				return oauth.ReasonCnfMismatch
			}
			s.cnf, s.jkt = x5t.value, jkt.value
			if s.cnf == "" && s.jkt == "" { // what is no text is empty
				return oauth.ReasonClaimMalformed
			}
			s.caller.binding = oauth.BindingCertificate
			if s.jkt != "" {
				s.caller.binding = oauth.BindingKey
			}
			s.Facts |= factCnf
			return ""
		},
		Expected:  func(*attempt) string { return "no cnf, or one with x5t#S256 or jkt and nothing else" },
		Presented: func(s *attempt) string { return "cnf " + shown(s.claim("cnf")) },
	},
	{
		ID: "MT-8", Source: "RFC 8705 7.5", What: "the certificates of the connection are few and small", Needs: factCnf,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if n, bytes := s.chainSize(); s.cnf != "" && (n > maxChain || bytes > maxChainBytes) {
				return oauth.ReasonCertChainBad
			}
			s.Facts |= factPeer
			return ""
		},
		Expected: func(*attempt) string {
			return fmt.Sprintf("at most %d certificates of %d bytes together", maxChain, maxChainBytes)
		},
		Presented: func(s *attempt) string {
			n, bytes := s.chainSize()
			return fmt.Sprintf("%d certificates of %d bytes together", n, bytes)
		},
	},
	{
		ID: "MT-2", Source: "RS-4; RFC 8705 3", What: "the token is bound to the certificate of this connection", Needs: factPeer,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.cnf != "" && (len(s.peers) == 0 || !s.boundToPeer()) {
				return oauth.ReasonCnfMismatch
			}
			return ""
		},
		Expected: func(s *attempt) string {
			if s.cnf == "" {
				return "nothing, it is not bound to a certificate"
			}
			return "a certificate with x5t#S256 " + oauth.Shown(s.cnf)
		},
		Presented: func(s *attempt) string {
			if len(s.peers) == 0 {
				return "no client certificate"
			}
			have := s.thumbprint()
			return "a certificate with x5t#S256 " + string(have[:])
		},
	},
	{
		// A resumed TLS session brings back a certificate that may have ended
		// since. Certificates get no leeway.
		ID: "MT-7", Source: "RFC 8446 4.6.1; RFC 5280 4.1.2.5", What: "that certificate is valid now", Needs: factPeer,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.cnf == "" {
				return ""
			}
			if len(s.peers) == 0 {
				return oauth.ReasonCnfMismatch // MT-2 has refused before
			}
			if peer := s.peers[0]; s.now.Before(peer.NotBefore) || s.now.After(peer.NotAfter) {
				return oauth.ReasonCertChainBad
			}
			return ""
		},
		Expected: func(s *attempt) string { return "notBefore and notAfter around " + stamp(s.now) },
		Presented: func(s *attempt) string {
			if len(s.peers) == 0 {
				return "no client certificate"
			}
			return "from " + stamp(s.peers[0].NotBefore) + " to " + stamp(s.peers[0].NotAfter)
		},
	},
}

func (s *attempt) chainSize() (n, bytes int) {
	for _, cert := range s.peers {
		bytes += len(cert.Raw)
	}
	return len(s.peers), bytes
}

func (s *attempt) boundToPeer() bool {
	have := s.thumbprint()
	return subtle.ConstantTimeCompare([]byte(s.cnf), have[:]) == 1
}

// thumbprint is the x5t#S256 of the peer's certificate (MT-1).
func (s *attempt) thumbprint() (text [43]byte) {
	sum := sha256.Sum256(s.peers[0].Raw)
	base64.RawURLEncoding.Encode(text[:], sum[:])
	return text
}
