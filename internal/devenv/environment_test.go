package devenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// The whole of the main job on the wire, without our client: a token by each
// method, and the API lets it in.
func TestTokensOpenTheAPI(t *testing.T) {
	e, err := Start(t.Context(), Options{Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	assertion, err := e.Domain.Authority().JWTSVID("/billing", []string{e.Issuer})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := e.Domain.Authority().X509SVID("/orders")
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.Roots}}}
	mutual := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.Roots, Certificates: []tls.Certificate{svid.TLSCertificate()}}}}

	for _, row := range []struct {
		name     string
		client   *http.Client
		endpoint string
		form     url.Values
		want     Answer
	}{
		{"JWT-SVID", plain, e.Issuer, url.Values{
			oauth.ParamClientID:            {Billing},
			oauth.ParamClientAssertionType: {oauth.ClientAssertionTypeJWTSPIFFE},
			oauth.ParamClientAssertion:     {assertion},
		}, Answer{Billing, Billing, false, false}},
		{"X.509-SVID", mutual, e.Daemon.MTLSURL(), url.Values{oauth.ParamClientID: {Orders}}, Answer{Orders, Orders, true, false}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.form.Set(oauth.ParamGrantType, string(oauth.GrantClientCredentials))
			var token oauth.TokenResponse
			status := call(t, row.client, http.MethodPost, row.endpoint+oauth.PathToken, "", row.form, &token)
			if status != http.StatusOK || token.AccessToken == "" || token.Scope != Scope {
				t.Fatalf("token endpoint: status %d, scope %q", status, token.Scope)
			}
			var answer Answer
			if status := call(t, row.client, http.MethodGet, e.Resource, string(token.AccessToken), nil, &answer); status != http.StatusOK || answer != row.want {
				t.Errorf("API: status %d, %+v, want %+v", status, answer, row.want)
			}
			if status := call(t, row.client, http.MethodGet, e.Resource, "", nil, nil); status != http.StatusUnauthorized {
				t.Errorf("API without a token: status %d", status)
			}
		})
	}
}

func call(t *testing.T, c *http.Client, method, url, token string, form url.Values, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get(oauth.HeaderRequestID) == "" {
		t.Errorf("%s %s: no %s", method, url, oauth.HeaderRequestID)
	}
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatalf("%s %s: status %d: %v", method, url, resp.StatusCode, err)
		}
	}
	return resp.StatusCode
}

// A second environment in the same folder fails and leaves the first one whole.
func TestOneEnvironmentAFolder(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	first, err := Start(t.Context(), Options{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(first.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Start(t.Context(), Options{Dir: dir, Log: log}); err == nil {
		second.Close()
		t.Error("a second environment came up in the same folder")
	}
	if after, err := os.ReadFile(first.CAFile); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the first one's CA file was changed: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Start(t.Context(), Options{Dir: dir, Log: log})
	if err != nil {
		t.Fatalf("after the first one has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
