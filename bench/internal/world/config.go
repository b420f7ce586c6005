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
	"github.com/svidgate/svidgate/oauth"
)

// A Server is what a configuration says besides which clients there are.
type Server struct {
	Public, MTLS string // host:port; port 0 takes a free one
	TokenLife    time.Duration

	// Method is that of the clients that are dealt out to the trust domains.
	Method oauth.AuthMethod
	// OnDisk keeps the store in a file of the folder of state.
	OnDisk bool
	// FirstUse lets other workloads of the first trust domain register.
	FirstUse bool
	// People lets a person sign in, and adds clients that do so much in their name.
	People bool
	// More is added as it is.
	More string
}

// Anywhere is free ports and the usual life, and clients with JWT-SVIDs.
var Anywhere = Server{Public: "127.0.0.1:0", MTLS: "127.0.0.1:0", TokenLife: 5 * time.Minute, Method: oauth.MethodJWT}

// StoreFile is where the store of a server lies whose configuration says OnDisk.
func StoreFile(state string) string { return filepath.Join(state, "svidgate.db") }

// yaml is a configuration with the first trust domain, one client with a JWT-SVID
// and those with X.509-SVIDs. Everything else is as by default, the audit record
// too.
func (w *World) yaml(s Server) string {
	var b strings.Builder
	registration := ""
	if s.FirstUse {
		registration = fmt.Sprintf(", registration: {mode: first_use, allow: [%q], resources: [%q], scope: read, max_clients: 1000000, new_clients: 0}", newcomers+"/*", Resource)
	}
	fmt.Fprintf(&b, `issuer: %s
profile: latest
listen: {public: %q, mtls: %q}
tls: {certificate: %q, key: %q}
access_token: {lifetime: %s}
trust_domains: {%s: {bundle_file: %q%s}}
resources: [{resource: %q, scopes: [read]}]
%s
`, Issuer, s.Public, s.MTLS, w.Certificate(), w.Key(), s.TokenLife, domainName(0), w.Bundle(0), registration, Resource, s.More)
	if s.OnDisk {
		b.WriteString("store: sqlite:svidgate.db\n")
	}
	if s.People {
		b.WriteString("login: {local: true}\n")
	}
	b.WriteString("clients:\n")
	b.WriteString(clientYAML(jwtClient(0, 1), s.Method))
	for n := range X509Clients {
		b.WriteString(clientYAML(x509Client(n), oauth.MethodX509))
	}
	if s.People {
		for n := range WebClients {
			fmt.Fprintf(&b, "  - {client_id: %q, auth_methods: [spiffe_jwt], grant_types: [client_credentials, authorization_code, refresh_token], redirect_uris: [%q], resources: [%q], scope: read}\n", webClient(n), Redirect, Resource)
		}
		fmt.Fprintf(&b, "  - {client_id: %q, auth_methods: [spiffe_jwt], introspects: [%q]}\n", apiClient(), Resource)
	}
	return b.String()
}

func clientYAML(id string, method oauth.AuthMethod) string {
	return fmt.Sprintf("  - {client_id: %q, auth_methods: [%s], resources: [%q], scope: read}\n", id, method, Resource)
}

// WriteYAML writes the configuration of a server with so many clients of the
// first trust domain and returns its path. The server's state lies beside it.
func (w *World) WriteYAML(state string, clients int, s Server) (string, error) {
	var b strings.Builder
	b.WriteString(w.yaml(s))
	for n := 1; n < clients; n++ {
		b.WriteString(clientYAML(jwtClient(n, 1), s.Method))
	}
	file := filepath.Join(state, "svidgate.yaml")
	return file, errors.Join(os.MkdirAll(state, 0o700), os.WriteFile(file, []byte(b.String()), 0o600))
}

// Config is a configuration with so many clients, dealt out to so many trust
// domains, and a folder for the state of the server. Past the first of each they are put into the value and not through
// YAML, which takes about 10 MiB for 100,000 clients, more than a file may have.
func (w *World) Config(state string, clients, domains int, s Server) (*config.Config, error) {
	cfg, err := config.Parse(filepath.Join(state, "svidgate.yaml"), []byte(w.yaml(s)))
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
