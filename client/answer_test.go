package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

func TestParseToken(t *testing.T) { // RFC 6749 section 5.1, TK-6
	const good = `{"access_token":"secret","token_type":"Bearer","expires_in":300,"scope":"read"}`
	for name, tt := range map[string]struct {
		body    string
		scope   string
		expires int64
	}{
		"whole":                      {good, "read", 300},
		"lower-case type":            {`{"access_token":"secret","token_type":"bearer","expires_in":300,"scope":"read"}`, "read", 300},
		"scope left out":             {`{"access_token":"secret","token_type":"Bearer","expires_in":300}`, "asked", 300},
		"less scope than asked":      {`{"access_token":"secret","token_type":"Bearer","expires_in":300,"scope":""}`, "", 300},
		"lifetime left out":          {`{"access_token":"secret","token_type":"Bearer","scope":"read"}`, "read", 0},
		"members nobody asked about": {`{"access_token":"secret","token_type":"Bearer","expires_in":1,"scope":"read","id_token":[{}]}`, "read", 1},
	} {
		t.Run(name, func(t *testing.T) {
			token, expires, err := parseToken([]byte(tt.body), "asked", nil)
			if err != nil || string(token.AccessToken) != "secret" || token.TokenType != "Bearer" || token.Scope != tt.scope || expires != tt.expires {
				t.Fatalf("got %+v, %d, %v", token, expires, err)
			}
		})
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"no token", `"access_token":"secret",`, ``, "access_token"},
		{"empty token", `"secret"`, `""`, "access_token"},
		{"token with a line break", `"secret"`, `"secret\r\nX-Evil: 1"`, "access_token"},
		{"token with a space", `"secret"`, `"sec ret"`, "access_token"},
		{"token that is a number", `"secret"`, `1`, "access_token"},
		{"no type", `"token_type":"Bearer",`, ``, "token_type"},
		{"DP-4 DPoP, and no key was shown", `"Bearer"`, `"DPoP"`, `token_type is DPoP, and this client has shown no key`},
		{"N_A", `"Bearer"`, `"N_A"`, "token_type"},
		{"type in look-alike letters", `"Bearer"`, `"Bearеr"`, "token_type"},
		{"lifetime as text", `300`, `"300"`, "expires_in"},
		{"negative lifetime", `300`, `-1`, "expires_in"},
		{"expired already", `300`, `0`, "expired"},
		{"fraction", `300`, `300.5`, "expires_in"},
		{"scope that is an array", `"read"`, `["read"]`, "scope"},
		{"GL-11 two tokens", `"access_token":"secret"`, `"access_token":"secret","access_token":"other"`, "twice"},
		{"no JSON", good, `access_token=secret`, "JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := parseToken([]byte(strings.Replace(good, tt.old, tt.new, 1)), "", nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Fatalf("the error shows the token: %v", err)
			}
		})
	}
}

func TestTokenPrintsRedacted(t *testing.T) { // AU-2
	token := Token{AccessToken: "canary"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, token); strings.Contains(s, "canary") {
			t.Errorf("%s shows the token: %s", format, s)
		}
		if s := fmt.Sprintf(format, &token); strings.Contains(s, "canary") {
			t.Errorf("%s of a pointer shows the token: %s", format, s)
		}
	}
}

func TestTokenLease(t *testing.T) { // LD-5
	sent := time.Unix(1e9, 0)
	for _, tt := range []struct {
		name            string
		expiresIn       int64
		life, waitsLast time.Duration
	}{
		{"five minutes", 300, 5 * time.Minute, 10 * time.Second},
		{"ten seconds", 10, 10 * time.Second, time.Second},
		{"one second", 1, time.Second, 100 * time.Millisecond},
		{"unknown", 0, time.Minute, 6 * time.Second},
		{"beyond all measure", 1 << 62, longestLife, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			early, late := tt.life, time.Duration(0)
			for range 200 {
				l := Token{}.lease(sent, tt.expiresIn)
				if l.end != sent.Add(tt.life) || l.value.ExpiresAt != l.end || l.end.Sub(l.waitAt) != tt.waitsLast {
					t.Fatalf("got %+v", l)
				}
				renew := l.renewAt.Sub(sent)
				early, late = min(early, renew), max(late, renew)
			}
			if early < tt.life/2 || late > tt.life*8/10 {
				t.Fatalf("renewed between %v and %v, want within 50 to 80 %% of %v", early, late, tt.life)
			}
			if late-early < tt.life/10 {
				t.Fatalf("F38: renewed between %v and %v of %v, hardly any jitter", early, late, tt.life)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	jsonHeader := func(extra ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json"}, "Request-Id": {"req-7"}}
		for i := 0; i < len(extra); i += 2 {
			h.Set(extra[i], extra[i+1])
		}
		return h
	}
	for _, tt := range []struct {
		name   string
		answer answer
		code   oauth.ErrorCode
		is     error
		wait   time.Duration
		says   []string
		hides  []string
	}{
		{"invalid_client", answer{401, jsonHeader(), []byte(`{"error":"invalid_client","error_description":"Client authentication failed."}`)},
			oauth.InvalidClient, oauth.InvalidClient, 0, []string{"401", "invalid_client", "registered", "request id req-7", "spiffe_jwt", "spiffe://example.org/a"}, []string{"clock"}},
		{"F18 clocks apart", answer{401, jsonHeader("Date", now.Add(-95*time.Second).Format(http.TimeFormat)), []byte(`{"error":"invalid_client"}`)},
			oauth.InvalidClient, oauth.InvalidClient, 0, []string{"95 s ahead"}, nil},
		{"invalid_target", answer{400, jsonHeader(), []byte(`{"error":"invalid_target"}`)},
			oauth.InvalidTarget, oauth.InvalidTarget, 0, []string{"https://api.example.com/"}, nil},
		{"AK-31 description that forges a log line", answer{400, jsonHeader(), []byte(`{"error":"invalid_scope","error_description":"a\nlevel=ERROR \"x\""}`)},
			oauth.InvalidScope, oauth.InvalidScope, 0, []string{"a?level=ERROR"}, []string{"\n"}},
		{"endless description", answer{400, jsonHeader(), []byte(`{"error":"invalid_scope","error_description":"` + strings.Repeat("x", 5000) + `"}`)},
			oauth.InvalidScope, oauth.InvalidScope, 0, nil, []string{strings.Repeat("x", 201)}},
		{"body that is no JSON", answer{502, http.Header{"Content-Type": {"text/html"}}, []byte(`<html>canary</html>`)},
			"", nil, 0, []string{"502", "proxy"}, []string{"canary", "request id"}},
		{"503 with seconds", answer{503, http.Header{"Retry-After": {"30"}}, nil}, "", oauth.Unavailable, 30 * time.Second, []string{"503"}, nil},
		{"503 with a date", answer{503, http.Header{"Retry-After": {now.Add(time.Minute).Format(http.TimeFormat)}}, nil}, "", oauth.Unavailable, time.Minute, nil, nil},
		{"503 with a date that is over", answer{503, http.Header{"Retry-After": {now.Add(-time.Minute).Format(http.TimeFormat)}}, nil}, "", oauth.Unavailable, 0, nil, nil},
		{"429 with nonsense", answer{429, http.Header{"Retry-After": {"-5"}}, nil}, "", oauth.TooMany, 0, []string{"429"}, nil},
		{"redirect", answer{307, http.Header{"Location": {"https://elsewhere.example"}}, nil}, "", nil, 0, []string{"redirects are not followed"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := tt.answer.refusal(now)
			e.Endpoint, e.ClientID, e.Method = "https://as.example.com/token", "spiffe://example.org/a", oauth.MethodJWT
			e.Resource = "https://api.example.com/"
			if e.Code != tt.code || e.RetryAfter != tt.wait || e.Unwrap() != tt.is {
				t.Fatalf("got %+v, unwraps to %v", e, e.Unwrap())
			}
			for _, s := range tt.says {
				if !strings.Contains(e.Error(), s) {
					t.Errorf("does not say %q: %s", s, e)
				}
			}
			for _, s := range tt.hides {
				if strings.Contains(e.Error(), s) {
					t.Errorf("says %q: %s", s, e)
				}
			}
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"secret","token_type":"Bearer","expires_in":300,"scope":"read"}`))
	f.Add([]byte(`{"error":"invalid_client","error_description":"no"}`))
	f.Add([]byte(`{"access_token":"a\nb"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		token, expires, err := parseToken(body, "asked", nil)
		if err == nil && (!isVisible(string(token.AccessToken)) || expires < 0) {
			t.Fatalf("accepted %+v", token)
		}
		again, _, err2 := parseToken(body, "asked", nil)
		if (err == nil) != (err2 == nil) || token != again {
			t.Fatal("two answers")
		}
		code, description := parseRefusal(body)
		for _, s := range []string{string(code), description} {
			if len(s) > 210 || strings.ContainsAny(s, "\r\n\"\\") {
				t.Fatalf("AK-31: %q would go into a log", s)
			}
		}
	})
}
