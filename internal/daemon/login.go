package daemon

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/regularfile"
	"github.com/svidgate/svidgate/internal/server"
)

// desk is where people sign in by a configuration; nil where they do not.
func (d *Daemon) desk(cfg *config.Config) (*login.Desk, error) {
	if !cfg.Login.Enabled() {
		return nil, nil
	}
	c := login.Config{State: d.store.People(), Local: cfg.Login.Local, Now: d.now}
	for _, p := range cfg.Login.Providers {
		provider := login.ProviderConfig{
			Name: p.Name, Title: p.Title, Issuer: p.Issuer, ClientID: p.ClientID, SecretFile: p.SecretFile, Scopes: p.Scopes,
			UserClaim: p.UserClaim, NameClaim: p.NameClaim, Callback: strings.TrimSuffix(cfg.Issuer, "/") + p.CallbackPath(),
		}
		for _, a := range p.Allow {
			provider.Allow = append(provider.Allow, login.Allowed{Claim: a.Name, Values: a.Values})
		}
		if p.CAFile != "" {
			pem, err := regularfile.Read(p.CAFile, maxPEM)
			if err != nil {
				return nil, fmt.Errorf("daemon: provider %s: ca_file: %w", p.Name, err)
			}
			provider.RootCAs = x509.NewCertPool()
			if !provider.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("daemon: provider %s: ca_file %s has no certificate", p.Name, p.CAFile)
			}
		}
		c.Providers = append(c.Providers, provider)
	}
	return login.New(c)
}

// descriptions are what people are told of resources.
func descriptions(cfg *config.Config) map[string]server.Description {
	all := map[string]server.Description{}
	for _, r := range cfg.Resources {
		if r.Title != "" || len(r.ScopeTitles) > 0 {
			all[r.Resource] = server.Description{Title: r.Title, Scopes: r.ScopeTitles}
		}
	}
	return all
}
