package doctor

import (
	"os"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devenv"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

// CJ-7, client-authentication section 15.2: what the audience has to be depends on
// the server's profile, and a workload that follows it is in order.
func TestProfiles(t *testing.T) {
	e, sound := healthy(t)
	original, err := os.ReadFile(e.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		profile  string
		endpoint bool
		fails    string
		audience string
		match    string
	}{
		{"transition", false, "", "byte for byte", "is client"},
		{"transition", true, "", "the older form", "is client"},
		{"seed", true, "", "the older form", "is client"},
		{"seed", false, "client_match token_jwt token_x509", "byte for byte", "aud_mismatch (CJ-6)"},
		{"latest", false, "", "byte for byte", "is client"},
		{"latest", true, "client_match token_jwt token_x509 token_wit", "the older form", "aud_mismatch (CJ-6)"},
	} {
		text := string(original)
		if row.profile == "seed" { // which has no WIT-SVIDs
			text = strings.Replace(text, "[spiffe_wit, ", "[", 1)
		}
		if err := os.WriteFile(e.ConfigFile, []byte("profile: "+row.profile+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.Daemon.Reload("test"); err != nil {
			t.Fatal(err)
		}
		c := sound
		c.EndpointAudience = row.endpoint
		by := examine(t, c)
		if f := fails(by); f != row.fails {
			t.Errorf("%s, endpoint %t: failed: %s, want %s: %+v", row.profile, row.endpoint, f, row.fails, by)
		}
		wants(t, by, "issuer_audience", oauth.Passed, row.audience, "")
		wants(t, by, "client_match", by["client_match"].Outcome, row.match, "")
	}
}

// Whose client a workload is, and what to do where it is nobody's.
func TestClientMatch(t *testing.T) {
	_, sound := healthy(t)
	for _, row := range []struct {
		name        string
		change      func(*Config)
		outcome     oauth.Outcome
		found, next string
	}{
		{"its own", func(*Config) {}, oauth.Passed, "spiffe_jwt: " + devenv.Billing + " is client " + devenv.Billing + "; spiffe_x509: no method of client " + devenv.Billing + ", method_not_allowed (CA-7)", ""},
		{"by certificate", func(c *Config) { c.Hint = "orders" }, oauth.Passed, "spiffe_x509: " + devenv.Orders + " is client " + devenv.Orders, ""},
		{"by that method alone", func(c *Config) { c.Hint, c.Method = "orders", oauth.MethodX509 }, oauth.Passed, "spiffe_x509: " + devenv.Orders + " is client", ""},
		{"by the other alone", func(c *Config) { c.Hint, c.Method = "orders", oauth.MethodJWT }, Failed, "spiffe_jwt: no method of client " + devenv.Orders + ", method_not_allowed (CA-7)", "under clients, at " + devenv.Orders},
		{"another's", func(c *Config) { c.ClientID = devenv.Orders }, Failed, "client_id_mismatch (CA-9)", "under clients, at " + devenv.Billing},
		{"nobody's", func(c *Config) { c.ClientID = "bil" }, Failed, "client_not_found (CA-2); the nearest client is " + devenv.Billing + ", whose client_id differs in ", "run `svidgate token"},
		{"without the socket", func(c *Config) { c.AdminSocket = "" }, oauth.NotJudged, "run it beside the server", ""},
		{"with a socket that is none", func(c *Config) { c.AdminSocket = "/nowhere/admin.sock" }, oauth.NotJudged, "there is no socket", ""},
		{"without an SVID", func(c *Config) { c.Socket = "unix:///nowhere" }, oauth.NotJudged, "no SVID", ""},
	} {
		c := sound
		row.change(&c)
		by := examine(t, c)
		if f := by["client_match"]; f.Outcome != row.outcome || !strings.Contains(f.Found, row.found) || !strings.Contains(f.Next, row.next) {
			t.Errorf("%s: %+v", row.name, f)
		}
	}
}

// The method that is asked for is the only one that may fail.
func TestOneMethod(t *testing.T) {
	_, sound := healthy(t)
	sound.Hint = "orders"
	c := sound
	c.Method = oauth.MethodX509
	by := examine(t, c)
	if f := fails(by); f != "" {
		t.Errorf("failed: %s", f)
	}
	for _, check := range []string{"jwt_svid", "issuer_audience", "token_jwt"} {
		wants(t, by, check, oauth.NotJudged, "only spiffe_x509 was asked for", "")
	}
	wants(t, examine(t, sound), "jwt_svid", oauth.Passed, devenv.Orders, "")
}

func TestMending(t *testing.T) {
	r := explain.Report{Step: explain.Step{Advice: "Say so:", Next: "svidgate reload", Edit: &explain.Edit{Under: "clients", Write: "- {}"}}}
	if got, want := mending(r), "Say so; write `- {}` under clients in the server's configuration; run `svidgate reload`"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	edit := r
	r.Edit = nil
	if got := easiest([]explain.Report{edit, r}); got.Edit != nil {
		t.Errorf("%+v goes before what needs no edit", got)
	}
	if got := easiest([]explain.Report{edit, edit}); got.Edit == nil {
		t.Errorf("%+v", got)
	}
	if got, want := mending(r), "Say so; run `svidgate reload`"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
