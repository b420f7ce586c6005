package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/resource"
)

const (
	api   = "https://api.example.com/"
	scope = "read"
	keyID = "key-1"
)

// An authServer has one signing key, and publishes it on loopback.
type authServer struct {
	issuer string
	ca     *devca.ServerCA
	key    crypto.Signer
	server *http.Server
	calls  atomic.Int64 // of the JWKS endpoint
}

func newAuthServer() (*authServer, error) {
	ca, err := devca.NewServerCA(time.Now)
	if err != nil {
		return nil, err
	}
	pair, err := ca.Certificate("127.0.0.1")
	if err != nil {
		return nil, err
	}
	as := &authServer{ca: ca}
	if as.key, err = devca.GenerateKey(devca.P256); err != nil {
		return nil, err
	}
	jwk, err := jose.MarshalJWK(as.key.Public(), keyID, "sig", jose.ES256)
	if err != nil {
		return nil, err
	}
	document, err := json.Marshal(map[string]any{"keys": []json.RawMessage{jwk}})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	as.issuer = "https://" + l.Addr().String()
	as.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			as.calls.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.Write(document)
		}),
	}
	go as.server.Serve(tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}))
	return as, nil
}

func (as *authServer) close() { as.server.Close() }

// verifier is that of an API which has fetched the keys, and fetches them again
// in the background until ctx ends.
func (as *authServer) verifier(ctx context.Context) (*resource.Verifier, error) {
	keys, err := resource.NewRemoteKeys(resource.RemoteKeysConfig{Issuer: as.issuer, JWKSURL: as.issuer + "/jwks", RootCAs: as.ca.Pool()})
	if err != nil {
		return nil, err
	}
	go keys.Run(ctx)
	for !keys.Status().Usable {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return resource.New(resource.Config{Resource: api, Issuers: []resource.KeySource{keys}})
}

// tokens are access tokens as the server issues them, each another one.
func (as *authServer) tokens(n int) ([]string, error) {
	header, err := json.Marshal(map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": keyID})
	if err != nil {
		return nil, err
	}
	tokens := make([]string, n)
	now := time.Now()
	for i := range tokens {
		client := fmt.Sprintf("spiffe://example.org/client/%d", i%1000)
		claims, err := json.Marshal(map[string]any{
			"iss": as.issuer, "aud": api, "sub": client, "client_id": client, "jti": strconv.Itoa(i), "scope": scope,
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		})
		if err != nil {
			return nil, err
		}
		if tokens[i], err = jose.Sign(jose.ES256, as.key, header, claims); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
