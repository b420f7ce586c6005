package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
)

// A workload calls an API. Its JWT-SVID is kept fresh in a file by something else;
// with package client/workload it would come straight from the Workload API.
func ExampleClient_Transport() {
	site := startExample()
	defer site.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.New(ctx, client.Config{
		Issuer:      site.issuer,
		Credentials: []client.Credential{client.JWTSVID(client.JWTSVIDFile(site.svidFile))},
		RootCAs:     site.roots, // nil, the system's store, for a public server
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	api := &http.Client{
		Timeout: 5 * time.Second,
		Transport: c.Transport(
			&http.Transport{TLSClientConfig: &tls.Config{RootCAs: site.roots}},
			client.Request{Resource: site.resource, Scope: "read"},
		),
	}
	for range 3 {
		resp, err := api.Get(site.resource + "/invoices")
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}

	token, err := c.Token(ctx, client.Request{Resource: site.resource, Scope: "read"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.TokenType, token.Scope, token.AccessToken)
	fmt.Println("token requests:", site.tokens)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// Bearer read redacted
	// token requests: 1
}

// exampleSite is an authorization server and an API on loopback.
type exampleSite struct {
	issuer, resource, svidFile string
	roots                      *x509.CertPool
	tokens                     int
	stop                       func()
}

func startExample() *exampleSite {
	webCA := must(devca.NewServerCA(nil))
	site := &exampleSite{roots: webCA.Pool()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/.well-known/oauth-authorization-server":
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, `{"issuer":%q,"token_endpoint":"%s/token"}`, site.issuer, site.issuer)
		case "/token":
			site.tokens++
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprint(rw, `{"access_token":"example","token_type":"Bearer","expires_in":300,"scope":"read"}`)
		default:
			if req.Header.Get("Authorization") != "Bearer example" {
				rw.WriteHeader(http.StatusUnauthorized)
			}
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{must(webCA.Certificate("127.0.0.1"))}}
	server.StartTLS()
	site.issuer, site.resource = server.URL, server.URL

	authority := must(devca.New("example.org", devca.Options{}))
	dir := must(os.MkdirTemp("", "example"))
	site.svidFile = filepath.Join(dir, "svid.jwt")
	svid := must(authority.JWTSVID("/billing", []string{site.issuer}))
	if err := os.WriteFile(site.svidFile, []byte(svid), 0o600); err != nil {
		panic(err)
	}
	site.stop = func() { server.Close(); os.RemoveAll(dir) }
	return site
}
