package daemon

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the server's own, read again when its files change. A pair that
// does not load keeps the old one in use and says so.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate // guarded by mu
	stamp   string           // guarded by mu; of the files current was read from
	refused string           // guarded by mu; of the files that last did not load
	checked time.Time        // guarded by mu
}

// checkEvery bounds how often the files are looked at.
const checkEvery = time.Second

func loadCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, log: log}
	c.stamp, c.checked = c.stampNow(), now() // before reading, or a change in between would go unseen for ever
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("daemon: tls: %w", err)
	}
	c.current = &pair
	return c, nil
}

// stampNow tells the files' present state from an earlier one.
func (c *certificate) stampNow() string {
	stamp := ""
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamp += fmt.Sprintf("%d %d;", info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.checked) < checkEvery {
		return c.current, nil
	}
	c.checked = now
	if stamp := c.stampNow(); stamp != c.stamp {
		pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
		if err != nil {
			// Half of a replacement, perhaps: the next handshake looks again.
			if stamp != c.refused {
				c.refused = stamp
				c.log.Warn("tls certificate not reloaded, the old one stays", "error", err.Error())
			}
			return c.current, nil
		}
		c.current, c.stamp, c.refused = &pair, stamp, ""
		c.log.Info("tls certificate reloaded", "not_after", pair.Leaf.NotAfter)
	}
	return c.current, nil
}

// tlsConfig is what a listener offers (GL-1, XS-20, XS-23). With clientCerts it
// asks for a certificate without demanding one, and without a pool: the TLS
// library would judge by all trust domains' anchors at once. It proves that the
// peer holds the key, and package svidgate judges the chain.
func tlsConfig(c *certificate, clientCerts bool, now func() time.Time) *tls.Config {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		Time:           now,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are not for choosing
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if clientCerts {
		config.ClientAuth = tls.RequestClientCert
	}
	return config
}
