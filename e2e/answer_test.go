package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// What is answered besides tokens: 404, 405, 413, 431, and to whom.
func TestOtherPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		name, method, target string
		status               int
		allow                string
	}{
		{"GL-2 GET at the token endpoint", "GET", "/token", 405, "POST"},
		{"GL-2 HEAD at the token endpoint", "HEAD", "/token", 405, "POST"},
		{"GL-2 PUT at the token endpoint", "PUT", "/token", 405, "POST"},
		{"GL-2 OPTIONS at the token endpoint", "OPTIONS", "/token", 405, "POST"},
		{"GL-2 a method of nobody", "FROB", "/token", 405, "POST"},
		{"POST at the metadata", "POST", oauth.PathASMetadata, 405, "GET, HEAD"},
		{"POST at the keys", "POST", oauth.PathJWKS, 405, "GET, HEAD"},
		{"HEAD at the keys", "HEAD", oauth.PathJWKS, 200, ""},
		{"a path of nobody", "GET", "/nothing", 404, ""},
		{"the root", "GET", "/", 404, ""},
		{"OPTIONS of the whole server", "OPTIONS", "*", 404, ""},
		{"a slash behind the path", "POST", "/token/", 404, ""},
		{"two slashes before it", "POST", "//token", 404, ""},
		{"a dot segment in it", "POST", "/x/../token?client_id=a", 404, ""},
		{"its letters percent-encoded", "POST", "/%74oken", 404, ""},
		{"another case", "POST", "/Token", 404, ""},
		{"the status listener's paths are not here", "GET", "/metrics", 404, ""},
		{"nor is readiness", "GET", "/readyz", 404, ""},
		{"nor is a debugger", "GET", "/debug/pprof/", 404, ""},
		{"AM-4 no authorization endpoint", "GET", "/authorize", 404, ""},
		{"AM-4 no device authorization", "POST", "/device_authorization", 404, ""},
		{"AM-4 no registration", "POST", "/register", 404, ""},
		{"AM-4 no pushed requests where nobody has codes", "POST", "/par", 404, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			good := w.billing(t)
			w.granted(t, good)
			a := w.do(t, call{method: row.method, target: row.target, form: good.form})
			if a.status != row.status || a.header.Get("Allow") != row.allow {
				t.Errorf("status %d, Allow %q, want %d, %q", a.status, a.header.Get("Allow"), row.status, row.allow)
			}
			if row.status != http.StatusOK && (len(a.body) != 0 || a.header.Get("Location") != "" || a.header.Get("Cache-Control") != "no-store") {
				t.Errorf("header %v, body %q", a.header, a.body)
			}
		})
	}
}

// GL-8: the HTTP library refuses a header block over the limit, and leaves
// neither a Request-Id nor an audit line.
func TestHeaderBlock(t *testing.T) {
	w := newWorld(t)
	good := w.billing(t)
	good.say("Foo: " + strings.Repeat("x", 30<<10))
	w.granted(t, good)
	bad := w.billing(t)
	bad.say("Foo: " + strings.Repeat("x", 64<<10))
	bad.silent = true
	if a := w.do(t, bad); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", a.status)
	}
}

// GL-8: a body that is too large is refused before it is sent, and an honest
// Expect gets its answer.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t)
	conn := w.dial(t, "public", tlsConfig("public", nil))
	big := w.billing(t)
	big.say("Expect: 100-continue")
	big.body = padded(&big, 1<<20)
	text := big.text("as.example.com")
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	if _, err := io.WriteString(conn, head+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a := conn.answer(t, big); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", a.status)
	}
}

// MD-7, XS-24, PX-7, AK-19, AK-20: what a stranger says about hosts, addresses
// and certificates changes nothing.
func TestSpoofing(t *testing.T) {
	w := newWorld(t)
	metadata := w.do(t, call{method: "GET", target: oauth.PathASMetadata}).body
	for _, row := range []struct {
		name string
		host string
		say  []string
	}{
		{"MD-7 Host of somebody else", "evil.example.com", nil},
		{"MD-7 Host of the other listener", "mtls.as.example.com", nil},
		{"PX-7 X-Forwarded-Host", "", []string{"X-Forwarded-Host: evil.example.com", "X-Forwarded-Proto: http", "X-Forwarded-For: 203.0.113.9", "Forwarded: host=evil.example.com;for=203.0.113.9"}},
		{"PX-7 X-Original-URL", "", []string{"X-Original-URL: /metrics", "X-Rewrite-URL: /metrics", "X-HTTP-Method-Override: DELETE"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := w.do(t, call{method: "GET", target: oauth.PathASMetadata, host: row.host, header: row.say}).body; !bytes.Equal(got, metadata) {
				t.Errorf("the metadata changed:\n%s", got)
			}
			c := w.billing(t)
			c.host, c.header = row.host, row.say
			if a := w.granted(t, c); a.audit.text("source") != "127.0.0.1" {
				t.Errorf("source %q", a.audit.text("source"))
			}
			// An audience made from the Host is nobody's.
			c = withJWT(w.td.id("/billing"), w.td.jwt(t, "/billing", "https://evil.example.com/token"))
			c.host, c.header = row.host, row.say
			w.refused(t, c, refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
		})
	}
	pem := regexp.MustCompile(`\s`).ReplaceAllString(string(must(w.td.X509SVID("/orders")).ChainPEM()), "%0A")
	for _, header := range []string{
		"Client-Cert: :" + pem + ":", "Client_Cert: :" + pem + ":", "X-Forwarded-Client-Cert: Cert=\"" + pem + "\"",
		"X-SSL-Client-Cert: " + pem, "X-Client-Cert: " + pem, "Ssl-Client-Verify: SUCCESS",
	} {
		name, _, _ := strings.Cut(header, ":")
		t.Run("XS-24 "+name, func(t *testing.T) {
			w.granted(t, w.orders(t))
			c := w.orders(t)
			c.cert = nil
			c.say(header)
			w.refused(t, c, refusal{"invalid_client", oauth.ReasonCertMissing, "CX-1"})
			// Beside an assertion it binds nothing, and disturbs nothing.
			c = w.billing(t)
			c.say(header)
			if a := w.granted(t, c); a.claims["cnf"] != nil {
				t.Error("the token is bound to a header")
			}
		})
	}
}

// GL-7: nothing that is sent comes back, and descriptions keep to their
// characters.
func TestNothingIsEchoed(t *testing.T) {
	w := newWorld(t)
	const planted = `zq"zq\zq<b>` + "\n\u202e"
	for _, name := range []string{"scope", "client_id", "resource", "grant_type", "client_assertion_type", "client_assertion", "foo"} {
		t.Run(name, func(t *testing.T) {
			c := w.billing(t)
			c.set(name, planted)
			c.target = "/token?trace=zq"
			a := w.do(t, c)
			if name == "foo" {
				if a.status != http.StatusOK {
					t.Fatalf("status %d", a.status)
				}
				return
			}
			var members map[string]string
			if err := json.Unmarshal(a.body, &members); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(a.body, []byte("zq")) || len(members) != 2 {
				t.Errorf("the answer is %s", a.body)
			}
			for _, text := range []string{members["error"], members["error_description"]} {
				if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
					t.Errorf("GL-7 %q", text)
				}
			}
			for _, values := range a.header {
				if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "zq") }) {
					t.Errorf("the header is %v", a.header)
				}
			}
			// AK-31: nor does it make a second line, or a false member.
			if l := a.audit; l.text("outcome") != "refused" || strings.Contains(l.text("reason"), "zq") {
				t.Errorf("audit line %v", l)
			}
		})
	}
}

// The same over HTTP/2, where names are in lower case and the connection is
// shared.
func TestHTTP2(t *testing.T) {
	w := newWorld(t)
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   tlsConfig("public", nil),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.addresses["public"])
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	post := func(body string, header http.Header) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tokenURL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.Proto != "HTTP/2.0" || resp.TLS.NegotiatedProtocol != "h2" {
			t.Errorf("protocol %s", resp.Proto)
		}
		got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		a := answer{status: resp.StatusCode, header: resp.Header, body: got, id: resp.Header.Get("Request-Id")}
		w.check(t, call{}, &a)
		return a
	}
	formHeader := func() http.Header { return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}} }
	if a := post(w.billing(t).form.Encode(), formHeader()); a.status != http.StatusOK {
		t.Fatalf("status %d %s", a.status, a.body)
	} else {
		w.examine(t, a)
	}
	basic := formHeader()
	basic.Set("Authorization", "Basic Y2xpZW50OnNlY3JldC1vZi1ub2JvZHk")
	big := w.billing(t)
	for _, row := range []struct {
		name, body string
		header     http.Header
		status     int
	}{
		{"CA-5", w.billing(t).form.Encode(), basic, 400},
		{"GL-2", `{}`, http.Header{"Content-Type": {"application/json"}}, 400},
		{"TK-2", "grant_type=client_credentials", formHeader(), 401},
		{"GL-8", padded(&big, 1<<20), formHeader(), 413},
	} {
		if a := post(row.body, row.header); a.status != row.status {
			t.Errorf("%s: status %d, want %d", row.name, a.status, row.status)
		}
	}
}

// GL-1, CA-15, XS-23: what TLS there must be.
func TestTLS(t *testing.T) {
	w := newWorld(t)
	good := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
	for _, listener := range []string{"public", "mtls"} {
		for _, row := range []struct {
			name     string
			accepted bool
			change   func(*tls.Config)
		}{
			{"TLS 1.3", true, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
			{"TLS 1.2 with AES-GCM", true, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12; c.CipherSuites = good[:1] }},
			{"TLS 1.2 with ChaCha20", true, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12; c.CipherSuites = good[1:] }},
			{"GL-1 TLS 1.2 with CBC", false, func(c *tls.Config) {
				c.MaxVersion = tls.VersionTLS12
				c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}
			}},
			{"GL-1 TLS 1.1", false, func(c *tls.Config) { c.MinVersion = tls.VersionTLS10; c.MaxVersion = tls.VersionTLS11 }},
			{"GL-1 TLS 1.0", false, func(c *tls.Config) { c.MinVersion = tls.VersionTLS10; c.MaxVersion = tls.VersionTLS10 }},
		} {
			t.Run(listener+" "+row.name, func(t *testing.T) {
				config := tlsConfig(listener, nil)
				row.change(config)
				conn, err := w.tryDial(listener, config)
				if (err == nil) != row.accepted {
					t.Fatalf("error %v", err)
				}
				if err == nil {
					defer conn.Close()
					conn.granted(t, w.billing(t))
				}
			})
		}
		t.Run(listener+" CA-15 plain HTTP", func(t *testing.T) {
			raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addresses[listener])
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			c := w.billing(t)
			if _, err := io.WriteString(raw, c.text("as.example.com")); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(raw) // the end of it may be a reset
			if !bytes.HasPrefix(got, []byte("HTTP/1.0 400")) || bytes.Contains(got, []byte("access_token")) {
				t.Errorf("answer %q", got)
			}
		})
	}
	// AM-5: one listener asks for a certificate and the other does not.
	for listener, want := range map[string]bool{"public": false, "mtls": true} {
		asked := false
		config := tlsConfig(listener, nil)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil
		}
		w.dial(t, listener, config).granted(t, w.billing(t))
		if asked != want {
			t.Errorf("AM-5 listener %s asks for a certificate: %t, want %t", listener, asked, want)
		}
	}
}
