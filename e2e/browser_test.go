//go:build browser

package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	svidoauth "github.com/svidgate/svidgate/oauth"
)

// keyDigest names a key as the browser's list of keys to trust does.
func keyDigest(t *testing.T, der []byte) string {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// newApp is the client that people go back to, at app.example.com, and at
// www.example.com, to which it leads on.
func newApp(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/onward" {
			http.Redirect(w, r, "https://www.example.com/home?"+r.URL.RawQuery, http.StatusSeeOther)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		q := r.URL.Query()
		what := "code"
		if q.Get("code") == "" {
			what = cmp.Or(q.Get("error"), "nothing")
		}
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>App</title><main><h1>The app got %s</h1><p id="referer">%s</p></main>`, html.EscapeString(what), html.EscapeString(r.Referer()))
	}))
	pair, err := serverCA().Certificate("app.example.com", "www.example.com")
	if err != nil {
		t.Fatal(err)
	}
	app.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	app.Config.ErrorLog = log.New(io.Discard, "", 0)
	app.StartTLS()
	t.Cleanup(app.Close)
	return app
}

// TestBrowser drives the pages in a real browser: each line that the script prints
// is a scenario and how it ended. It needs node, the packages of e2e/browser
// (npm ci) and Chromium (SVIDGATE_CHROMIUM). With SVIDGATE_SCREENSHOTS it leaves
// pictures of all pages in that folder.
func TestBrowser(t *testing.T) {
	w := newTown(t, "")
	w.addUser(t, "dora")
	app := newApp(t)
	pictures := cmp.Or(os.Getenv("SVIDGATE_SCREENSHOTS"), t.TempDir())
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		t.Fatal(err)
	}
	served, err := tls.LoadX509KeyPair(filepath.Join(w.dir, "as.crt"), filepath.Join(w.dir, "as.key"))
	if err != nil {
		t.Fatal(err)
	}
	host := func(server *httptest.Server) string { return server.Listener.Addr().String() }
	settings, err := json.Marshal(map[string]any{
		"chromium": cmp.Or(os.Getenv("SVIDGATE_CHROMIUM"), "/usr/bin/chromium"),
		"rules":    "MAP as.example.com:443 " + w.addresses["public"] + ", MAP app.example.com:443 " + host(app) + ", MAP www.example.com:443 " + host(app),
		"keys":     keyDigest(t, served.Certificate[0]) + "," + keyDigest(t, app.TLS.Certificates[0].Certificate[0]) + "," + keyDigest(t, w.provider.TLS.Certificates[0].Certificate[0]),
		"issuer":   issuer, "query": asking(), "wide": asking("scope", "read write"), "onward": asking("redirect_uri", "https://app.example.com/onward"),
		"unknown": asking("client_id", "<b>nobody</b>"), "password": password, "pictures": pictures,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "pages.mjs")
	cmd.Dir = "browser"
	cmd.Stdin = bytes.NewReader(settings)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scenarios := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var ended struct {
			Name  string
			Error string
		}
		if err := json.Unmarshal(lines.Bytes(), &ended); err != nil {
			t.Errorf("the script says %s", lines.Text())
			continue
		}
		scenarios++
		t.Run(ended.Name, func(t *testing.T) {
			if ended.Error != "" {
				t.Error(ended.Error)
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, strings.TrimSpace(errs.String()))
	}
	if scenarios < 12 {
		t.Errorf("%d scenarios were run", scenarios)
	}
}

// TestBrowserOpenIDClient has the library openid-client for node get, redeem and
// refresh what a person grants to a client with a JWT-SVID, from a pushed request.
func TestBrowserOpenIDClient(t *testing.T) {
	w := newTown(t, "")
	w.killed = true // what the library does is not counted
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "oauth.mjs")
	cmd.Dir = "browser"
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(in).Encode(map[string]string{
		"issuer": issuer, "address": w.addresses["public"], "ca": filepath.Join(w.dir, "ca.pem"), "client_id": w.td.id("/web"), "redirect_uri": appURL, "resource": apiURL,
		"assertion_type": svidoauth.ClientAssertionTypeJWTSPIFFE, "assertion": w.td.jwt(t, "/web", issuer),
	}); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the library sends nobody anywhere: %v: %s", cmd.Wait(), errs.String())
	}
	p := w.person(t)
	v := p.get(t, lines.Text())
	v.says(t, http.StatusOK, "Sign in")
	v = p.walk(t, p.post(t, "/login", v.form("user", "alice", "password", password)))
	v = p.post(t, "/consent", v.form("decision", "allow"))
	fmt.Fprintln(in, v.location)
	if !lines.Scan() {
		t.Fatalf("the library got no tokens: %v: %s", cmd.Wait(), errs.String())
	}
	var got struct {
		First, Second string
		Refresh       [2]string
	}
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{got.First, got.Second} {
		if claims := claimsIn(t, token); claims["sub"] != "local:alice" || claims["client_id"] != w.td.id("/web") {
			t.Errorf("the token has %v", claims)
		}
	}
	for _, token := range got.Refresh {
		secrets.add("refresh token", token)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, errs.String())
	}
}
