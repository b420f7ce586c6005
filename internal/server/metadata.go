package server

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// makeMetadata writes the RFC 8414 document. It lists what works and nothing
// else (AM-3, AM-4, MD-1); whether WIT-SVIDs work is for the bundles to say.
func (s *Server) makeMetadata(wit bool) ([]byte, error) {
	c := s.config
	base := strings.TrimSuffix(c.Issuer, "/")
	methods := slices.Clone(c.Methods)
	if wit { // MD-4; not attest_jwt_client_auth, which is another method (MD-5)
		methods = append(methods, oauth.MethodWIT)
	}
	codes := s.peopleSignIn() // else nobody comes by a code
	if !codes {
		methods = slices.DeleteFunc(methods, func(m oauth.AuthMethod) bool { return m == oauth.MethodNone })
	}
	m := oauth.Metadata{
		Issuer:                            c.Issuer,
		TokenEndpoint:                     base + oauth.PathToken,
		JWKSURI:                           base + oauth.PathJWKS,
		GrantTypesSupported:               c.Grants.Types(),
		TokenEndpointAuthMethodsSupported: methods,
	}
	if !codes {
		m.GrantTypesSupported = slices.DeleteFunc(slices.Clone(m.GrantTypesSupported), func(g oauth.GrantType) bool {
			return g == oauth.GrantAuthorizationCode || g == oauth.GrantRefreshToken
		})
	}
	endpoints := map[string]string{"token_endpoint": oauth.PathToken}
	if codes {
		m.PushedAuthorizationRequestEndpoint = base + oauth.PathPAR
		endpoints["pushed_authorization_request_endpoint"] = oauth.PathPAR
		m.RequirePushedAuthorizationRequests = c.Requests.RequiresPushed()    // PA-6
		m.CodeChallengeMethodsSupported = []string{oauth.ChallengeMethodS256} // AZ-4
		m.AuthorizationResponseIssParameter = true                            // IS-1
		m.RequestURIParameterSupported = new(bool)                            // JR-3
		m.ResponseTypesSupported = []string{oauth.ResponseTypeCode}
		m.AuthorizationEndpoint = base + oauth.PathAuthorize
	}
	if len(methods) > 0 { // nobody can call them otherwise
		m.IntrospectionEndpoint, m.RevocationEndpoint = base+oauth.PathIntrospect, base+oauth.PathRevoke
		endpoints["introspection_endpoint"], endpoints["revocation_endpoint"] = oauth.PathIntrospect, oauth.PathRevoke
		m.RevocationEndpointAuthMethodsSupported = methods
		m.IntrospectionEndpointAuthMethodsSupported = slices.DeleteFunc(slices.Clone(methods), func(m oauth.AuthMethod) bool { return m == oauth.MethodNone })
	}
	if slices.Contains(c.Methods, oauth.MethodJWT) { // CJ-14
		for _, alg := range jose.SVIDAlgorithms {
			m.TokenEndpointAuthSigningAlgs = append(m.TokenEndpointAuthSigningAlgs, string(alg))
		}
		m.IntrospectionEndpointAuthSigningAlgs, m.RevocationEndpointAuthSigningAlgs = m.TokenEndpointAuthSigningAlgs, m.TokenEndpointAuthSigningAlgs
	}
	if wit {
		for _, alg := range jose.SVIDAlgorithms {
			m.ClientAttestationSigningAlgs = append(m.ClientAttestationSigningAlgs, string(alg))
		}
		m.ClientAttestationPoPSigningAlgs = m.ClientAttestationSigningAlgs
		if c.Authenticator.Challenges != nil { // MD-6
			m.ChallengeEndpoint = base + oauth.PathChallenge
		}
	}
	for _, r := range c.Resources {
		m.ProtectedResources = append(m.ProtectedResources, r.Resource)
		for _, scope := range r.Scopes {
			if !slices.Contains(m.ScopesSupported, scope) {
				m.ScopesSupported = append(m.ScopesSupported, scope)
			}
		}
	}
	if c.MTLSURL != "" { // AM-5
		m.MTLSEndpointAliases = map[string]string{}
		for name, path := range endpoints {
			m.MTLSEndpointAliases[name] = strings.TrimSuffix(c.MTLSURL, "/") + path
		}
	}
	m.TLSClientCertificateBoundAccessTokens = c.MTLSURL != "" || c.PublicCertificates // MT-3
	return json.MarshalIndent(m, "", "  ")
}

// metadataNow is the document of this moment: bundles come and go.
func (s *Server) metadataNow() []byte {
	for _, td := range s.config.WITDomains {
		if b, err := s.config.Bundles.Bundle(td); err == nil && b.Supports(bundle.UseWIT) {
			return s.metadata.wit
		}
	}
	return s.metadata.plain
}

// forMetadata is how long the metadata may be kept (AM-9).
func forMetadata() time.Duration { return 5 * time.Minute }

// providerMetadata is the document that generic verifiers of an OpenID provider's
// tokens fetch to find the keys (AM-8). Its algorithms are those of the keys that
// are published now.
func (s *Server) providerMetadata() []byte {
	m := oauth.ProviderMetadata{
		Issuer:        s.config.Issuer,
		JWKSURI:       strings.TrimSuffix(s.config.Issuer, "/") + oauth.PathJWKS,
		ResponseTypes: []string{"none"},
		SubjectTypes:  []string{"public"},
	}
	for _, alg := range s.config.Keys.Algorithms() {
		m.IDTokenSigningAlgs = append(m.IDTokenSigningAlgs, string(alg))
	}
	document, err := json.MarshalIndent(m, "", "  ")
	if err != nil { // cannot be: it is a struct of strings
		return nil
	}
	return document
}
