package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// The one door through which refusals leave, code by code (ER-1 to ER-3).
func TestRefusals(t *testing.T) {
	secret := "s3cr3t\r\nX-Injected: 1\""
	for _, row := range []struct {
		code   oauth.ErrorCode
		scheme string // of an Authorization header
		status int
		body   bool
		header map[string]string
	}{
		{oauth.InvalidRequest, "", 400, true, nil},
		{oauth.InvalidClient, "", 401, true, nil},
		{oauth.InvalidClient, "basic", 401, true, map[string]string{"WWW-Authenticate": `Basic realm="token endpoint"`}},
		{oauth.InvalidClient, "bearer", 401, true, map[string]string{"WWW-Authenticate": `Bearer realm="token endpoint"`}},
		{oauth.InvalidClient, "negotiate\r\nx", 401, true, nil},
		{oauth.InvalidRequest, "basic", 400, true, nil},
		{oauth.InvalidGrant, "", 400, true, nil},
		{oauth.UnauthorizedClient, "", 400, true, nil},
		{oauth.UnsupportedGrantType, "", 400, true, nil},
		{oauth.InvalidScope, "", 400, true, nil},
		{oauth.InvalidTarget, "", 400, true, nil},
		{oauth.ServerError, "", 500, true, nil},
		{oauth.Unavailable, "", 503, false, map[string]string{"Retry-After": "1"}},
		{oauth.TooLarge, "", 413, false, map[string]string{"Connection": "close"}},
		{oauth.TooMany, "", 429, false, map[string]string{"Retry-After": "1"}},
		{oauth.ErrorCode("made_up"), "", 500, false, nil},
	} {
		t.Run(string(row.code)+" "+row.scheme, func(t *testing.T) {
			s := newSite(t)
			w := httptest.NewRecorder()
			answer, r := respond(w), httptest.NewRequest(http.MethodPost, testidentity.TokenURL, nil)
			rec := s.server.newRecord(tokenrequest.Endpoint{Name: audit.EventToken}, r, answer.requestID)
			rec.scheme = row.scheme
			s.server.refuse(answer, r, rec, oauth.Refuse(row.code, oauth.ReasonInternal, "XX-1", secret, secret).Because(errors.New(secret)))
			if w.Code != row.status {
				t.Errorf("status %d, want %d", w.Code, row.status)
			}
			want := map[string]string{"Cache-Control": "no-store"}
			for name, value := range row.header {
				want[name] = value
			}
			if row.body {
				want["Content-Type"] = "application/json"
			}
			for _, name := range []string{"Cache-Control", "Content-Type", "WWW-Authenticate", "Retry-After", "Connection", "X-Injected"} {
				if got := w.Header().Get(name); got != want[name] {
					t.Errorf("%s is %q, want %q", name, got, want[name])
				}
			}
			if strings.Contains(w.Body.String(), "s3cr3t") || strings.Contains(w.Body.String(), "XX-1") || strings.Contains(w.Body.String(), "internal") {
				t.Errorf("ER-3 the caller is told: %s", w.Body)
			}
			if !row.body {
				if w.Body.Len() > 0 {
					t.Errorf("there is a body: %s", w.Body)
				}
			} else {
				var body map[string]string
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
					t.Fatal(err)
				}
				if want := map[string]string{"error": string(row.code), "error_description": row.code.Description()}; !reflect.DeepEqual(body, want) || want["error_description"] == "" {
					t.Errorf("ER-1 the body is %v, want %v", body, want)
				}
				for _, c := range body["error"] + body["error_description"] {
					if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
						t.Errorf("GL-7 the character %q", c)
					}
				}
			}
			lines := s.lines(t)
			if len(lines) != 1 || lines[0]["outcome"] != "refused" || lines[0]["reason"] != "internal" || lines[0]["rule"] != "XX-1" {
				t.Errorf("TK-9 the record is %v", lines)
			}
			if n := strings.Count(s.log.String(), "\n"); n != 1 || !json.Valid(s.log.Bytes()) {
				t.Errorf("AK-31 the log has %d lines: %s", n, s.log.String())
			}
		})
	}
}

// Where a decision cannot be recorded it is not given: no token leaves, and no
// refusal says anything but that (GL-15, AU-6).
func TestNothingUnrecorded(t *testing.T) {
	for name, form := range map[string]func(*testing.T, *site) *httptest.ResponseRecorder{
		"a grant":   func(t *testing.T, s *site) *httptest.ResponseRecorder { return post(s.server.Public(), s.good(t), nil) },
		"a refusal": func(t *testing.T, s *site) *httptest.ResponseRecorder { return post(s.server.Public(), s.bad(t), nil) },
		"a malformed request": func(t *testing.T, s *site) *httptest.ResponseRecorder {
			return post(s.server.Public(), nil, nil)
		},
	} {
		t.Run("GL-15 "+name, func(t *testing.T) {
			s := newSite(t)
			if err := s.config.Audit.Close(); err != nil {
				t.Fatal(err)
			}
			w := form(t, s)
			if w.Code != http.StatusServiceUnavailable || w.Body.Len() > 0 || w.Header().Get("Retry-After") == "" {
				t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
			}
			if len(s.lines(t)) != 0 {
				t.Error("something was recorded after all")
			}
			if got := counted(t, s, "svidgate_tokens_issued_total"); got != 0 {
				t.Errorf("%v tokens were counted", got)
			}
		})
	}
}

// The token leaves after its line is written, and the line is of that token.
func TestGrantIsRecorded(t *testing.T) {
	s := newSite(t)
	w := post(s.server.Public(), s.good(t), nil)
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("TK-6 %d %v %s", w.Code, w.Header(), w.Body)
	}
	lines := s.lines(t)
	if len(lines) != 1 {
		t.Fatalf("TK-9 %d lines", len(lines))
	}
	for name, want := range map[string]any{
		"event": "token", "outcome": "granted", "client_id": billing, "spiffe_id": billing, "trust_domain": "example.org",
		"auth_method": "spiffe_jwt", "grant_type": "client_credentials", "resource": api, "scope": "read", "binding": "bearer",
		"endpoint": "/token", "source": "192.0.2.1", "reason": nil, "rule": nil, "bundle_sequence": 1.0, "policy_rule": "client " + billing,
	} {
		if lines[0][name] != want {
			t.Errorf("AU-1 %s is %v, want %v", name, lines[0][name], want)
		}
	}
	for _, name := range []string{"jti", "key_id", "expires", "txn", "request_id", "svid_sha256", "seq", "prev", "time"} {
		if lines[0][name] == nil {
			t.Errorf("AU-1 %s is missing", name)
		}
	}
}
