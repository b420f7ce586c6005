package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// wrongPlaces are where a credential does not belong. Each is something a caller
// may do by mistake, or a stranger on purpose.
var wrongPlaces = map[string]func(c *call, secret string){
	"client_id":                    func(c *call, s string) { c.set("client_id", s) },
	"client_id behind a SPIFFE ID": func(c *call, s string) { c.set("client_id", "spiffe://example.org/"+s) },
	"client_id behind a word":      func(c *call, s string) { c.set("client_id", "jwt-"+s) },
	"client_id over 2048 bytes":    func(c *call, s string) { c.set("client_id", s+strings.Repeat("A", 2048)) },
	"client_id in two lines":       func(c *call, s string) { c.set("client_id", s[:len(s)/2]+"\r\n"+s[len(s)/2:]) },
	"client_id, encoded twice":     func(c *call, s string) { c.set("client_id", strings.ReplaceAll(url.QueryEscape(s), ".", "%2E")) },
	"scope":                        func(c *call, s string) { c.set("scope", s) },
	"scope, several":               func(c *call, s string) { c.set("scope", "read "+s+" "+s) },
	"scope, wrapped":               func(c *call, s string) { c.set("scope", wrapped(s)) },
	"resource":                     func(c *call, s string) { c.set("resource", s) },
	"resource, in a URL":           func(c *call, s string) { c.set("resource", "https://api.example.com/?access_token="+s) },
	"resource, two":                func(c *call, s string) { c.set("resource", apiURL); c.form.Add("resource", "https://x.example.com/"+s) },
	"audience":                     func(c *call, s string) { c.set("audience", s) },
	"grant_type":                   func(c *call, s string) { c.set("grant_type", s) },
	"client_assertion_type":        func(c *call, s string) { c.set("client_assertion_type", s) },
	"client_assertion, twice":      func(c *call, s string) { c.set("client_assertion", s+" "+s) },
	"client_assertion, quoted":     func(c *call, s string) { c.set("client_assertion", `"`+s+`"`) },
	"client_assertion":             func(c *call, s string) { c.set("client_assertion", s) },
	"client_secret":                func(c *call, s string) { c.set("client_secret", s) },
	"client_secret alone": func(c *call, s string) {
		c.drop("client_assertion")
		c.drop("client_assertion_type")
		c.set("client_secret", s)
	},
	"a parameter of nobody":            func(c *call, s string) { c.set("state", s) },
	"the name of a parameter":          func(c *call, s string) { c.set(s, "x") },
	"the name of two parameters":       func(c *call, s string) { c.form.Add(s, "x"); c.form.Add(s, "y") },
	"a parameter with bytes not UTF-8": func(c *call, s string) { c.set(s+"\xff", "\xff"+s) },
	"state in the query":               func(c *call, s string) { c.target = "/token?state=" + url.QueryEscape(s) },
	"client_assertion in the query":    func(c *call, s string) { c.target = "/token?client_assertion=" + url.QueryEscape(s) },
	"the name of a query parameter":    func(c *call, s string) { c.target = "/token?" + url.QueryEscape(s) },
	"a malformed query":                func(c *call, s string) { c.target = "/token?a;b=" + url.QueryEscape(s) },
	"a path":                           func(c *call, s string) { c.target = "/token/" + url.PathEscape(s) },
	"an unclean path":                  func(c *call, s string) { c.target = "//token?x=" + url.QueryEscape(s) },
	"the whole body":                   func(c *call, s string) { c.body = s },
	"a malformed body":                 func(c *call, s string) { c.body = s + "%" },
	"a JSON body": func(c *call, s string) {
		c.say("Content-Type: application/json")
		c.body = `{"client_assertion":"` + s + `"}`
	},
	"Host":         func(c *call, s string) { c.host = url.PathEscape(s) },
	"User-Agent":   func(c *call, s string) { c.say("User-Agent: " + line1(s)) },
	"Referer":      func(c *call, s string) { c.say("Referer: https://x.example.com/?t=" + line1(s)) },
	"Cookie":       func(c *call, s string) { c.say("Cookie: a=" + line1(s)) },
	"Content-Type": func(c *call, s string) { c.say("Content-Type: " + line1(s)) },
	"Content-Type, a parameter": func(c *call, s string) {
		c.say(`Content-Type: application/x-www-form-urlencoded; charset="` + line1(s) + `"`)
	},
	"Authorization: Bearer": func(c *call, s string) { c.say("Authorization: Bearer " + line1(s)) },
	"Authorization: Basic": func(c *call, s string) {
		c.say("Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+s)))
	},
	"Authorization without scheme":  func(c *call, s string) { c.say("Authorization: " + line1(s)) },
	"OAuth-Client-Attestation":      func(c *call, s string) { c.say("OAuth-Client-Attestation: " + line1(s)) },
	"OAuth-Client-Attestation-PoP":  func(c *call, s string) { c.say("OAuth-Client-Attestation-PoP: " + line1(s)) },
	"DPoP":                          func(c *call, s string) { c.say("DPoP: " + line1(s)) },
	"Request-Id":                    func(c *call, s string) { c.say("Request-Id: " + line1(s)); c.say("X-Request-Id: " + line1(s)) },
	"traceparent":                   func(c *call, s string) { c.say("traceparent: " + line1(s)) },
	"X-Forwarded-For":               func(c *call, s string) { c.say("X-Forwarded-For: " + line1(s)) },
	"the name of a header":          func(c *call, s string) { c.say(regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(s, "") + ": x") },
	"a method":                      func(c *call, s string) { c.method = regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(s, "") },
	"a header line without a colon": func(c *call, s string) { c.say(line1(s)); c.silent = true },
	"a protocol version":            func(c *call, s string) { c.target = "/token HTTP/" + url.PathEscape(s); c.silent = true },
}

// line1 makes a text fit for a header.
func line1(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r", ""), "\n", " ") }

// wrapped is a text in lines of 64 letters.
func wrapped(s string) string {
	var b strings.Builder
	for ; len(s) > 64; s = s[64:] {
		b.WriteString(s[:64] + "\n")
	}
	return b.String() + s
}

// Shows g: no credential is in anything that a server puts out, whatever a caller
// does with it, at log level debug. What this test sends is searched here, and
// once more, with what all other tests made, at the end of the run.
func TestNothingLeaks(t *testing.T) {
	w := newWorld(t)
	id := w.td.id("/billing")
	ours := string(w.granted(t, w.billing(t)).token.AccessToken)
	svid := must(w.td.X509SVID("/orders"))
	shown(t, svid, nil)
	for kind, make := range map[string]func() string{
		"JWT-SVID": func() string { return w.td.jwt(t, "/billing", issuer, inClaims("nonce", rand.Text())) },
		"expired JWT-SVID": func() string {
			return w.td.jwt(t, "/billing", issuer, inClaims("exp", 1), inClaims("nonce", rand.Text()))
		},
		"large JWT-SVID": func() string {
			return w.td.jwt(t, "/billing", issuer, inClaims("pad", strings.Repeat(rand.Text(), 100)))
		},
		"access token": func() string { return ours },
		"payload and signature": func() string {
			_, rest, _ := strings.Cut(w.td.jwt(t, "/billing", issuer, inClaims("nonce", rand.Text())), ".")
			return rest
		},
		"private key": func() string { return string(must(svid.KeyPEM())) },
	} {
		for place, put := range wrongPlaces {
			t.Run(kind+" as "+place, func(t *testing.T) {
				c := withJWT(id, w.td.jwt(t, "/billing", issuer))
				put(&c, make())
				w.do(t, c)
			})
		}
	}

	// Inside of credentials: claims, header members, names in certificates.
	carry := func() string { return w.td.jwt(t, "/billing", issuer, inClaims("nonce", rand.Text())) }
	for _, claim := range []string{"sub", "aud", "exp", "iat", "nbf", "jti", "iss"} {
		w.do(t, withJWT(id, w.td.jwt(t, "/billing", issuer, inClaims(claim, carry()))))
	}
	for _, member := range []string{"alg", "kid", "typ", "jku", carry()} {
		w.do(t, withJWT(id, w.td.jwt(t, "/billing", issuer, inHeader(member, carry()))))
	}
	for _, mutate := range []func(*x509.Certificate){
		func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: carry()} },
		func(c *x509.Certificate) { c.URIs = []*url.URL{must(url.Parse("https://x.example.com/" + carry()))} },
		func(c *x509.Certificate) { c.URIs = append(c.URIs, must(url.Parse("spiffe://example.org/"+carry()))) },
		func(c *x509.Certificate) { c.DNSNames = []string{carry()}; c.NotAfter = time.Now().Add(-time.Second) },
	} {
		w.do(t, call{cert: w.td.svid(t, "/orders", mutate), form: form("client_id", w.td.id("/orders"))})
	}
	self := must(w.td.Issuer().Intermediate(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: carry()}; c.IsCA = false }))
	named, err := self.X509SVID("/orders")
	w.do(t, call{cert: shown(t, named, err), form: form("client_id", w.td.id("/orders"))})

	// Below HTTP: what is no TLS, and what TLS itself is told.
	for _, listener := range []string{"public", "mtls", "status"} {
		raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addresses[listener])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(raw, "%s /token?client_assertion=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "POST", carry())
		raw.SetReadDeadline(time.Now().Add(patience))
		io.ReadAll(io.LimitReader(raw, 1<<10)) // the end of it may be a reset
		raw.Close()
	}
	for _, change := range []func(*tls.Config){
		func(c *tls.Config) { c.NextProtos = []string{carry()[:200]} },
		func(c *tls.Config) {
			c.ServerName = carry()
			c.MaxVersion = tls.VersionTLS11
			c.MinVersion = tls.VersionTLS10
		},
		func(c *tls.Config) { c.NextProtos = []string{"h2"} },
	} {
		config := tlsConfig("public", nil)
		change(config)
		conn, err := w.tryDial("public", config)
		if err != nil {
			continue
		}
		_, signature, _ := strings.Cut(carry(), ".")
		io.WriteString(conn, signature+"\r\n\r\n"+signature) // in place of HTTP/2's first words
		conn.SetReadDeadline(time.Now().Add(patience))
		io.ReadAll(io.LimitReader(conn.r, 1<<10)) // nothing good is expected
		conn.Close()
	}

	w.stop(t)
	record := must(os.ReadFile(w.record.path))
	s := secrets.scanner()
	total := 0
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range []exhibit{
		{"standard error", said(t, w.stderr)}, {"standard output", said(t, w.stdout)}, {"audit record", record}, {"refusals", w.answers.Bytes()},
	} {
		total += len(e.data)
		for _, l := range s.scan(e) {
			context := e.data[max(0, l.at-200):min(len(e.data), l.at)]
			t.Errorf("%s; before it stands: %s", l, context[bytes.LastIndexByte(context, '\n')+1:])
		}
	}
	t.Logf("%d bytes of output searched for %d secrets in %d forms", total, s.secrets, len(s.texts))
}
