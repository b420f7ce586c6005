package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/config"
)

// Listen says where a server listens and how long its tokens live.
type Listen struct {
	Public, MTLS string // host:port; port 0 takes a free one
	TokenLife    time.Duration
}

// Anywhere is free ports and the usual life.
var Anywhere = Listen{"127.0.0.1:0", "127.0.0.1:0", 5 * time.Minute}

// yaml is a configuration with the first trust domain, one client with a JWT-SVID
// and those with X.509-SVIDs. Everything else is as by default, the audit record
// too.
func (w *World) yaml(l Listen) string {
	var b strings.Builder
	fmt.Fprintf(&b, `issuer: %s
profile: latest
listen: {public: %q, mtls: %q}
tls: {certificate: %q, key: %q}
access_token: {lifetime: %s}
trust_domains: {%s: {bundle_file: %q}}
resources: [{resource: %q, scopes: [read]}]
clients:
`, Issuer, l.Public, l.MTLS, w.Certificate(), w.Key(), l.TokenLife, domainName(0), w.Bundle(0), Resource)
	b.WriteString(clientYAML(jwtClient(0, 1), "spiffe_jwt"))
	for n := range X509Clients {
		b.WriteString(clientYAML(x509Client(n), "spiffe_x509"))
	}
	return b.String()
}

func clientYAML(id, method string) string {
	return fmt.Sprintf("  - {client_id: %q, auth_methods: [%s], resources: [%q], scope: read}\n", id, method, Resource)
}

// WriteYAML writes the configuration of a server with so many clients of the
// first trust domain and returns its path. The server's state lies beside it.
func (w *World) WriteYAML(state string, clients int, l Listen) (string, error) {
	var b strings.Builder
	b.WriteString(w.yaml(l))
	for n := 1; n < clients; n++ {
		b.WriteString(clientYAML(jwtClient(n, 1), "spiffe_jwt"))
	}
	file := filepath.Join(state, "svidgate.yaml")
	return file, errors.Join(os.MkdirAll(state, 0o700), os.WriteFile(file, []byte(b.String()), 0o600))
}

// Config is a configuration with so many clients, dealt out to so many trust
// domains, and a folder for the state of the server. Past the first of each they are put into the value and not through
// YAML, which takes about 10 MiB for 100,000 clients, more than a file may have.
func (w *World) Config(state string, clients, domains int, l Listen) (*config.Config, error) {
	cfg, err := config.Parse(filepath.Join(state, "svidgate.yaml"), []byte(w.yaml(l)))
	if err == nil {
		err = os.MkdirAll(state, 0o700)
	}
	if err != nil {
		return nil, err
	}
	cfg.Warnings = nil
	domain, client, others := cfg.TrustDomains[0], cfg.Clients[0], cfg.Clients[1:]
	cfg.TrustDomains, cfg.Clients = nil, nil
	for n := range domains {
		if domain.Name, err = spiffeid.TrustDomainFromString(domainName(n)); err != nil {
			return nil, err
		}
		domain.BundleFile = w.Bundle(n)
		cfg.TrustDomains = append(cfg.TrustDomains, domain)
	}
	for n := range clients {
		client.ClientID = jwtClient(n, domains)
		if client.SPIFFEID, err = svidgate.ParsePattern(client.ClientID); err != nil {
			return nil, err
		}
		cfg.Clients = append(cfg.Clients, client)
	}
	cfg.Clients = append(cfg.Clients, others...)
	return cfg, nil
}
