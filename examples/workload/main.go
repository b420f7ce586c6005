// Command workload is a workload as its owner writes it. It takes its SVIDs from
// the Workload API with go-spiffe's own sources, gets access tokens for them with
// package client, and calls an API.
//
// With `svidgate dev` running, which prints the values:
//
//	go run ./examples/workload --socket unix:///tmp/…/workload.sock \
//	    --issuer https://127.0.0.1:… --resource https://127.0.0.1:…/ --ca-file …/ca.pem \
//	    --jwt spiffe://dev.test/billing --x509 spiffe://dev.test/orders
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/svidgate/svidgate/client"
)

type options struct {
	socket, issuer, resource, scope, caFile string
	jwt, x509                               string
}

func main() {
	var o options
	flag.StringVar(&o.socket, "socket", os.Getenv("SPIFFE_ENDPOINT_SOCKET"), "address of the Workload API")
	flag.StringVar(&o.issuer, "issuer", "", "issuer identifier of the authorization server")
	flag.StringVar(&o.resource, "resource", "", "identifier and URL of the API")
	flag.StringVar(&o.scope, "scope", "read", "scope to ask for")
	flag.StringVar(&o.caFile, "ca-file", "", "PEM file of the CA of server and API (default: the system's CAs)")
	flag.StringVar(&o.jwt, "jwt", "", "SPIFFE ID to authenticate with a JWT-SVID")
	flag.StringVar(&o.x509, "x509", "", "SPIFFE ID to authenticate with an X.509-SVID")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	err := run(ctx, o, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	if o.jwt == "" && o.x509 == "" {
		return errors.New("name a workload with --jwt or --x509")
	}
	roots, err := readRoots(o.caFile)
	if err != nil {
		return err
	}
	api, err := workloadapi.New(ctx, workloadapi.WithAddr(o.socket))
	if err != nil {
		return err
	}
	defer api.Close()
	if o.jwt != "" {
		id, err := spiffeid.FromString(o.jwt)
		if err != nil {
			return err
		}
		source, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClient(api))
		if err != nil {
			return err
		}
		defer source.Close()
		if err := call(ctx, o, out, roots, "JWT-SVID", client.JWTSVID(client.FromJWTSource(source, id))); err != nil {
			return err
		}
	}
	if o.x509 != "" {
		source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(api), workloadapi.WithDefaultX509SVIDPicker(named(o.x509)))
		if err != nil {
			return err
		}
		defer source.Close()
		return call(ctx, o, out, roots, "X.509-SVID", client.X509SVID(source))
	}
	return nil
}

// named picks the SVID of one SPIFFE ID. A workload that has a single identity
// needs no picker.
func named(id string) func([]*x509svid.SVID) *x509svid.SVID {
	return func(svids []*x509svid.SVID) *x509svid.SVID {
		for _, svid := range svids {
			if svid.ID.String() == id {
				return svid
			}
		}
		return nil
	}
}

// call is all that there is to do: a client for the server, a transport for the
// API, and requests as always. Tokens are fetched, kept and renewed on the way.
func call(ctx context.Context, o options, out io.Writer, roots *x509.CertPool, kind string, credential client.Credential) error {
	tokens, err := client.New(ctx, client.Config{Issuer: o.issuer, Credentials: []client.Credential{credential}, RootCAs: roots})
	if err != nil {
		return err
	}
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	api := &http.Client{
		Transport: tokens.Transport(base, client.Request{Resource: o.resource, Scope: o.scope}),
		Timeout:   10 * time.Second,
	}
	defer api.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.resource, nil)
	if err != nil {
		return err
	}
	response, err := api.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s %s", kind, response.Status, body)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s", response.Status)
	}
	return nil
}

// readRoots is nil, which means the system's CAs, without a file.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return roots, nil
}
