// Package ejbca has the names that SPIRE's upstream authority "ejbca" is
// compiled against, and nothing behind them: every call fails. A SPIRE that is
// built with it works, but for that one plug-in.
package ejbca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

var errStandIn = errors.New("this SPIRE was built for tests, without a client for EJBCA")

// An Authenticator is never made.
type Authenticator interface{ standIn() }

// An MTLSAuthenticatorBuilder builds nothing.
type MTLSAuthenticatorBuilder struct{}

func NewMTLSAuthenticatorBuilder() *MTLSAuthenticatorBuilder { return &MTLSAuthenticatorBuilder{} }

func (b *MTLSAuthenticatorBuilder) WithClientCertificate(*tls.Certificate) *MTLSAuthenticatorBuilder {
	return b
}

func (b *MTLSAuthenticatorBuilder) WithCaCertificates([]*x509.Certificate) *MTLSAuthenticatorBuilder {
	return b
}

// Build fails.
func (b *MTLSAuthenticatorBuilder) Build() (Authenticator, error) { return nil, errStandIn }

// A Configuration is for a client that cannot be made.
type Configuration struct{ Host string }

func NewConfiguration() *Configuration { return &Configuration{} }

func (c *Configuration) SetAuthenticator(Authenticator) {}

// An APIClient is never made.
type APIClient struct{ V1CertificateApi *V1CertificateApi }

// NewAPIClient fails.
func NewAPIClient(*Configuration) (*APIClient, error) { return nil, errStandIn }

// A V1CertificateApi enrols nothing.
type V1CertificateApi struct{}

func (*V1CertificateApi) EnrollPkcs10Certificate(context.Context) ApiEnrollPkcs10CertificateRequest {
	return ApiEnrollPkcs10CertificateRequest{}
}

// An ApiEnrollPkcs10CertificateRequest fails when it is executed.
type ApiEnrollPkcs10CertificateRequest struct{}

func (r ApiEnrollPkcs10CertificateRequest) EnrollCertificateRestRequest(EnrollCertificateRestRequest) ApiEnrollPkcs10CertificateRequest {
	return r
}

// Execute fails.
func (ApiEnrollPkcs10CertificateRequest) Execute() (*CertificateRestResponse, *http.Response, error) {
	return nil, nil, errStandIn
}

// An EnrollCertificateRestRequest forgets what it is told.
type EnrollCertificateRestRequest struct{}

func NewEnrollCertificateRestRequest() *EnrollCertificateRestRequest {
	return &EnrollCertificateRestRequest{}
}

func (*EnrollCertificateRestRequest) SetUsername(string)                 {}
func (*EnrollCertificateRestRequest) SetPassword(string)                 {}
func (*EnrollCertificateRestRequest) SetCertificateRequest(string)       {}
func (*EnrollCertificateRestRequest) SetCertificateAuthorityName(string) {}
func (*EnrollCertificateRestRequest) SetCertificateProfileName(string)   {}
func (*EnrollCertificateRestRequest) SetEndEntityProfileName(string)     {}
func (*EnrollCertificateRestRequest) SetIncludeChain(bool)               {}
func (*EnrollCertificateRestRequest) SetAccountBindingId(string)         {}

// A CertificateRestResponse is never received.
type CertificateRestResponse struct{ CertificateChain []string }

func (*CertificateRestResponse) GetResponseFormat() string { return "" }
func (*CertificateRestResponse) GetCertificate() string    { return "" }

// A GenericOpenAPIError is never returned.
type GenericOpenAPIError struct{}

func (*GenericOpenAPIError) Error() string { return errStandIn.Error() }
func (*GenericOpenAPIError) Body() []byte  { return nil }
