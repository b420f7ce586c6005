package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

// Every command that an explanation names is one of this program's, with flags it
// has, or one of SPIRE's.
func TestNextCommandsExist(t *testing.T) {
	known := regexp.MustCompile(`^(spire-server (bundle show|entry show|federation refresh) |date -u$)`)
	for _, by := range []string{explain.ByServer, explain.ByConfig, explain.ByBundle} {
		for _, method := range []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509} {
			for _, text := range append(oauth.ReasonTexts(), oauth.ReasonText{}) {
				for _, td := range []string{"example.org", "partner.example", "elsewhere.example"} {
					s := explain.Situation{
						By: by, Now: time.Now(), Issuer: "https://as.example.com", Socket: "/run/svidgate/admin socket",
						TrustDomains: []explain.TrustDomain{{Name: "example.org"}, {Name: "partner.example", Federated: true}},
						Clients:      []explain.Client{{ID: "fleet", SPIFFEID: "spiffe://example.org/ns/*", Methods: []oauth.AuthMethod{oauth.MethodX509}}},
					}
					v := explain.Verdict{ClientID: "fleet"}
					v.Method, v.Subject = method, "spiffe://"+td+"/ns/a"
					if text.Reason != "" {
						v.Refusal = oauth.Refuse(oauth.InvalidClient, text.Reason, "CA-9", "", "")
					}
					next := explain.New(credential.Credential{}, v, s, time.Now()).Next
					if known.MatchString(next) {
						continue
					}
					words := strings.Fields(strings.ReplaceAll(next, "'/run/svidgate/admin socket'", "admin.sock"))
					if len(words) < 2 || words[0] != "svidgate" {
						t.Errorf("%s %s: %q is nobody's command", by, text.Reason, next)
						continue
					}
					cmd, rest, err := newRoot().Find(words[1:])
					if err != nil || cmd.Name() == "svidgate" {
						t.Errorf("%s %s: %q: %v", by, text.Reason, next, err)
						continue
					}
					if err := cmd.ParseFlags(rest); err != nil {
						t.Errorf("%s %s: %q: %v", by, text.Reason, next, err)
					} else if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
						t.Errorf("%s %s: %q: %v", by, text.Reason, next, err)
					} else if err := cmd.ValidateRequiredFlags(); err != nil {
						t.Errorf("%s %s: %q: %v", by, text.Reason, next, err)
					}
				}
			}
		}
	}
}

// offline runs explain with a bundle file.
type offline struct {
	dir string
	ca  *devca.Authority
}

func newOffline(t *testing.T) *offline {
	t.Helper()
	ca, err := devca.New("example.org", devca.Options{Intermediate: true})
	if err != nil {
		t.Fatal(err)
	}
	o := &offline{t.TempDir(), ca}
	o.write(t, "bundle.json", ca.Bundle())
	return o
}

func (o *offline) path(name string) string { return filepath.Join(o.dir, name) }

func (o *offline) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(o.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return o.path(name)
}

func (o *offline) jwt(t *testing.T, audience string, mutate ...func(header, claims map[string]any)) string {
	t.Helper()
	token, err := o.ca.JWTSVID("/billing", []string{audience}, mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// run is the program with these arguments: its output, and its exit code.
func (o *offline) run(t *testing.T, input string, args ...string) (out string, code int, err error) {
	t.Helper()
	root := newRoot()
	var buffer bytes.Buffer
	root.SetArgs(append([]string{"explain"}, args...))
	root.SetOut(&buffer)
	root.SetErr(&buffer)
	root.SetIn(strings.NewReader(input))
	if err = root.ExecuteContext(t.Context()); err != nil {
		code = exitCode(err)
	}
	return buffer.String(), code, err
}

const server = "https://as.example.com"

func TestExplainOffline(t *testing.T) {
	o := newOffline(t)
	flags := []string{"--bundle", o.path("bundle.json"), "--trust-domain", "example.org", "--audience", server}
	for _, c := range []struct {
		name, input, reason string
		code                int
	}{
		{"accepted", o.jwt(t, server), "", 0},
		{"accepted, in a line", "Bearer " + o.jwt(t, server) + "\n", "", 0},
		{"another audience", o.jwt(t, server+"/"), "aud_mismatch", 1},
		{"not even the endpoint's", o.jwt(t, server+"/token"), "aud_mismatch", 1},
		{"expired", o.jwt(t, server, func(_, claims map[string]any) { claims["exp"] = 1700000000 }), "expired", 1},
		{"a kid of nobody", o.jwt(t, server, func(header, _ map[string]any) { header["kid"] = "x" }), "kid_unknown", 1},
		{"of another trust domain", o.jwt(t, server, func(_, claims map[string]any) { claims["sub"] = "spiffe://example.com/a" }), "td_unknown", 1},
		{"no JWT but like one", "a.b.c", "assertion_malformed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code, err := o.run(t, c.input, append(flags, "-", "--json")...)
			var r explain.Report
			if code != c.code || json.Unmarshal([]byte(out), &r) != nil || r.Reason != c.reason || r.Accepted != (c.code == 0) {
				t.Fatalf("code %d, %v: %s", code, err, out)
			}
			if said := strings.Contains(out, "profile is transition"); said != (c.reason == "aud_mismatch") {
				t.Errorf("that a server may take another audience is said: %t", said)
			}
			if code == 1 && !errors.Is(err, errSilent) {
				t.Errorf("the refusal is told twice: %v", err)
			}
			for _, rule := range r.Rules {
				if client := rule.ID == "CJ-10" || rule.ID == "CA-2" || rule.ID == "CJ-13"; client && rule.OK != nil {
					t.Errorf("%s was judged without a server", rule.ID)
				}
			}
			token := strings.Split(strings.TrimSpace(strings.TrimPrefix(c.input, "Bearer ")), ".")
			if len(token[1]) > 10 && (strings.Contains(out, token[1]) || strings.Contains(out, token[2])) {
				t.Error("AU-2 the output has a part of the SVID")
			}
		})
	}
}

// Exit code 2: it could not be judged, and why is said without repeating anything.
func TestExplainCannotJudge(t *testing.T) {
	o := newOffline(t)
	bundle := []string{"--bundle", o.path("bundle.json"), "--trust-domain", "example.org"}
	svid, err := o.ca.X509SVID("/billing")
	if err != nil {
		t.Fatal(err)
	}
	chain := svid.ChainPEM()
	key, err := svid.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	file := o.write(t, "chain.pem", chain)
	if out, code, err := o.run(t, "", append(bundle, file)...); code != 0 || !strings.Contains(out, "\naccepted, as far as it was judged") {
		t.Fatalf("the twin: code %d, %v: %s", code, err, out)
	}
	if out, code, err := o.run(t, string(svid.ChainDER()), append(bundle, "-")...); code != 0 {
		t.Fatalf("the twin in DER: code %d, %v: %s", code, err, out)
	}
	for _, c := range []struct {
		name, input, says string
		args              []string
	}{
		{"a private key", string(chain) + string(key), "private key", append(bundle, "-")},
		{"nothing", "", "empty", append(bundle, "-")},
		{"neither", "some words", "neither a JWT", append(bundle, "-")},
		{"no such file", "", "no such file", append(bundle, o.path("none"))},
		{"a private JWK", `{"kty":"EC","d":"AAAA"}`, "private key", append(bundle, "-")},
		{"a token in place of a file", "", "that is a token", append(bundle, o.jwt(t, server))},
		{"a token in place of a bundle", o.jwt(t, server), "that is a token", []string{"--bundle", o.jwt(t, server), "--trust-domain", "example.org", "--audience", server}},
		{"a listener and a bundle", o.jwt(t, server), "--listener", append(bundle, "--audience", server, "--listener", "public")},
		{"a listener that is none", o.jwt(t, server), "public or mtls", []string{"--listener", "bogus"}},
		{"a client_id for a decision", "", "--client-id", []string{"--request-id", "R", "--client-id", "a"}},
		{"a listener for a decision", "", "--listener", []string{"--request-id", "R", "--listener", "mtls"}},
		{"standard input twice", "", "standard input", []string{"--bundle", "-", "--trust-domain", "example.org", "-"}},
		{"a JWT and no audience", o.jwt(t, server), "--audience", append(bundle, "-")},
		{"no bundle", o.jwt(t, server), "--bundle", []string{"--bundle", file, "--trust-domain", "example.org", "--audience", server}},
		{"no trust domain", "", "whose it is", []string{"--bundle", o.path("bundle.json")}},
		{"a trust domain that is none", o.jwt(t, server), "--trust-domain", []string{"--bundle", o.path("bundle.json"), "--trust-domain", "EXAMPLE", "--audience", server}},
		{"an audience that is no issuer", o.jwt(t, server), "--audience", append(bundle, "--audience", "svidgate")},
		{"two modes", "", "one of", append(bundle, "--socket", "x")},
		{"an audience for a server", "", "go with --bundle", []string{"--audience", server}},
		{"an unknown flag", "", "unknown flag", []string{"--token", "x"}},
		{"two files", "", "at most 1", []string{"a", "b"}},
		{"no server", o.jwt(t, server), "there is no socket", []string{"--socket", o.path("none.sock")}},
		{"no configuration", o.jwt(t, server), "no such file", []string{"--config", o.path("none.yaml")}},
		{"an empty request id", "", "empty", []string{"--request-id", ""}},
		{"a request id offline", "", "--socket or --config", append(bundle, "--request-id", "R")},
		{"a request id and a file", "", "takes no file", []string{"--request-id", "R", file}},
		{"an audit file without a configuration", "", "--config", []string{"--request-id", "R", "--audit", file}},
		{"an audit file without a request id", "", "--request-id", []string{"--audit", file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code, err := o.run(t, c.input, c.args...)
			if code != 2 || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("code %d, %v; %s", code, err, out)
			}
			for line := range strings.Lines(string(key)) {
				if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "--") && strings.Contains(out+err.Error(), line) {
					t.Error("a line of the key was repeated")
				}
			}
			if strings.Contains(out+err.Error(), "eyJ") {
				t.Error("AU-2 a token was repeated")
			}
		})
	}
}
