package devdomain_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/federation"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

// do asks the bundle endpoint without any client certificate.
func do(t *testing.T, d *devdomain.Domain, method, url string) (*http.Response, []byte) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.ServerCA().Pool()}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestBundleEndpoint(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:0", "127.0.0.5:0", "[::1]:0"} {
		d := start(t, func(c *devdomain.Config) { c.BundleAddress = address })
		res, body := do(t, d, http.MethodGet, d.BundleURL())
		if res.StatusCode != http.StatusOK || string(body) != string(d.Authority().Bundle()) {
			t.Fatalf("BE-19 %q: %s, %s", address, res.Status, body)
		}
		if got := res.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("BE-19 %q: Content-Type %q", address, got)
		}
		if !utf8.Valid(body) || !json.Valid(body) {
			t.Errorf("BE-19 %q: not JSON in UTF-8", address)
		}
	}
}

func TestBundleEndpointServesTheNewest(t *testing.T) {
	d := start(t)
	fetch := func() uint64 {
		t.Helper()
		b, err := federation.FetchBundle(t.Context(), example, d.BundleURL(), federation.WithWebPKIRoots(d.ServerCA().Pool()))
		if err != nil {
			t.Fatalf("go-spiffe cannot fetch it: %v", err)
		}
		n, _ := b.SequenceNumber()
		return n
	}
	before := fetch()
	if err := d.Rotate(); err != nil {
		t.Fatal(err)
	}
	if after := fetch(); after <= before || after != d.Authority().Sequence() {
		t.Errorf("BE-19 sequence %d, then %d", before, after)
	}
}

func TestBundleEndpointMethods(t *testing.T) {
	d := start(t)
	for _, row := range []struct {
		name, method, path string
		want               int
	}{
		{"GET", http.MethodGet, "/bundle.json", 200},
		{"HEAD", http.MethodHead, "/bundle.json", 200},
		{"POST", http.MethodPost, "/bundle.json", 405},
		{"DELETE", http.MethodDelete, "/bundle.json", 405},
		{"another path", http.MethodGet, "/", 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			res, body := do(t, d, row.method, strings.TrimSuffix(d.BundleURL(), "/bundle.json")+row.path)
			if res.StatusCode != row.want {
				t.Errorf("got %s", res.Status)
			}
			if row.want == 405 && res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %q", res.Header.Get("Allow"))
			}
			if row.method == http.MethodHead && (len(body) != 0 || res.ContentLength != int64(len(d.Authority().Bundle()))) {
				t.Errorf("%d bytes, length %d", len(body), res.ContentLength)
			}
		})
	}
}

func TestBundleEndpointTLS(t *testing.T) {
	shared, err := devca.NewServerCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, func(c *devdomain.Config) { c.ServerCA = shared })
	if d.ServerCA() != shared {
		t.Fatal("the CA given is not used")
	}
	addr := strings.TrimSuffix(strings.TrimPrefix(d.BundleURL(), "https://"), "/bundle.json")
	stranger, err := devca.NewServerCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		config *tls.Config
		want   bool
	}{
		{"TLS 1.3", &tls.Config{RootCAs: shared.Pool(), MinVersion: tls.VersionTLS13}, true},
		{"TLS 1.2 with GCM", &tls.Config{RootCAs: shared.Pool(), MaxVersion: tls.VersionTLS12}, true},
		{"localhost", &tls.Config{RootCAs: shared.Pool(), ServerName: "localhost"}, true},
		{"BE-19 TLS 1.1", &tls.Config{RootCAs: shared.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"BE-19 TLS 1.2 with CBC", &tls.Config{RootCAs: shared.Pool(), MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		{"BE-5 another CA", &tls.Config{RootCAs: stranger.Pool()}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", addr, row.config)
			if (err == nil) != row.want {
				t.Errorf("got %v", err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
}
