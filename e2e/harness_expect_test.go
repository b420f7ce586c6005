package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/oauth"
)

// A refusal is what a row expects: what the caller is told, and what only the
// operator learns. A code in parentheses has no body.
type refusal struct {
	code   string
	reason oauth.Reason
	rule   string
}

// statuses are those of RFC 6749 section 5.2 and client-authentication section
// 14, written down here a second time.
var statuses = map[string]int{
	"invalid_request": 400, "invalid_client": 401, "unauthorized_client": 400, "unsupported_grant_type": 400,
	"invalid_scope": 400, "invalid_target": 400, "invalid_grant": 400, "unsupported_response_type": 400, "request_not_supported": 400, "use_attestation_challenge": 400,
	"(too_large)": 413, "(too_many)": 429, "(unavailable)": 503,
}

// A row is one defect beside a request that is accepted.
type row struct {
	name   string // the rule and the defect
	twin   func(*call)
	defect func(*call)
	want   refusal
}

// each runs a table: per row the base as the twin has it, accepted, and the same
// with the defect, refused.
func (s *server) each(t *testing.T, base func() call, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			good := base()
			if row.twin != nil {
				row.twin(&good)
			}
			s.granted(t, good)
			bad := base()
			row.defect(&bad)
			s.refused(t, bad, row.want)
		})
	}
}

// granted makes a call that gets a token, and checks the token.
func (s *server) granted(t *testing.T, c call) granted {
	t.Helper()
	conn := s.dial(t, c.listener(), tlsConfig(c.listener(), c.cert))
	defer conn.Close()
	return conn.granted(t, c)
}

func (conn *connection) granted(t *testing.T, c call) granted {
	t.Helper()
	a := conn.do(t, c)
	if a.status != http.StatusOK {
		t.Fatalf("status %d %s; audit %v", a.status, a.body, a.audit)
	}
	return conn.s.examine(t, a)
}

// granted is an answer with a token, and what the token says.
type granted struct {
	answer
	claims map[string]any
	keyID  string
}

func (g granted) claim(name string) string { s, _ := g.claims[name].(string); return s }

// number is a claim in seconds.
func (g granted) number(name string) int64 { f, _ := g.claims[name].(float64); return int64(f) }

// thumbprint is the certificate that the token is bound to.
func (g granted) thumbprint() string {
	cnf, _ := g.claims["cnf"].(map[string]any)
	s, _ := cnf["x5t#S256"].(string)
	return s
}

// key is the key that the token is bound to.
func (g granted) key() string {
	cnf, _ := g.claims["cnf"].(map[string]any)
	s, _ := cnf["jkt"].(string)
	return s
}

// examine verifies the token with another library and compares what the answer,
// the token and the audit line say of each other.
func (s *server) examine(t *testing.T, a answer) granted {
	t.Helper()
	if kind := a.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("TK-6 Content-Type %q", kind)
	}
	var members map[string]any
	if err := json.Unmarshal(a.body, &members); err != nil {
		t.Fatal(err)
	}
	for name := range members {
		if !slices.Contains([]string{"access_token", "token_type", "expires_in", "scope", "refresh_token"}, name) {
			t.Errorf("TK-6 the answer has a member %s", name)
		}
	}
	if s.record != nil && (a.audit["grant_id"] == nil) && a.token.RefreshToken != "" {
		t.Error("TK-8 there is a refresh token, and no person granted anything")
	}
	parsed, err := jose.ParseSignedCompact(string(a.token.AccessToken), []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	g := granted{answer: a, keyID: parsed.Signatures[0].Header.KeyID}
	payload, err := parsed.Verify(s.jwks(t))
	if err != nil {
		t.Fatalf("the token does not verify with the published keys: %v", err)
	}
	if err := json.Unmarshal(payload, &g.claims); err != nil {
		t.Fatal(err)
	}
	if typ := parsed.Signatures[0].Header.ExtraHeaders["typ"]; typ != "at+jwt" {
		t.Errorf("AT-1 typ %v", typ)
	}
	for _, pair := range [][2]string{
		{"iss", s.issuer}, {"sub", a.audit.text("subject")}, {"client_id", a.audit.text("client_id")},
		{"aud", a.audit.text("resource")}, {"jti", a.audit.text("jti")}, {"scope", a.audit.text("scope")}, {"scope", a.token.Scope},
	} {
		if s.record != nil && g.claim(pair[0]) != pair[1] {
			t.Errorf("AT-2 %s is %q, not %q", pair[0], g.claim(pair[0]), pair[1])
		}
	}
	tokenType := "Bearer"
	if g.key() != "" {
		tokenType = "DPoP"
	}
	if a.token.TokenType != tokenType || a.token.ExpiresIn != g.number("exp")-g.number("iat") || a.token.ExpiresIn < 1 {
		t.Errorf("TK-6 token_type %q, expires_in %d, exp-iat %d", a.token.TokenType, a.token.ExpiresIn, g.number("exp")-g.number("iat"))
	}
	if s.record != nil && (a.audit.text("outcome") != "granted" || a.audit["reason"] != nil) {
		t.Errorf("audit line %v", a.audit)
	}
	return g
}

// jwks are the published keys, which do not change while a server runs.
func (s *server) jwks(t *testing.T) *jose.JSONWebKeySet {
	t.Helper()
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	if keys != nil {
		return keys
	}
	path := strings.TrimPrefix(s.issuer, issuer)
	a := s.do(t, call{method: http.MethodGet, target: strings.TrimSuffix(path, "/") + "/jwks.json"})
	keys = &jose.JSONWebKeySet{}
	if err := json.Unmarshal(a.body, keys); err != nil || a.status != http.StatusOK {
		t.Fatalf("jwks.json: status %d, %v", a.status, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
	return keys
}

// refused makes a call that is refused in exactly this way.
func (s *server) refused(t *testing.T, c call, want refusal) answer {
	t.Helper()
	conn := s.dial(t, c.listener(), tlsConfig(c.listener(), c.cert))
	defer conn.Close()
	return conn.refused(t, c, want)
}

func (conn *connection) refused(t *testing.T, c call, want refusal) answer {
	t.Helper()
	a := conn.do(t, c)
	if a.status != statuses[want.code] {
		t.Fatalf("status %d %s, want %d; audit %v", a.status, a.body, statuses[want.code], a.audit)
	}
	// ER-3: one body per code, whatever the reason.
	if want.code[0] == '(' {
		if len(a.body) != 0 {
			t.Errorf("a body: %s", a.body)
		}
	} else {
		golden(t, "error/"+want.code, a.body)
		if kind := a.header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("ER-1 Content-Type %q", kind)
		}
	}
	if retry := a.header.Get("Retry-After"); (retry != "") != (a.status == 429 || a.status == 503) {
		t.Errorf("status %d with Retry-After %q", a.status, retry)
	}
	// ER-3: nor do the headers tell.
	names := slices.Sorted(maps.Keys(a.header))
	allowed := []string{"Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Request-Id", "Retry-After", "Www-Authenticate", "X-Content-Type-Options"}
	if want.code == "use_attestation_challenge" {
		allowed = append(allowed, "Oauth-Client-Attestation-Challenge")
	}
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			t.Errorf("a header %s: %s", name, a.header.Get(name))
		}
	}
	if conn.s.record != nil {
		got := fmt.Sprintf("%s %s %s", a.audit.text("outcome"), a.audit.text("reason"), a.audit.text("rule"))
		if got != fmt.Sprintf("refused %s %s", want.reason, want.rule) {
			t.Errorf("audit says %s (expected %q, presented %q), want %s %s",
				got, a.audit.text("expected"), a.audit.text("presented"), want.reason, want.rule)
		}
		for _, member := range []string{"jti", "key_id", "binding", "expires"} {
			if a.audit[member] != nil {
				t.Errorf("a refused request has %s in its audit line", member)
			}
		}
	}
	conn.s.loggedOnce(t, a.id, want)
	return a
}

// loggedOnce looks for the log line of a refusal.
func (s *server) loggedOnce(t *testing.T, id string, want refusal) {
	t.Helper()
	var found []line
	for _, l := range s.log.find(t, "request_id", id) {
		if l.text("msg") == "refused" {
			found = append(found, l)
		}
	}
	if len(found) != 1 || found[0].text("reason") != string(want.reason) || found[0].text("rule") != want.rule || found[0].text("next") == "" {
		t.Errorf("the log has %d lines: %v; want %s %s and the next thing to do", len(found), found, want.reason, want.rule)
	}
}

// form is what a caller of the token endpoint sends, name after value.
func form(pairs ...string) url.Values {
	f := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

// withJWT is a call with a JWT-SVID; an empty clientID is not sent.
func withJWT(clientID, assertion string) call {
	c := call{form: form("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE, "client_assertion", assertion)}
	if clientID != "" {
		c.set("client_id", clientID)
	}
	return c
}

// reasonsSeen are the reasons that the audit records of this run have.
type reasonsSeen struct {
	mu      sync.Mutex
	reasons map[string]int
}

func (r *reasonsSeen) note(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reasons[reason]++
}

// unseen are the reasons that the server has and no test met.
func (r *reasonsSeen) unseen(not []oauth.Reason) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var missing []string
	for _, text := range oauth.ReasonTexts() {
		if r.reasons[string(text.Reason)] == 0 && !slices.Contains(not, text.Reason) {
			missing = append(missing, string(text.Reason))
		}
	}
	return missing
}

// indented makes JSON fit to be compared by eye.
func indented(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(b), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return []byte(strings.TrimSpace(out.String()) + "\n")
}
