package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/explain"
)

// explainer is a world whose server has an administration socket, with a trust
// domain whose SVIDs count once beside it.
func explainer(t *testing.T) (w *world, once *domain) {
	t.Helper()
	w = &world{td: newDomain(t, "example.org", devca.Options{Intermediate: true})}
	once = newFileDomain(t, "once.test", devca.Options{})
	once.more = ", single_use: true"
	config := worldConfig + `  - {client_id: "spiffe://once.test/a", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
`
	w.server = start(t, config+adminAt(shortFolder(t)), w.td, once)
	return w, once
}

// explained runs `svidgate explain --json` with an input.
func (w *world) explained(t *testing.T, input string, args ...string) (r explain.Report, code int) {
	t.Helper()
	out, errs, code := commandWith(t, w.dir, []string{"SVIDGATE_SOCKET=" + w.socket(t)}, []byte(input), append([]string{"explain", "-", "--json"}, args...)...)
	evidence.add("explain", []byte(out+errs))
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || d.More() || errs != "" {
		t.Fatalf("code %d, %v: %s%s", code, err, out, errs)
	}
	return r, code
}

// The three ways to judge come to one verdict, and the server's own is the same.
func TestExplainModes(t *testing.T) {
	w, _ := explainer(t)
	w.replace(t, "bundle.json", w.td.Bundle())
	config := []string{"--config", filepath.Join(w.dir, "svidgate.yaml")}
	bundle := []string{"--bundle", "bundle.json", "--trust-domain", "example.org", "--audience", issuer}
	for _, c := range []struct {
		name, token, clientID, reason string
		clients                       bool // it takes a registry to see
	}{
		{"accepted", w.td.jwt(t, "/billing", issuer), w.td.id("/billing"), "", false},
		{"the endpoint's audience", w.td.jwt(t, "/billing", tokenURL), w.td.id("/billing"), "", true},
		{"a slash", w.td.jwt(t, "/billing", issuer+"/"), w.td.id("/billing"), "aud_mismatch", false},
		{"a wildcard", w.td.jwt(t, "/ns/ci/1", issuer), "fleet", "", false},
		{"too deep", w.td.jwt(t, "/flat/a/b", issuer), "flat", "client_id_mismatch", true},
		{"nobody", w.td.jwt(t, "/nobody", issuer), w.td.id("/nobody"), "client_not_found", true},
		{"ambiguous", w.td.jwt(t, "/twin", issuer), "", "client_ambiguous", true},
		{"another method", w.td.jwt(t, "/orders", issuer), w.td.id("/orders"), "method_not_allowed", true},
		{"forged", misSigned(w.td.jwt(t, "/billing", issuer)), w.td.id("/billing"), "signature_bad", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.do(t, withJWT(c.clientID, c.token))
			want := a.audit.text("reason")
			if c.reason != "" && want != c.reason {
				t.Fatalf("the server says %s", want)
			}
			args := []string{"--client-id", c.clientID}
			for mode, flags := range map[string][]string{"server": nil, "config": config} {
				r, code := w.explained(t, c.token, append(args, flags...)...)
				if r.Reason != want || r.Rule != a.audit.text("rule") || code != map[bool]int{true: 0, false: 1}[want == ""] || r.JudgedBy != mode {
					t.Errorf("%s: %q by %s, code %d; the server: %q by %s", mode, r.Reason, r.Rule, code, want, a.audit.text("rule"))
				}
			}
			if !c.clients {
				if r, _ := w.explained(t, c.token, bundle...); r.Reason != want || r.JudgedBy != "bundle" {
					t.Errorf("bundle: %q by %s; the server: %q", r.Reason, r.Rule, want)
				}
			}
		})
	}
	// A chain, as a request over mutual TLS shows it.
	pair := w.td.svid(t, "/orders")
	var chain bytes.Buffer
	for _, der := range pair.Certificate {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	for _, flags := range [][]string{nil, config, bundle[:4]} {
		if r, code := w.explained(t, chain.String(), append(flags, "--client-id", w.td.id("/orders"))...); code != 0 || r.Method != "spiffe_x509" {
			t.Errorf("%v: code %d, %s", flags, code, r.Reason)
		}
		if r, code := w.explained(t, chain.String(), append(flags, "--client-id", "named")...); code != map[bool]int{true: 0, false: 1}[len(flags) == 4] {
			t.Errorf("%v: another client: code %d, %s", flags, code, r.Reason)
		}
	}
	w.granted(t, call{cert: pair, form: form("client_id", w.td.id("/orders"))})
	// EC-4: which endpoint is called matters.
	alias := w.td.jwt(t, "/billing", aliasURL)
	if r, code := w.explained(t, alias); code != 1 || r.Reason != "aud_mismatch" {
		t.Errorf("the alias at the public listener: %s", r.Reason)
	}
	if r, code := w.explained(t, alias, "--listener", "mtls"); code != 0 || r.Endpoint != aliasURL {
		t.Errorf("the alias at the mtls listener: %s, %s", r.Reason, r.Endpoint)
	}
}

// misSigned is a JWT with another signature than its own.
func misSigned(token string) string {
	return token[:strings.LastIndexByte(token, '.')+1] + strings.Repeat("A", 86)
}

// CJ-13: an explanation uses nothing up, and sees what was used.
func TestExplainSingleUse(t *testing.T) {
	w, once := explainer(t)
	token := once.jwt(t, "/a", issuer)
	for range 2 {
		if r, code := w.explained(t, token); code != 0 {
			t.Fatalf("%s", r.Reason)
		}
	}
	w.granted(t, withJWT("", token))
	if r, code := w.explained(t, token); code != 1 || r.Reason != "assertion_replayed" || r.Rule != "CJ-13" {
		t.Errorf("code %d, %s by %s", code, r.Reason, r.Rule)
	}
	w.refused(t, withJWT("", token), refusal{"invalid_client", "assertion_replayed", "CJ-13"})
	// The configuration alone does not know.
	r, code := w.explained(t, token, "--config", filepath.Join(w.dir, "svidgate.yaml"))
	if code != 0 {
		t.Errorf("code %d, %s", code, r.Reason)
	}
	for _, rule := range r.Rules {
		if rule.ID == "CJ-13" && rule.OK != nil {
			t.Error("CJ-13 was judged without the memory of what was used")
		}
	}
}

// The answer is for now: it changes with the configuration and with the bundle.
func TestExplainIsForNow(t *testing.T) {
	w, _ := explainer(t)
	token := w.td.jwt(t, "/billing", issuer)
	if _, code := w.explained(t, token); code != 0 {
		t.Fatal("the twin is refused")
	}
	text := string(contentOf(t, filepath.Join(w.dir, "svidgate.yaml")))
	w.replace(t, "svidgate.yaml", []byte(strings.Replace(text, `"spiffe://example.org/billing"`, `"spiffe://example.org/other"`, 1)))
	w.done(t, "reload")
	if r, code := w.explained(t, token); code != 1 || r.Reason != "client_not_found" {
		t.Errorf("code %d, %s", code, r.Reason)
	}
	if r, _ := w.explained(t, token, "--config", filepath.Join(w.dir, "svidgate.yaml")); r.Reason != "client_not_found" {
		t.Errorf("%s", r.Reason)
	}
	// What a server kept judges without it, and its folder stays as it is.
	w.stop(t)
	before := contentOf(t, filepath.Join(w.dir, "svidgate-bundles", "td-example.org.bundle"))
	other := w.td.jwt(t, "/ns/ci/1", issuer)
	if r, code := w.explained(t, other, "--client-id", "fleet", "--config", filepath.Join(w.dir, "svidgate.yaml")); code != 0 {
		t.Errorf("code %d, %s", code, r.Reason)
	}
	if !bytes.Equal(before, contentOf(t, filepath.Join(w.dir, "svidgate-bundles", "td-example.org.bundle"))) {
		t.Error("explaining changed what was kept")
	}
}

// A decision of the past is found by the caller's Request-Id.
func TestExplainRequestID(t *testing.T) {
	w, _ := explainer(t)
	refused := w.refused(t, withJWT("", w.td.jwt(t, "/billing", issuer+"/")), refusal{"invalid_client", "aud_mismatch", "CJ-6"})
	granted := w.granted(t, w.billing(t))
	config := []string{"--config", filepath.Join(w.dir, "svidgate.yaml")}
	for _, c := range []struct {
		id   string
		says []string
	}{
		{refused.id, []string{"refused: aud_mismatch (CJ-6)", "The audience is not this server", "expected   https://as.example.com", "presented  https://as.example.com/", "rule       the audience is this server", "svidgate token --issuer https://as.example.com"}},
		{granted.id, []string{"granted\n", "client     spiffe://example.org/billing", "jti        " + granted.claim("jti")}},
	} {
		for _, flags := range [][]string{{"--socket", w.socket(t)}, config} {
			out, errs, code := command(t, w.dir, append([]string{"explain", "--request-id", c.id}, flags...)...)
			for _, s := range append(c.says, c.id) {
				if code != 0 || !strings.Contains(out, s) {
					t.Errorf("%v: code %d, no %q in %s%s", flags, code, s, out, errs)
				}
			}
			out, _, _ = command(t, w.dir, append([]string{"explain", "--json", "--request-id", c.id}, flags...)...)
			var d explain.Decision
			if err := json.Unmarshal([]byte(out), &d); err != nil || !strings.Contains(string(d.Line), c.id) {
				t.Errorf("%v: %v: %s", flags, err, out)
			}
		}
	}
	for _, flags := range [][]string{{"--socket", w.socket(t)}, config} {
		out, errs, code := command(t, w.dir, append([]string{"explain", "--request-id", "NOBODYS"}, flags...)...)
		if code != 2 || out != "" || !strings.Contains(errs, "no line of the audit record has this request id: NOBODYS") {
			t.Errorf("%v: code %d, %s%s", flags, code, out, errs)
		}
	}
	// A record that is a stream cannot be read again.
	s := start(t, "audit: {file: \"-\"}\nresources: []\n"+adminAt(shortFolder(t)))
	out, errs, code := command(t, s.dir, "explain", "--request-id", "X", "--socket", s.socket(t))
	if code != 2 || out != "" || !strings.Contains(errs, `look for "request_id":"X" where it is collected`) {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
}

// AU-2: what cannot be judged is refused in a sentence, and nothing of it is
// repeated, here or in the server's log.
func TestExplainRefusesKeys(t *testing.T) {
	w, _ := explainer(t)
	svid, err := w.td.X509SVID("/orders")
	if err != nil {
		t.Fatal(err)
	}
	key, err := svid.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key)
	secrets.add("private key in an input", string(block.Bytes))
	out, errs, code := commandWith(t, w.dir, nil, append(svid.ChainPEM(), key...), "explain", "-", "--socket", w.socket(t))
	evidence.add("explain with a key", []byte(out+errs))
	if code != 2 || out != "" || !strings.Contains(errs, "private key") {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
	// Somebody who asks the socket by hand is told the same.
	q := explain.Question{Credential: string(key)}
	if _, err := w.admin(t).Explain(t.Context(), q); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("%v", err)
	}
	if _, err := w.admin(t).Explain(t.Context(), explain.Question{Credential: w.td.jwt(t, "/billing", issuer), Listener: "x"}); err == nil || !strings.Contains(err.Error(), "public or mtls") {
		t.Errorf("%v", err)
	}
}
