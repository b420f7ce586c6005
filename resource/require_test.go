package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// hello answers with the caller's subject.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := CallerFrom(r.Context())
	if !ok {
		http.Error(w, "no caller", http.StatusTeapot)
		return
	}
	io.WriteString(w, c.Subject())
})

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestRequireAnswers(t *testing.T) {
	const (
		byKey     = `DPoP realm="api", algs="EdDSA RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512"`
		invalid   = `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here.", scope="read", ` + byKey
		noScope   = `Bearer realm="api", error="insufficient_scope", error_description="The access token does not carry the scope this needs.", scope="admin read"`
		request   = `Bearer realm="api", error="invalid_request", error_description="The request is malformed or breaks a rule of this endpoint.", scope="read"`
		anonymous = `Bearer realm="api", scope="read", ` + byKey
		algs      = `, scope="read", algs="EdDSA RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512"`
		badToken  = `DPoP realm="api", error="invalid_token", error_description="The access token is not valid here."` + algs
		badProof  = `DPoP realm="api", error="invalid_dpop_proof", error_description="The DPoP proof is not valid for this request."` + algs
	)
	for _, row := range []struct {
		name      string
		change    func(*presentation)
		status    int
		challenge string
		body      string
	}{
		{"LR-2 no credentials: no error code", values(func(string) []string { return nil }), 401, anonymous, ""},
		{"LR-2 another scheme: no error code", values(func(string) []string { return []string{"Basic eDp5"} }), 401, anonymous, ""},
		{"LR-2 two headers", values(func(t string) []string { return []string{"Bearer " + t, "Bearer " + t} }), 400, request,
			`{"error":"invalid_request","error_description":"The request is malformed or breaks a rule of this endpoint."}`},
		{"LR-3 expired", set("exp", at(-time.Hour)), 401, invalid, `{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"LR-3 bad signature", func(p *presentation) { p.key = keyOf("", "ES256", "p256b") }, 401, invalid,
			`{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"RS-4 no certificate", both(boundTo(leaf(t)), func(p *presentation) { p.peers = nil }), 401, invalid,
			`{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"LR-3 scope", need("admin", "read"), 403, noScope,
			`{"error":"insufficient_scope","error_description":"The access token does not carry the scope this needs."}`},
		{"DP-5 a token bound to a key as Bearer", both(keyed("p256b", "ES256"), values(func(t string) []string { return []string{"Bearer " + t} })), 401, invalid,
			`{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"DP-8 a proof for another method", both(keyed("p256b", "ES256"), said("htm", "PUT")), 401, badProof,
			`{"error":"invalid_dpop_proof","error_description":"The DPoP proof is not valid for this request."}`},
		{"DP-8 no proof", both(keyed("p256b", "ES256"), proofs(func(string) []string { return nil })), 401, badToken,
			`{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"DP-4 a proof by another key", both(keyed("p256b", "ES256"), by("p256", "ES256")), 401, badToken,
			`{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"LR-3 a token bound to a key, expired", both(keyed("p256b", "ES256"), set("exp", at(-time.Hour))), 401, badToken,
			`{"error":"invalid_token","error_description":"The access token is not valid here."}`},
		{"DP-5 accepted", keyed("p256b", "ES256"), 200, "", worker},
		{"LD-3 keys unavailable", source(func() (*KeySet, error) { return nil, ErrKeysUnavailable }), 503, "", ""},
		{"accepted", func(*presentation) {}, 200, "", worker},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPresentation()
			row.change(p)
			v := newVerifier(t, append(p.config, func(c *Config) { c.Realm = "api" })...)
			resp := serve(v.Require(p.scopes...)(hello), p.request())
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != row.status || strings.TrimSpace(string(body)) != row.body {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
			if got := strings.Join(resp.Header["Www-Authenticate"], "|"); got != row.challenge {
				t.Errorf("challenge\n got %s\nwant %s", got, row.challenge)
			}
			if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(resp.Header.Get("Request-Id")) {
				t.Errorf("Request-Id is %q", resp.Header.Get("Request-Id"))
			}
			if row.status != 200 && resp.Header.Get("Cache-Control") != "no-store" {
				t.Error("GL-6 the refusal may be cached")
			}
			if (resp.Header.Get("Retry-After") != "") != (row.status == 503) {
				t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
			}
			if row.body != "" && row.status != 200 && resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type is %q", resp.Header.Get("Content-Type"))
			}
		})
	}
}

func TestRealmIsTheResourceByDefault(t *testing.T) {
	if got := newVerifier(t).Challenge(&oauth.Error{Code: oauth.InvalidToken, Reason: oauth.ReasonTokenMissing}); !strings.HasPrefix(got, `Bearer realm="`+api+`", DPoP realm="`+api+`", algs="`) {
		t.Errorf("got %s", got)
	}
}

// Whatever refuses, a stranger reads one sentence per code (ER-3), and the log
// has the rest without the token (F50, AK-31).
func TestLogHasTheReasonAndNeverTheToken(t *testing.T) {
	answers := map[string]bool{}
	for _, row := range ruleRows(t) {
		var log bytes.Buffer
		p := newPresentation()
		row.bad(p)
		v := newVerifier(t, append(p.config, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })...)
		need := slices.DeleteFunc(slices.Clone(p.scopes), func(s string) bool { return !scopeToken(s) })
		if len(need) != len(p.scopes) {
			continue
		}
		sent := p.request()
		resp := serve(v.Require(need...)(hello), sent)
		body, _ := io.ReadAll(resp.Body)
		answers[string(body)] = true

		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s: not one line of JSON: %s", row.name, &log)
			continue
		}
		rule, _, _ := strings.Cut(row.name, " ")
		if line["rule"] != rule || line["reason"] != string(row.reason) || line["request_id"] != resp.Header.Get("Request-Id") || line["expected"] == "" || line["presented"] == "" {
			t.Errorf("%s: %s", row.name, &log)
		}
		secrets := strings.Split(p.sign(), ".")
		for _, proof := range sent.Header["Dpop"] {
			secrets = append(secrets, strings.Split(proof, ".")...)
		}
		for _, part := range secrets {
			if len(part) > 20 && strings.Contains(log.String(), part) {
				t.Errorf("%s: a part of the token or of the proof is in the log: %s", row.name, &log)
			}
		}
	}
	if len(answers) > 6 { // invalid_token, invalid_dpop_proof, use_dpop_nonce, invalid_request, insufficient_scope, none
		t.Errorf("the answers tell reasons apart: %v", answers)
	}
}

func TestRequestID(t *testing.T) {
	v := newVerifier(t)
	var inside string
	h := v.Require()(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = RequestID(r.Context()) }))
	answered := func(ctx context.Context) string {
		r := newPresentation().request().WithContext(ctx)
		r.Header.Set("Request-Id", "of-the-caller")
		return serve(h, r).Header.Get("Request-Id")
	}
	if got := answered(WithRequestID(t.Context(), "abc-123")); got != "abc-123" || inside != got {
		t.Errorf("the context's id: answered %q, inside %q", got, inside)
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", "a\r\nX: y", `"`, strings.Repeat("a", 129), "\x00"} {
		got := answered(WithRequestID(t.Context(), id))
		if got == id || len(got) != 32 || inside != got || seen[got] {
			t.Errorf("%q: answered %q, inside %q", id, got, inside)
		}
		seen[got] = true
	}
	if RequestID(t.Context()) != "" {
		t.Error("an id from nowhere")
	}
}

func TestRequireRefusesToBeBuilt(t *testing.T) {
	v := newVerifier(t)
	v.Require("read", "https://example.com/scope:a.b")
	for _, scope := range []string{"", "read write", `re"ad`, "r\\", "é"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is taken for a scope", scope)
				}
			}()
			v.Require(scope)
		}()
	}
}

// An outer Require does not stand in for an inner one.
func TestNestedRequire(t *testing.T) {
	v := newVerifier(t)
	for inner, want := range map[string]int{"write": 200, "admin": 403} {
		resp := serve(v.Require("read")(v.Require(inner)(hello)), newPresentation().request())
		if resp.StatusCode != want || len(resp.Header["Request-Id"]) != 1 {
			t.Errorf("%s: got %d, %v", inner, resp.StatusCode, resp.Header["Request-Id"])
		}
	}
}
