package daemon

import (
	"errors"
	"strings"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

// endpoints are where a credential can be shown.
type endpoints struct {
	issuer, mtlsURL string // mtlsURL is empty where its port is not known yet, too
	mtls            bool   // there is such a listener
	asking          bool   // the public one asks for certificates
}

func endpointsOf(cfg *config.Config, mtlsURL string) endpoints {
	return endpoints{cfg.Issuer, mtlsURL, cfg.Listen.MTLS != "" || mtlsURL != "", cfg.PublicClientCertificates}
}

var (
	errNoMTLS   = errors.New("there is no mtls listener whose endpoint could be called")
	errListener = errors.New("the listener is public or mtls")
	errNoAsking = errors.New("the public listener asks for no client certificates, so nobody can show one there: it is the mtls listener that does")
)

// called is the token endpoint as it is known on a listener (EC-4), empty for
// certificates where only a running server knows it. Without a listener said it is
// the one to which the credential can be shown.
func (e endpoints) called(listener string, certificates bool) (string, error) {
	switch {
	case certificates && !e.mtls && !e.asking:
		return "", explain.ErrNoCertificates
	case listener == "" && certificates && e.mtls:
		listener = MTLS
	case listener == "":
		listener = Public
	}
	base := e.issuer
	switch {
	case listener == MTLS && e.mtlsURL == "" && !(certificates && e.mtls):
		return "", errNoMTLS
	case listener == MTLS && e.mtlsURL == "":
		return "", nil
	case listener == MTLS:
		base = e.mtlsURL
	case listener != Public:
		return "", errListener
	case certificates && !e.asking:
		return "", errNoAsking
	}
	return strings.TrimSuffix(base, "/") + oauth.PathToken, nil
}
