package devdomain

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

const bundlePath = "/bundle.json"

// BundleHandler serves the newest bundle of the trust domain at whatever path it
// is mounted, to everybody, by GET and HEAD (BE-19).
func (d *Domain) BundleHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		document := d.authority.Bundle()
		h := w.Header()
		h.Set("Content-Type", "application/json") // UTF-8 by definition; the type has no charset
		h.Set("Content-Length", strconv.Itoa(len(document)))
		h.Set("Cache-Control", "no-cache") // a cache in between must not serve withdrawn keys
		h.Set("X-Content-Type-Options", "nosniff")
		w.Write(document) // the server drops it for HEAD
	})
}

// listenBundle opens the port and makes the certificate that goes with it.
func (d *Domain) listenBundle() (net.Listener, tls.Certificate, error) {
	l, err := net.Listen("tcp", d.config.BundleAddress)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("bundle endpoint: %w", err)
	}
	certificate, err := d.serverCA.Certificate("localhost", l.Addr().(*net.TCPAddr).IP.String())
	if err != nil {
		l.Close()
		return nil, tls.Certificate{}, fmt.Errorf("bundle endpoint: %w", err)
	}
	return l, certificate, nil
}

func (d *Domain) bundleServer(certificate tls.Certificate) *http.Server {
	mux := http.NewServeMux()
	mux.Handle(bundlePath, d.BundleHandler())
	return &http.Server{
		Handler: mux,
		// Mozilla "intermediate" (BE-19): what Go offers for TLS 1.2 beyond these is
		// in CBC mode. No client certificate is asked for.
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			MinVersion:   tls.VersionTLS12,
			CipherSuites: []uint16{
				tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
				tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
				tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			},
			Time: d.authority.Now,
		},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(d.config.Log.Handler(), slog.LevelDebug),
	}
}
