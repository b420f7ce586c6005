package client_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

// bound makes an API check that the token belongs to the certificate, as one bound
// by x5t#S256 would. The edge writes the thumbprint into its tokens.
func bound(a *api) {
	a.handles(func(_ int, c call, rw http.ResponseWriter) {
		if c.thumbprint == "" || !strings.HasSuffix(c.authorization, "-"+c.thumbprint) {
			refuse(rw)
		}
	})
}

func TestRotationUnderLoad(t *testing.T) { // F23, MT-4
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", http2), func(t *testing.T) {
			w := newWorld(t)
			a := &api{}
			a.Server = httptest.NewUnstartedServer(a)
			a.Config.ErrorLog = log.New(io.Discard, "", 0)
			a.EnableHTTP2 = http2
			a.TLS = &tls.Config{Certificates: []tls.Certificate{must(w.webCA.Certificate("127.0.0.1"))}, ClientAuth: tls.RequestClientCert}
			a.StartTLS()
			defer a.Close()
			bound(a)
			base := w.base()
			base.ForceAttemptHTTP2 = http2
			c := w.client(w.config(client.X509SVID(w.x509)))
			hc := &http.Client{Transport: c.Transport(base, client.Request{Resource: a.URL})}
			var wg sync.WaitGroup
			var served atomic.Int64
			stop := make(chan struct{})
			for range 8 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if got := w.get(hc, a.URL); got != 200 {
							t.Errorf("F23: the application saw %d", got)
							return
						}
						served.Add(1)
					}
				})
			}
			for range 15 {
				before := served.Load()
				w.x509.rotate()
				w.until("requests went on after the rotation", func() bool { return served.Load() > before+40 || t.Failed() })
			}
			close(stop)
			wg.Wait()
			var thumbprints = map[string]bool{}
			for i, c := range a.seen() {
				if http2 != (c.proto == 2) {
					t.Fatalf("call %d came in HTTP/%d", i, c.proto)
				}
				if !strings.HasSuffix(c.authorization, "-"+c.thumbprint) {
					t.Fatalf("MT-4: call %d mixed token and certificate", i)
				}
				thumbprints[c.thumbprint] = true
			}
			if len(thumbprints) < 10 {
				t.Errorf("only %d certificates were used in 16", len(thumbprints))
			}
		})
	}
}

// TestCopyOfATransportSpeaksHTTP2 guards against a trap of http.Transport.Clone: a
// copy of a transport that turned HTTP/2 on by itself offers it in the handshake and
// then cannot speak it.
func TestCopyOfATransportSpeaksHTTP2(t *testing.T) {
	w := newWorld(t)
	a := &api{}
	a.Server = httptest.NewUnstartedServer(a)
	a.EnableHTTP2 = true
	a.TLS = &tls.Config{Certificates: []tls.Certificate{must(w.webCA.Certificate("127.0.0.1"))}, ClientAuth: tls.RequestClientCert}
	a.StartTLS()
	defer a.Close()
	bound(a)
	base := &http.Transport{}
	base.Clone() // as every first request does, gives base a TLS configuration with h2
	base.TLSClientConfig.RootCAs, base.TLSClientConfig.Time = w.webCA.Pool(), w.now
	c := w.client(w.config(client.X509SVID(w.x509)))
	hc := &http.Client{Transport: c.Transport(base, client.Request{Resource: a.URL})}
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatalf("status %d", got)
	}
	if got := a.seen()[0].proto; got != 2 {
		t.Errorf("HTTP/%d", got)
	}
}

func TestRotationWhileTheServerIsDown(t *testing.T) { // LD-5, MT-4c
	w := newWorld(t)
	a := newAPI(w, tls.RequestClientCert)
	bound(a)
	c := w.client(w.config(client.X509SVID(w.x509)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatal(got)
	}
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	w.x509.rotate()
	for range 28 {
		w.advance(10 * time.Second)
		if got := w.get(hc, a.URL); got != 200 {
			t.Fatalf("status %d: the old token with its certificate still lives", got)
		}
	}
	w.edge.answers(func(int, captured) reply { return reply{} })
	w.until("a new token is there", func() bool {
		w.advance(40 * time.Second) // the old token has ended, the back-off is over
		_, err := w.do(hc, http.MethodGet, a.URL, "")
		return err == nil
	})
	calls := a.seen()
	if calls[0].thumbprint == calls[len(calls)-1].thumbprint {
		t.Error("the new certificate was never used")
	}
}

func TestAnotherIdentityUsesNothingOfTheOld(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.RequestClientCert)
	c := w.client(w.config(client.X509SVID(w.x509)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	w.get(hc, a.URL)
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	w.x509.path = "/other"
	w.x509.rotate()
	if resp, err := w.do(hc, http.MethodGet, a.URL, ""); !errors.Is(err, oauth.Unavailable) {
		t.Fatalf("got %v, %v: a token of another workload was used", resp, err)
	}
}

func TestForeignTransportsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.RequestClientCert)
	bound(a)
	c := w.client(w.config(client.X509SVID(w.x509)))
	withConfig := func() *http.Transport {
		config := c.TLSConfig()
		config.RootCAs = w.webCA.Pool()
		return &http.Transport{TLSClientConfig: config}
	}
	for name, base := range map[string]http.RoundTripper{
		"TLSConfig":  withConfig(),
		"wrapped":    roundTripper(withConfig().RoundTrip),
		"own dialer": &http.Transport{DialTLSContext: (&tls.Dialer{Config: withConfig().TLSClientConfig, NetDialer: &net.Dialer{}}).DialContext},
	} {
		t.Run(name, func(t *testing.T) {
			hc := &http.Client{Transport: c.Transport(base, client.Request{Resource: a.URL})}
			before := len(a.seen())
			for range 3 {
				if got := w.get(hc, a.URL); got != 200 {
					t.Fatalf("status %d", got)
				}
				if name == "TLSConfig" { // its idle connections can be closed
					w.x509.rotate()
				}
			}
			hc.CloseIdleConnections()
			if calls := a.seen()[before:]; len(calls) != 3 {
				t.Errorf("%d calls, want 3 without a retry", len(calls))
			}
		})
	}
}

func TestTLSConfigWithoutX509SVID(t *testing.T) {
	w := newWorld(t)
	if config := w.client(w.config(client.JWTSVID(w.jwt))).TLSConfig(); config.GetClientCertificate != nil || config.MinVersion != tls.VersionTLS12 {
		t.Error("a certificate out of nowhere")
	}
	c := w.client(w.config(client.X509SVID(w.x509)))
	first := must(c.TLSConfig().GetClientCertificate(nil))
	w.x509.rotate()
	if second := must(c.TLSConfig().GetClientCertificate(nil)); second.Leaf.Equal(first.Leaf) {
		t.Error("the certificate of before the rotation")
	}
	w.x509.svid.Store(nil)
	if _, err := c.TLSConfig().GetClientCertificate(nil); err == nil {
		t.Error("CL-4: an SVID that was withdrawn is still shown")
	}
}

func TestNilBase(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	hc := &http.Client{Transport: w.client(w.config(client.X509SVID(w.x509))).Transport(nil, client.Request{Resource: a.URL})}
	if _, err := w.do(hc, http.MethodGet, a.URL, ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("got %v: the system's roots know nothing of the test's CA", err)
	}
	if len(a.seen()) != 0 {
		t.Error("the token went to a server that was not verified")
	}
}
