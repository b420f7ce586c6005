package daemon

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// Only what works is advertised (CA-3, MD-1), and the alias is the listener's own
// address where the issuer is on loopback.
func TestWhatIsAdvertised(t *testing.T) {
	for _, row := range []struct {
		name, listen string
		change       []string
		methods      []string
		alias        bool
	}{
		{"MD-1 with a listener for certificates", anywhere, nil, []string{"spiffe_jwt", "spiffe_x509"}, true},
		{"MD-1 without", `{public: "127.0.0.1:0"}`, nil, []string{"spiffe_jwt"}, false},
		{"MD-1 certificates at the public listener", `{public: "127.0.0.1:0"}`, []string{"audit:", "public_client_certificates: true\naudit:"}, []string{"spiffe_jwt", "spiffe_x509"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlace(t)
			d := p.start(t, p.config(t, row.listen, row.change...))
			resp, err := p.client().Get("https://" + d.Addresses()[Public] + oauth.PathASMetadata)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var m oauth.Metadata
			if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&m); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(m.TokenEndpointAuthMethodsSupported) != fmt.Sprint(row.methods) {
				t.Errorf("MD-1 the methods are %v, want %v", m.TokenEndpointAuthMethodsSupported, row.methods)
			}
			want := ""
			if row.alias {
				want = "https://" + d.Addresses()[MTLS] + oauth.PathToken
			}
			if m.MTLSEndpointAliases["token_endpoint"] != want {
				t.Errorf("AM-5 the alias is %q, want %q", m.MTLSEndpointAliases["token_endpoint"], want)
			}
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAliasBase(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bound := l.Addr().String()
	_, port, _ := net.SplitHostPort(bound)
	for _, row := range []struct {
		name, issuer, configured, bound, want string
	}{
		{"AM-5 configured", "https://as.example.com", "https://mtls.as.example.com", bound, "https://mtls.as.example.com"},
		{"AM-5 no listener", "https://127.0.0.1:1", "", "", ""},
		{"AM-5 loopback", "https://127.0.0.1:1", "", bound, "https://127.0.0.1:" + port},
		{"AM-5 loopback, no port", "https://localhost", "", bound, "https://localhost:" + port},
		{"AM-5 loopback in IPv6", "https://[::1]:1", "", bound, "https://[::1]:" + port},
		{"AM-5 loopback with a path", "https://127.0.0.1:1/t1", "", bound, "https://127.0.0.1:" + port + "/t1"},
		{"AM-5 loopback with a slash", "https://127.0.0.1:1/", "", bound, "https://127.0.0.1:" + port},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := aliasBase(&config.Config{Issuer: row.issuer, MTLSURL: row.configured}, row.bound)
			if err != nil || got != row.want {
				t.Errorf("%q, %v, want %q", got, err, row.want)
			}
		})
	}
	if _, err := aliasBase(&config.Config{Issuer: "https://%zz"}, bound); err == nil {
		t.Error("a base was made of a malformed issuer")
	}
}

// XS-20, XS-23: the public listener asks for no certificate, the other does and
// takes whatever comes; whether it is an SVID is judged later.
func TestWhoIsAskedForACertificate(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere))
	defer d.Stop()
	stranger, err := devca.New("stranger.test", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := stranger.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	pair := svid.TLSCertificate()
	for name, want := range map[string]bool{Public: false, MTLS: true} {
		asked := false
		conn, err := tls.Dial("tcp", d.Addresses()[name], &tls.Config{
			RootCAs: p.ca.Pool(),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				return &pair, nil
			},
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		conn.Close()
		if asked != want {
			t.Errorf("XS-20 %s asks for a certificate: %t, want %t", name, asked, want)
		}
	}
}
