package daemon

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/registration"
)

// firstUse is who may register on first use by a configuration.
func firstUse(cfg *config.Config) (domains []registration.FirstUse) {
	for _, td := range cfg.TrustDomains {
		r := td.Registration
		if !r.On() {
			continue
		}
		domain := registration.FirstUse{
			TrustDomain: td.Name, Mode: registration.Mode(r.Mode), Deny: r.Deny,
			Quota: registration.Quota{MaxClients: r.MaxClients, NewClients: r.NewClients.Events, Per: r.NewClients.Per, Idle: r.Idle},
		}
		for _, t := range r.Templates {
			domain.Templates = append(domain.Templates, registration.Template{Name: t.Name, Allow: t.Allow, Methods: t.Methods, Digest: t.Digest})
		}
		domains = append(domains, domain)
	}
	return domains
}

// idleTimes are how long clients of each trust domain are kept unused.
func idleTimes(cfg *config.Config) map[spiffeid.TrustDomain]time.Duration {
	times := map[spiffeid.TrustDomain]time.Duration{}
	for _, td := range cfg.TrustDomains {
		if td.Registration.On() {
			times[td.Name] = td.Registration.Idle
		}
	}
	return times
}
