package devenv

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// Answer is what the protected API says of its caller.
type Answer struct {
	Hello    string `json:"hello"`
	ClientID string `json:"client_id"`
	Bound    bool   `json:"bound_to_certificate"`
	Keyed    bool   `json:"bound_to_key,omitempty"`
}

// startAPI runs an API that lets in whoever has a token for it with the scope.
// It verifies tokens itself, with the server's published keys.
func (e *Environment) startAPI(l net.Listener, ca *devca.ServerCA, log *slog.Logger) error {
	keys, err := resource.NewRemoteKeys(resource.RemoteKeysConfig{Issuer: e.Issuer, RootCAs: e.Roots, Log: log})
	if err != nil {
		return err
	}
	// No proof was used before: the issuer's keys, and so all tokens, are as new as the
	// API. So it takes proofs at once, as one does that began a while ago.
	begun := false
	now := func() time.Time {
		if !begun { // by New, before anything is served
			begun = true
			return time.Now().Add(-time.Minute)
		}
		return time.Now()
	}
	verifier, err := resource.New(resource.Config{Resource: e.Resource, Issuers: []resource.KeySource{keys}, Now: now, Log: log})
	if err != nil {
		return err
	}
	pair, err := ca.Certificate("127.0.0.1", "::1", "localhost")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		caller, _ := resource.CallerFrom(r.Context())
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(Answer{caller.Subject(), caller.ClientID(), caller.Binding() == oauth.BindingCertificate, caller.Binding() == oauth.BindingKey})
	})
	server := &http.Server{
		Handler:           verifier.Require(Scope)(mux),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { keys.Run(ctx) })
	running.Go(func() {
		if err := server.Serve(tls.NewListener(l, config)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("protected API stopped", "error", err.Error())
		}
	})
	e.onClose(func() error {
		cancel()
		err := server.Close()
		running.Wait()
		return err
	})
	return nil
}
