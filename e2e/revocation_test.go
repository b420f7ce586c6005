package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

const revocationConfig = `
resources:
  - {resource: https://api.example.com/, scopes: [read]}
  - {resource: https://books.example.com/, scopes: [read]}
clients:
  - {client_id: "spiffe://example.org/billing", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: fleet, spiffe_id: "spiffe://example.org/ns/*", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://example.org/api", token_endpoint_auth_method: spiffe_x509, introspects: ["https://api.example.com/"]}
  - {client_id: "spiffe://example.org/books", token_endpoint_auth_method: spiffe_x509, introspects: ["https://books.example.com/"]}
`

// A parties is a server with an API that asks it about tokens.
type parties struct {
	*server
	td *domain
}

func (p *parties) billing(t *testing.T) call {
	return withJWT(p.td.id("/billing"), p.td.jwt(t, "/billing", issuer))
}

func (p *parties) runner(t *testing.T, path string) call {
	return withJWT("fleet", p.td.jwt(t, path, issuer))
}

func (p *parties) token(t *testing.T, c call) string {
	t.Helper()
	return string(p.granted(t, c).token.AccessToken)
}

// asks has the workload at a path ask about a token.
func (p *parties) asks(t *testing.T, path, token string) answer {
	t.Helper()
	return p.do(t, call{cert: p.td.svid(t, path), target: "/introspect", form: form("client_id", p.td.id(path), "token", token)})
}

func (p *parties) alive(t *testing.T, token string) bool {
	t.Helper()
	return active(t, p.asks(t, "/api", token))
}

// revoke has a client revoke a token.
func (p *parties) revoke(t *testing.T, c call, token string) answer {
	t.Helper()
	c.target = "/revoke"
	c.set("token", token)
	return p.do(t, c)
}

// TestIntrospectionAndRevocation is IN-1 to IN-4, RV-1 and RV-2 with real parties, and
// that neither a crash nor a restart brings back what was revoked.
func TestIntrospectionAndRevocation(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := prepare(t, revocationConfig+"store: sqlite:svidgate.db\n", td)
	p := &parties{s, td}
	s.run(t)
	token := p.token(t, p.billing(t))

	var members map[string]any
	if a := p.asks(t, "/api", token); json.Unmarshal(a.body, &members) != nil || members["active"] != true ||
		members["sub"] != td.id("/billing") || members["client_id"] != td.id("/billing") || members["iss"] != issuer ||
		members["aud"] != "https://api.example.com/" || members["scope"] != "read" || members["token_type"] != "Bearer" {
		t.Errorf("IN-3 %s", a.body)
	}
	// RS B asks about RS A's token.
	if a := p.asks(t, "/books", token); active(t, a) || a.audit.text("reason") != string(oauth.ReasonTokenNotYours) {
		t.Errorf("IN-2 %s; %v", a.body, a.audit)
	}
	if a := p.asks(t, "/api", "unknown"); active(t, a) || a.audit.text("outcome") != "refused" {
		t.Errorf("IN-2 %s; %v", a.body, a.audit)
	}
	c := p.runner(t, "/ns/a")
	c.target = "/revoke"
	c.set("token", token)
	p.refused(t, c, refusal{"unauthorized_client", oauth.ReasonTokenNotYours, "RV-1"})
	if !p.alive(t, token) {
		t.Error("RV-1 a foreign token is dead")
	}
	for range 2 {
		if a := p.revoke(t, p.billing(t), token); a.status != 200 || len(a.body) != 0 {
			t.Errorf("RV-2 %d %s", a.status, a.body)
		}
	}
	if a := p.revoke(t, p.billing(t), "unknown"); a.status != 200 {
		t.Errorf("RV-2 %d", a.status)
	}
	beside := p.token(t, p.billing(t))
	if p.alive(t, token) || !p.alive(t, beside) {
		t.Error("RV-3 the wrong one is dead")
	}

	s.kill(t)
	s.run(t)
	if p.alive(t, token) || !p.alive(t, beside) {
		t.Error("RV-3 after a crash the wrong one is dead")
	}
}

// TestRevokeCommand is RV-4: what an operator revokes, what stays, and what the record
// and the list say of it.
func TestRevokeCommand(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, revocationConfig+adminAt(shortFolder(t)), td)
	p := &parties{s, td}
	said := func(event string, want string) {
		t.Helper()
		lines := s.record.find(t, "event", event)
		last := lines[len(lines)-1]
		if last.text("revoked") != want || !strings.Contains(last.text("source"), "admin socket, ") || last.text("outcome") != "granted" {
			t.Errorf("the record says %v, want %s", last, want)
		}
	}
	tokens := func() (a, b, billing string) {
		return p.token(t, p.runner(t, "/ns/ci/a")), p.token(t, p.runner(t, "/ns/cd/b")), p.token(t, p.billing(t))
	}
	for _, row := range []struct {
		flag, value               string
		kind                      string
		deadA, deadB, deadBilling bool
	}{
		{"--spiffe-id", td.id("/ns/ci/a"), "spiffe_id", true, false, false},
		{"--spiffe-id-prefix", td.id("/ns/ci/*"), "spiffe_id_prefix", true, false, false},
		{"--client", "fleet", "client", true, true, false},
		{"--client", td.id("/billing"), "client", false, false, true},
		{"--trust-domain", td.name, "trust_domain", true, true, true},
	} {
		t.Run("RV-4 "+row.kind, func(t *testing.T) {
			a, b, billing := tokens()
			if out := s.done(t, "revoke", row.flag, row.value, "--reason", "drill"); !strings.Contains(out, row.kind+" "+row.value+" is revoked up to ") {
				t.Errorf("%q", out)
			}
			if p.alive(t, a) == row.deadA || p.alive(t, b) == row.deadB || p.alive(t, billing) == row.deadBilling {
				t.Errorf("alive: %t %t %t", p.alive(t, a), p.alive(t, b), p.alive(t, billing))
			}
			said("admin_revoke", row.kind+" "+row.value)
			revoked := time.Now().Unix() // tokens have whole seconds
			until(t, "the next second", func() bool { return time.Now().Unix() > revoked })
			a, b, billing = tokens()
			if !p.alive(t, a) || !p.alive(t, b) || !p.alive(t, billing) {
				t.Error("what was issued later is dead")
			}
		})
	}
	t.Run("RV-4 jti", func(t *testing.T) {
		g := p.granted(t, p.billing(t))
		_, b, _ := tokens()
		s.done(t, "revoke", "--jti", g.claim("jti"))
		if p.alive(t, string(g.token.AccessToken)) || !p.alive(t, b) {
			t.Error("the wrong one is dead")
		}
	})
	t.Run("RV-4 kid", func(t *testing.T) {
		g := p.granted(t, p.billing(t))
		done := asJSON[admin.Revocation](t, s, "revoke", "--key", g.keyID, "--reason", "leaked")
		if done.Kind != "kid" || done.Value != g.keyID || done.Reason != "leaked" {
			t.Errorf("%+v", done)
		}
		s.mu.Lock()
		s.keys = nil // they are others now
		s.mu.Unlock()
		after := p.granted(t, p.billing(t))
		if p.alive(t, string(g.token.AccessToken)) || !p.alive(t, string(after.token.AccessToken)) || after.keyID == g.keyID {
			t.Error("KR-3 the wrong key is dead")
		}
		for _, k := range s.jwks(t).Keys {
			if k.KeyID == g.keyID {
				t.Error("KR-3 the key is published")
			}
		}
	})
	t.Run("list", func(t *testing.T) {
		all := asJSON[[]admin.Revocation](t, s, "revoke", "list")
		if len(all) != 7 || all[0].Kind != "kid" || !strings.Contains(all[0].By, "admin socket, ") {
			t.Errorf("%+v", all)
		}
		rows := strings.Split(strings.TrimSuffix(s.done(t, "revoke", "list"), "\n"), "\n")
		if len(rows) != 8 || !strings.HasPrefix(rows[0], "KIND ") || !strings.Contains(rows[1], "leaked") {
			t.Errorf("%q", rows)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		for _, row := range []struct{ flag, known, unknown string }{
			{"--client", "fleet", "fleeet"},
			{"--spiffe-id", td.id("/ns/ci/a"), td.id("/sn/ci/a")},
			{"--trust-domain", td.name, "example.or"},
		} {
			if out := s.done(t, "revoke", row.flag, row.known); strings.Contains(out, "mind the spelling") || !strings.Contains(out, "the store is in memory") {
				t.Errorf("%s is known: %s", row.known, out)
			}
			if out := s.done(t, "revoke", row.flag, row.unknown); !strings.Contains(out, "is revoked up to ") || !strings.Contains(out, "mind the spelling: "+row.unknown+": ") {
				t.Errorf("%s is not known: %s", row.unknown, out)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		before := s.operated(t)
		s.refuses(t, "no key has this kid", "revoke", "--key", "nobody")
		s.refuses(t, "there is no such grant", "revoke", "--grant", "nobody")
		s.refuses(t, "cannot be revoked", "revoke", "--spiffe-id", "spiffe://example.org/ns/*")
		s.refuses(t, "cannot be revoked", "revoke", "--spiffe-id-prefix", "spiffe://example.org/ns")
		s.refuses(t, "cannot be revoked", "revoke", "--trust-domain", "Example.org")
		s.refuses(t, "cannot be revoked", "revoke", "--client", "a b")
		s.refuses(t, "exactly one of --jti", "revoke")
		s.refuses(t, "exactly one of --jti", "revoke", "--client", "a", "--jti", "b")
		if s.operated(t) != before {
			t.Error("what was refused is in the record")
		}
	})
}

// TestRevokeOneOfAThousand is RV-4 in numbers: one workload of a thousand, all of one
// client, is cut off, and the 999 others are not.
func TestRevokeOneOfAThousand(t *testing.T) {
	t.Parallel()
	const workloads, bad = 1000, 613
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, revocationConfig+adminAt(shortFolder(t)), td)
	p := &parties{s, td}
	public := s.dial(t, "public", tlsConfig("public", nil))
	var tokens []string
	for i := range workloads {
		tokens = append(tokens, string(public.granted(t, p.runner(t, fmt.Sprintf("/ns/ci/%d", i))).token.AccessToken))
	}
	s.done(t, "revoke", "--spiffe-id", td.id(fmt.Sprintf("/ns/ci/%d", bad)))
	api := td.svid(t, "/api")
	mutual := s.dial(t, "mtls", tlsConfig("mtls", api))
	for i, token := range tokens {
		c := call{cert: api, target: "/introspect", form: form("client_id", td.id("/api"), "token", token)}
		if active(t, mutual.do(t, c)) == (i == bad) {
			t.Errorf("RV-4 workload %d: dead %t", i, i != bad)
		}
	}
}

// TestRevocationIsShared has two processes on one store and one set of keys: what one
// revokes the other knows, too.
func TestRevocationIsShared(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	shared := t.TempDir()
	config := revocationConfig + fmt.Sprintf("store: sqlite:%s\nkeys: {file: %q}\n", filepath.Join(shared, "s.db"), filepath.Join(shared, "keys.json"))
	one, other := &parties{start(t, config, td), td}, &parties{start(t, config, td), td}
	token := one.token(t, one.billing(t))
	if !one.alive(t, token) || !other.alive(t, token) {
		t.Fatal("dead before it was revoked")
	}
	if a := one.revoke(t, one.billing(t), token); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if one.alive(t, token) {
		t.Error("it is alive where it was revoked")
	}
	until(t, "the other process knows", func() bool { return !other.alive(t, token) })
	if _, err := os.Stat(filepath.Join(shared, "s.db")); err != nil {
		t.Error(err)
	}
}
