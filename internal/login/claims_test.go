package login

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/oauth"
)

// TestPersonOfClaims: who the claims of an ID token say somebody is (CC-3, BC-6, AT-3).
func TestPersonOfClaims(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		user   string // the claim that is configured
		claims string
		want   string // the subject; empty for a refusal
	}{
		"sub":                                   {"sub", `{"sub":"4711"}`, "corp:4711"},
		"AZ-12 no sub":                          {"sub", `{"name":"4711"}`, ""},
		"AZ-12 sub empty":                       {"sub", `{"sub":""}`, ""},
		"AZ-12 sub a number":                    {"sub", `{"sub":4711}`, ""},
		"sub of 255 bytes":                      {"sub", `{"sub":"` + strings.Repeat("a", 255) + `"}`, "corp:" + strings.Repeat("a", 255)},
		"AZ-12 sub of 256 bytes":                {"sub", `{"sub":"` + strings.Repeat("a", 256) + `"}`, ""},
		"AZ-12 sub with a space at its end":     {"sub", `{"sub":"a "}`, ""},
		"AZ-12 sub with a control character":    {"sub", `{"sub":"a\u0007"}`, ""},
		"AZ-12 sub with a direction mark":       {"sub", `{"sub":"a\u202eb"}`, ""},
		"CC-3 sub that is a SPIFFE ID":          {"sub", `{"sub":"spiffe://example.org/a"}`, "corp:spiffe://example.org/a"},
		"CC-3 sub that is a local user":         {"sub", `{"sub":"local:alice"}`, "corp:local:alice"},
		"email that is verified":                {"email", `{"sub":"1","email":"a@b.c","email_verified":true}`, "corp:a@b.c"},
		"email that says so in a text":          {"email", `{"sub":"1","email":"a@b.c","email_verified":"true"}`, "corp:a@b.c"},
		"AZ-12 email that is not":               {"email", `{"sub":"1","email":"a@b.c","email_verified":false}`, ""},
		"AZ-12 email of which nothing is known": {"email", `{"sub":"1","email":"a@b.c"}`, ""},
		"preferred_username":                    {"preferred_username", `{"sub":"1","preferred_username":"jo ü"}`, "corp:jo ü"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(ProviderConfig{Name: "corp", UserClaim: row.user, NameClaim: "name"}, func() time.Time { return now })
			c, err := readClaims([]byte(row.claims))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.person(c)
			if got.Subject != row.want || (err == nil) != (row.want != "") {
				t.Errorf("it is %+v, %v, want %q", got, err, row.want)
			}
			if e := oauth.AsError(err); err != nil && (e.Reason != oauth.ReasonIDTokenBad || e.Rule != "AZ-12") {
				t.Errorf("it is refused with %v", err)
			}
			if _, err := spiffeid.FromString(got.Subject); err == nil {
				t.Errorf("CC-3 %s is a SPIFFE ID", got.Subject)
			}
		})
	}
	p := newProvider(ProviderConfig{Name: "corp", UserClaim: "sub", NameClaim: "name"}, func() time.Time { return now })
	who := func(claims string) Person {
		t.Helper()
		c, err := readClaims([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.person(c)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := who(`{"sub":"1","name":"<b>\u202eJo\n</b>","auth_time":1782900000,"acr":"2","amr":["pwd","","pwd","a b","otp",7]}`)
	if got.Name != "<b>Jo</b>" || got.AuthTime.Unix() != 1782900000 || got.ACR != "2" || strings.Join(got.AMR, ",") != "pwd,otp" {
		t.Errorf("AT-3 it is %+v", got)
	}
	for _, said := range []string{`,"auth_time":` + strconv.FormatInt(now.Add(time.Hour).Unix(), 10), `,"auth_time":-5`, `,"auth_time":"1782900000"`, ""} {
		if got := who(`{"sub":"1"` + said + `}`); !got.AuthTime.IsZero() {
			t.Errorf("AT-3 with %q somebody signed in at %s", said, got.AuthTime)
		}
	}
	if s, err := subject(strings.Repeat("p", 32), strings.Repeat("a", authorization.MaxName)); err != nil || len(s) != authorization.MaxUser {
		t.Errorf("CC-3 the longest subject has %d bytes, %v", len(s), err)
	}
	for _, bad := range []string{`{"sub":"a","sub":"b"}`, `{"sub":"a","\u0073ub":"b"}`, `{"aud":"a","AUD":"b"}`, `{"Nonce":"a"}`, `{"iſſ":"a"}`, `[]`, `"a"`, `{"sub":`, `{"sub":"a"}{}`} {
		if _, err := readClaims([]byte(bad)); err == nil {
			t.Errorf("GL-11 %s is read", bad)
		}
	}
	// No provider can be called so that its users are workloads (the configuration
	// refuses the name, too).
	for _, name := range []string{"spiffe", "SPIFFE", ""} {
		if s, err := subject(name, "//example.org/a"); err == nil {
			t.Errorf("CC-3 a provider %q has the user %s", name, s)
		}
	}
}

// TestAllowed: who may sign in, by a claim that is a text or a list of them. An email
// counts only where it is the one that is verified.
func TestAllowed(t *testing.T) {
	allow := map[string][]Allowed{
		"groups": {{Claim: "groups", Values: []string{"dev", "ops"}}},
		"email":  {{Claim: "email", Values: []string{"a@b.c"}}},
		"either": {{Claim: "groups", Values: []string{"dev"}}, {Claim: "email", Values: []string{"a@b.c"}}},
	}
	for _, row := range []struct {
		allow, claims string
		want          bool
	}{
		{"everybody", `{"sub":"1"}`, true},
		{"groups", `{"sub":"1","groups":["staff","ops"]}`, true},
		{"groups", `{"sub":"1","groups":"dev"}`, true},
		{"groups", `{"sub":"1","groups":["staff","Dev",7]}`, false},
		{"groups", `{"sub":"1","Groups":["dev"]}`, false},
		{"groups", `{"sub":"1","groups":{"dev":true}}`, false},
		{"groups", `{"sub":"1"}`, false},
		{"email", `{"sub":"1","email":"a@b.c","email_verified":true}`, true},
		{"email", `{"sub":"1","email":"a@b.c"}`, false},
		{"email", `{"sub":"1","email":["a@b.c"]}`, false},
		{"email", `{"sub":"1","email":["a@b.c"],"email_verified":true}`, false},
		{"either", `{"sub":"1","email":"a@b.c","email_verified":true,"groups":["staff"]}`, true},
		{"either", `{"sub":"1","email":"a@b.c","groups":["staff"]}`, false},
	} {
		p := newProvider(ProviderConfig{Name: "corp", UserClaim: "sub", NameClaim: "name", Allow: allow[row.allow]}, time.Now)
		c, err := readClaims([]byte(row.claims))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.person(c)
		if (err == nil) != row.want || err != nil && oauth.AsError(err).Reason != oauth.ReasonUserNotAllowed {
			t.Errorf("AZ-12 %s by %s: %v, want %t", row.claims, row.allow, err, row.want)
		}
	}
}
