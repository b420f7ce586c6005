//go:build spire

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/svidgate/svidgate/client"
	svids "github.com/svidgate/svidgate/client/workload"
)

// viaEndpoint is the trust domain in a configuration, its endpoint asked at least
// every max.
func (d *spire) viaEndpoint(max, more string) string {
	return fmt.Sprintf("  %s: {spiffe_bundle_endpoint: {url: %q, ca_file: ca.pem}, refresh: {min: 1s, max: %s}%s}\n", d.name, d.url, max, more)
}

// viaFile is the same with the file that was exported.
func (d *spire) viaFile() string {
	return fmt.Sprintf("  %s: {bundle_file: %q}\n", d.name, d.file)
}

// clients registers workloads twice each, by either method, because a client with
// both gets no bearer token: its client_id is the hint and the method.
func (d *spire) clients(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		for _, method := range []string{"jwt", "x509"} {
			fmt.Fprintf(&b, "  - {client_id: %q, spiffe_id: %q, token_endpoint_auth_method: spiffe_%s, resources: [%q], scope: read}\n",
				spireClientID(d.id(path), method), d.id(path), method, apiURL)
		}
	}
	return b.String()
}

func spireClientID(id, method string) string {
	return strings.TrimPrefix(id, "spiffe://") + "#" + method
}

// spireConfig is a configuration with one API.
func spireConfig(clients, trustDomains string) string {
	return "resources:\n  - {resource: " + apiURL + ", scopes: [read]}\nclients:\n" + clients + "trust_domains:\n" + trustDomains
}

// An identity is what one agent gives one workload, by way of our own client.
type identity struct {
	*svids.Source
	id    string
	calls atomic.Int64 // for a JWT-SVID
}

// openIdentity waits for an agent to give this identity.
func openIdentity(t *testing.T, config svids.Config) *identity {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	source, err := svids.Open(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	svid, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	return &identity{Source: source, id: svid.ID.String()}
}

func (d *spire) identity(t *testing.T, agent, path string) *identity {
	t.Helper()
	return openIdentity(t, svids.Config{Address: d.address(agent), SPIFFEID: d.id(path)})
}

// FetchJWTSVID counts.
func (i *identity) FetchJWTSVID(ctx context.Context, audience string) (string, error) {
	i.calls.Add(1)
	token, err := i.Source.FetchJWTSVID(ctx, audience)
	if err == nil {
		secrets.jwt(token)
	}
	return token, err
}

// jwt is a JWT-SVID as the agent gives it now, perhaps one that it gave before.
func (i *identity) jwt(t *testing.T, audience string) string {
	t.Helper()
	token, err := i.FetchJWTSVID(t.Context(), audience)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// certificate is the X.509-SVID that the agent gave last.
func (i *identity) certificate(t *testing.T) *tls.Certificate {
	t.Helper()
	svid, err := i.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(svid.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("private key of "+i.id, string(key))
	pair := &tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: svid.Certificates[0]}
	for _, c := range svid.Certificates {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair
}

// asksWith is a call with a JWT-SVID of this workload.
func (i *identity) asksWith(assertion string) call {
	return withJWT(spireClientID(i.id, "jwt"), assertion)
}

// shows is a call with an X.509-SVID of this workload.
func (i *identity) shows(cert *tls.Certificate) call {
	return call{cert: cert, form: form("client_id", spireClientID(i.id, "x509"))}
}

// jwtParts are header and claims of a JWT, not verified.
func jwtParts(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		t.Fatal("no JWT")
	}
	for n, into := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(segments[n])
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func jwtKeyID(t *testing.T, token string) string {
	t.Helper()
	header, _ := jwtParts(t, token)
	kid, _ := header["kid"].(string)
	return kid
}

// startReachable runs a server under an issuer that can be reached as it is called,
// for clients that go by its metadata.
func startReachable(t *testing.T, config string) *server {
	t.Helper()
	public, mtls := spirePort(t), spirePort(t)
	return start(t, fmt.Sprintf("issuer: https://127.0.0.1:%d\nmtls_url: https://127.0.0.1:%d\nlisten: {public: \"127.0.0.1:%[1]d\", mtls: \"127.0.0.1:%[2]d\", status: \"127.0.0.1:0\"}\n", public, mtls)+config)
}

// clientOf is our own client library, with the server's metadata.
func clientOf(t *testing.T, s *server, id string, credentials ...client.Credential) *client.Client {
	t.Helper()
	c, err := client.New(t.Context(), client.Config{Issuer: s.issuer, ClientID: id, Credentials: credentials, RootCAs: serverCA().Pool()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// took counts the decisions of calls that were not made by this suite's own hand.
func (s *server) took(decisions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decided += decisions
}
