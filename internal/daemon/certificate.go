package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svidgate/svidgate/internal/regularfile"
)

// A certificate is the server's own, read again when its files change. A pair that
// is no good keeps the old one in use. Handshakes read a pointer and wait for
// nothing.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	current atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	stamp string // guarded by mu; of the files that were read last, good or not
}

// certificateEvery is how often the files are looked at.
const certificateEvery = time.Second

// maxPEM bounds a certificate chain, and a key.
const maxPEM = 1 << 20

func loadCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, log: log}
	c.stamp = c.stampNow() // before reading, or a change in between would go unseen for ever
	pair, err := c.load()
	if err != nil {
		return nil, err
	}
	c.current.Store(pair)
	return c, nil
}

func (c *certificate) load() (*tls.Certificate, error) {
	chain, err := regularfile.Read(c.certFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("daemon: tls: %w", err)
	}
	key, err := regularfile.Read(c.keyFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("daemon: tls: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("daemon: tls: %s and %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// read is the pair that is in the files now, if it may take the place of the one
// in use: a good certificate is not given up for one that has expired.
func (c *certificate) read() (*tls.Certificate, error) {
	pair, err := c.load()
	if err != nil {
		return nil, err
	}
	if err := c.valid(pair); err != nil && c.valid(c.current.Load()) == nil {
		return nil, fmt.Errorf("daemon: tls: %s: %w", c.certFile, err)
	}
	return pair, nil
}

func (c *certificate) valid(pair *tls.Certificate) error {
	switch now := c.now(); {
	case now.After(pair.Leaf.NotAfter):
		return fmt.Errorf("the certificate has expired on %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", pair.Leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// use puts a pair in use.
func (c *certificate) use(pair *tls.Certificate) {
	if before := c.current.Swap(pair); !before.Leaf.Equal(pair.Leaf) {
		c.log.Info("tls certificate reloaded", "not_after", pair.Leaf.NotAfter)
	}
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// stampNow tells the files' present state from an earlier one.
func (c *certificate) stampNow() string {
	stamp := ""
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamp += fmt.Sprintf("%d %d;", info.ModTime().UnixNano(), info.Size())
		} else {
			stamp += "none;"
		}
	}
	return stamp
}

// watch looks at the files until ctx ends. On a file system that is gone it may
// outlive that.
func (c *certificate) watch(ctx context.Context) {
	ticker := time.NewTicker(certificateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.look()
		}
	}
}

// look takes a changed pair into use, or says once why not. Half of a replacement
// is no good, and the next look sees the whole.
func (c *certificate) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := c.stampNow()
	if stamp == c.stamp {
		return
	}
	c.stamp = stamp
	pair, err := c.read()
	if err != nil {
		c.log.Warn("tls certificate not reloaded, the old one stays", "error", err.Error())
		return
	}
	c.use(pair)
}

// tlsConfig is what a listener offers (GL-1, XS-20, XS-23). With clientCerts it
// asks for a certificate without demanding one, and without a pool: the TLS
// library would judge by all trust domains' anchors at once. It proves that the
// peer holds the key, and package svidgate judges the chain.
func tlsConfig(c *certificate, clientCerts bool, now func() time.Time) *tls.Config {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetCertificate:     c.get,
		GetConfigForClient: inTurn,
		Time:               now,
		NextProtos:         []string{"h2", "http/1.1"},
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
