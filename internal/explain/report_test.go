package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/oauth"
)

var update = flag.Bool("update", false, "write testdata anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// unsigned is a JWT with these claims; nothing here looks at its signature.
func unsigned(t testing.TB, claims map[string]any) credential.Credential {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return credential.Credential{JWT: encode([]byte(`{"alg":"ES256"}`)) + "." + encode(payload) + "." + encode([]byte("a signature nobody looks at"))}
}

func example() Situation {
	return Situation{
		By: ByServer, Now: noon, Issuer: "https://as.example.com", EndpointURL: "https://as.example.com/token",
		TrustDomains: []TrustDomain{{Name: "example.org"}, {Name: "partner.example", Federated: true}},
		Clients: []Client{
			{ID: "spiffe://example.org/billing", SPIFFEID: "spiffe://example.org/billing", Methods: []oauth.AuthMethod{oauth.MethodJWT}},
			{ID: "fleet", SPIFFEID: "spiffe://example.org/ns/ci/*", Methods: []oauth.AuthMethod{oauth.MethodX509}},
		},
		Resources:  []Resource{{Resource: "https://api.example.com/", Scopes: []string{"read", "write"}}},
		ConfigFile: "/etc/svidgate/svidgate.yaml", Socket: "/run/svidgate/svidgate-admin.sock",
	}
}

// refusedBy is a verdict of three rules of which this one refuses.
func refusedBy(e *oauth.Error, subject string) Verdict {
	v := Verdict{}
	v.Method, v.Subject, v.Refusal = oauth.MethodJWT, subject, e
	v.Findings = []oauth.Finding{
		{Rule: "JS-1", Source: "JWT-SVID 1", What: "it is one compact JWS", Outcome: oauth.Passed, Expected: "three parts", Presented: "3 parts"},
		{Rule: e.Rule, Source: "a text", What: "the rule at hand", Outcome: oauth.Refused, Reason: e.Reason, Expected: e.Expected, Presented: e.Presented},
		{Rule: "CJ-13", Source: "RFC 7523 3", What: "it was not used before", Outcome: oauth.NotJudged, Expected: "an assertion not used before"},
	}
	return v
}

func TestReportTexts(t *testing.T) {
	const billing = "spiffe://example.org/billing"
	claims := map[string]any{"sub": billing, "aud": "https://as.example.com/", "iat": noon.Unix(), "exp": noon.Add(5 * time.Minute).Unix()}
	refuse := func(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
		return oauth.Refuse(oauth.InvalidClient, reason, rule, expected, presented)
	}
	audience := refusedBy(refuse(oauth.ReasonAudMismatch, "CJ-6", "https://as.example.com or https://as.example.com/token (profile transition)", "https://as.example.com/"), billing)
	audience.ClientID = billing
	reports := []struct {
		name string
		r    Report
	}{
		{"audience", New(unsigned(t, claims), audience, example(), noon.Add(-3*time.Second))},
		{"trustdomain", New(unsigned(t, map[string]any{"sub": "spiffe://example.net/billing", "iat": noon.Add(-time.Minute).Unix()}),
			refusedBy(refuse(oauth.ReasonTDUnknown, "JS-13", "a trust domain of the configuration", "example.net"), "spiffe://example.net/billing"), example(), noon)},
		{"mismatch", func() Report {
			v := refusedBy(refuse(oauth.ReasonClientIDMismatch, "CA-9", "an SVID of client spiffe://example.org/billing", "spiffe://example.org/Billing"), "spiffe://example.org/Billing")
			v.ClientID = billing
			return New(unsigned(t, map[string]any{"sub": "spiffe://example.org/Billing"}), v, example(), noon)
		}()},
		{"signature", New(unsigned(t, claims), refusedBy(refuse(oauth.ReasonSignatureBad, "JS-12", "a signature by key k", "64 bytes of signature").Because(errors.New("it does not verify")), billing), example(), noon)},
	}
	for _, c := range reports {
		t.Run(c.name, func(t *testing.T) {
			var text bytes.Buffer
			if err := c.r.Write(&text); err != nil {
				t.Fatal(err)
			}
			golden(t, c.name+".txt", text.Bytes())
			data, err := json.MarshalIndent(c.r, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name+".json", append(data, '\n'))
			for _, secret := range []string{"a signature nobody", "YSBzaWduYXR1cmU", "eyJ"} {
				if strings.Contains(text.String()+string(data), secret) {
					t.Errorf("AU-2 %s is in the report", secret)
				}
			}
		})
	}
}

// What the JSON form promises (PRODUCT, Commands).
func TestReportMembers(t *testing.T) {
	r := New(credential.Credential{}, refusedBy(oauth.Refuse(oauth.InvalidClient, oauth.ReasonExpired, "CJ-5", "later", "earlier"), ""), example(), noon)
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	rules := m["rules"].([]any)
	for i, want := range []any{true, false, nil} {
		if got := rules[i].(map[string]any)["ok"]; got != want {
			t.Errorf("rule %d: ok is %v, want %v", i, got, want)
		}
	}
	if m["accepted"] != false || m["reason"] != "expired" || m["next"] == "" || m["nearest"] == nil {
		t.Errorf("%s", data)
	}
}

// Every reason ends in a command, by whatever it was judged.
func TestEveryReasonHasANextCommand(t *testing.T) {
	for _, by := range []string{ByServer, ByConfig, ByBundle} {
		for _, text := range oauth.ReasonTexts() {
			s := example()
			s.By = by
			v := refusedBy(oauth.Refuse(oauth.InvalidClient, text.Reason, "CJ-10", "", ""), "spiffe://example.org/ns/ci/1")
			r := New(credential.Credential{}, v, s, noon)
			if r.Next == "" || r.Advice == "" {
				t.Errorf("%s, %s: next %q, advice %q", by, text.Reason, r.Next, r.Advice)
			}
			if r.Edit != nil && by == ByBundle {
				t.Errorf("%s: an edit of a configuration that nobody named", text.Reason)
			}
		}
	}
}

// What a peer sent does not become a command of its own.
func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"spiffe://example.org/a": "spiffe://example.org/a",
		"a b":                    "'a b'",
		"$(reboot)":              "'$(reboot)'",
		"it's":                   `'it'\''s'`,
		"a\nb":                   "'a?b'",
		"":                       "''",
	} {
		if got := quoted(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestDecision(t *testing.T) {
	line := []byte(`{"version":1,"seq":7,"prev":"00","time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"refused","reason":"aud_mismatch","rule":"CJ-6","expected":"https://as.example.com","presented":"https://as.example.com/","request_id":"R","source":"127.0.0.1","client_id":"spiffe://example.org/billing","spiffe_id":"spiffe://example.org/billing","auth_method":"spiffe_jwt","grant_type":"client_credentials"}`)
	granted := []byte(`{"version":1,"seq":8,"prev":"00","time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"granted","request_id":"S","source":"127.0.0.1","client_id":"fleet","spiffe_id":"spiffe://example.org/ns/ci/1","proven":true,"auth_method":"spiffe_x509","resource":"https://api.example.com/","scope":"read","jti":"J","binding":"x5t#S256"}`)
	policy := []byte(`{"time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"refused","reason":"scope_denied","rule":"TK-5","expected":"read","presented":"write","request_id":"T"}`)
	rules := []oauth.RuleInfo{{Method: oauth.MethodX509, ID: "CJ-6", What: "of another method"}, {Method: oauth.MethodJWT, ID: "CJ-6", What: "the audience is this server"}}
	unknown := []byte(`{"time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"refused","reason":"client_not_found","rule":"CA-2","expected":"a registered client_id","presented":"spiffe://example.org/new","request_id":"U","client_id":"spiffe://example.org/new"}`)
	mistyped := []byte(`{"time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"refused","reason":"client_not_found","rule":"CA-2","expected":"a registered client_id","presented":"fleat","request_id":"V","client_id":"fleat"}`)
	for name, line := range map[string][]byte{"refused": line, "granted": granted, "policy": policy, "unknown": unknown, "mistyped": mistyped} {
		d, err := NewDecision(line, rules, example())
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := d.Write(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, "decision-"+name+".txt", text.Bytes())
	}
	if _, err := NewDecision([]byte("no JSON"), nil, example()); err == nil {
		t.Error("a line that is none was explained")
	}
}
