package main

import (
	"bytes"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

func opaque(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestClaimsOf(t *testing.T) {
	got, err := claimsOf("e30." + opaque(`{"sub":"spiffe://example.org/a","n":1}`) + ".c2ln")
	if want := "{\n  \"sub\": \"spiffe://example.org/a\",\n  \"n\": 1\n}"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for name, token := range map[string]string{
		"nothing": "", "an opaque token": "s3cr3t-token", "two parts": "e30.e30", "five parts": "a.b.c.d.e",
		"no base64url": "e30.s3cr3t?.c2ln", "padding": "e30.e30=.c2ln", "no JSON": "e30." + opaque("s3cr3t") + ".c2ln",
	} {
		got, err := claimsOf(token)
		if err == nil || got != "" || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What `token` prints: the token alone, its claims, or both with its end as JSON.
func TestTokenOutput(t *testing.T) {
	raw := "e30." + opaque(`{"sub":"a"}`) + ".c2ln"
	token := &client.Token{AccessToken: oauth.AccessToken(raw), TokenType: "Bearer", Scope: "read", ExpiresAt: time.Date(2026, 7, 1, 14, 0, 0, 0, time.FixedZone("CEST", 7200))}
	for name, row := range map[string]struct {
		flags tokenFlags
		want  string
	}{
		"the token": {tokenFlags{}, raw + "\n"},
		"claims":    {tokenFlags{printClaims: true}, "{\n  \"sub\": \"a\"\n}\n"},
		"headers":   {tokenFlags{headersFor: "https://api.example.com/", requestMethod: "GET"}, "Authorization: Bearer " + raw + "\n"},
		"JSON":      {tokenFlags{asJSON: true}, `{"access_token":"` + raw + `","expires_at":"2026-07-01T12:00:00Z","scope":"read","token_type":"Bearer"}` + "\n"},
	} {
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetOut(&out)
		if err := row.flags.print(cmd, token); err != nil || out.String() != row.want {
			t.Errorf("%s: %q, %v, want %q", name, out.String(), err, row.want)
		}
	}
}

// What is wrong with a file or an address is said before anything is sent, and
// nothing of the SVID is repeated.
func TestTokenFaults(t *testing.T) {
	svid := file(t, "svid", "s3cr3t.s3cr3t.s3cr3t")
	missing := filepath.Join(t.TempDir(), "none")
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no ca-file", []string{"--issuer", "https://127.0.0.1:1", "--ca-file", missing, "--jwt-svid-file", svid}, "--ca-file"},
		{"a ca-file without certificates", []string{"--issuer", "https://127.0.0.1:1", "--ca-file", svid, "--jwt-svid-file", svid}, "holds no certificate"},
		{"a server-id that is none", []string{"--issuer", "https://127.0.0.1:1", "--server-id", "example.org/as", "--socket", "unix://" + missing}, "--server-id"},
		{"a server-id of a trust domain", []string{"--issuer", "https://127.0.0.1:1", "--server-id", "spiffe://example.org", "--socket", "unix://" + missing}, "--server-id"},
		{"a server-id and SVIDs in files alone", []string{"--issuer", "https://127.0.0.1:1", "--server-id", "spiffe://example.org/as", "--jwt-svid-file", svid}, "--server-bundle-file"},
		{"a server's bundle and no server-id", []string{"--issuer", "https://127.0.0.1:1", "--server-bundle-file", svid, "--jwt-svid-file", svid}, "--server-id"},
		{"a server-id and a ca-file", []string{"--issuer", "https://127.0.0.1:1", "--server-id", "spiffe://example.org/as", "--ca-file", svid, "--jwt-svid-file", svid}, "ca-file"},
		{"an issuer without TLS", []string{"--issuer", "http://127.0.0.1:1", "--jwt-svid-file", svid}, "not an https URL"},
		{"a method that nobody knows", []string{"--issuer", "https://127.0.0.1:1", "--jwt-svid-file", svid, "--method", "basic"}, "basic"},
		{"a server that is not there", []string{"--issuer", "https://127.0.0.1:1", "--jwt-svid-file", svid, "--timeout", "5s"}, "127.0.0.1:1"},
		{"a socket that is not there", []string{"--issuer", "https://127.0.0.1:1", "--socket", "unix://" + missing, "--timeout", "100ms"}, missing},
		{"no address of a Workload API", []string{"--issuer", "https://127.0.0.1:1"}, "SPIFFE_ENDPOINT_SOCKET"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
			stdout, _, err := run(t, append([]string{"token"}, row.args...)...)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "s3cr3t") || stdout != "" {
				t.Errorf("%v, want %q; printed %q", err, row.want, stdout)
			}
		})
	}
}

func TestHeadersFor(t *testing.T) {
	token := &client.Token{AccessToken: "s3cr3t", TokenType: "Bearer"}
	keyed := &client.Token{AccessToken: "s3cr3t", TokenType: "DPoP"} // its key is not there
	for name, row := range map[string]struct {
		flags tokenFlags
		token *client.Token
	}{
		"no TLS":              {tokenFlags{headersFor: "http://api.example.com/", requestMethod: "GET"}, token},
		"no URL":              {tokenFlags{headersFor: "api.example.com", requestMethod: "GET"}, token},
		"no method":           {tokenFlags{headersFor: "https://api.example.com/", requestMethod: "G T"}, token},
		"a token without key": {tokenFlags{headersFor: "https://api.example.com/", requestMethod: "GET"}, keyed},
	} {
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetOut(&out)
		if err := row.flags.print(cmd, row.token); err == nil || out.Len() != 0 || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}
