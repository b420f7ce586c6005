package audit

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/oauth"
)

var moment = time.Date(2026, 11, 21, 22, 3, 4, 5_000, time.FixedZone("east", 3600))

// encoded is e as the first line of a file, with its newline.
func encoded(e Event, node string) string {
	var ln line
	ln.fill(&e, moment, node)
	prev := zeros()
	return string(ln.seal(1, &prev, false))
}

func decoded(t testing.TB, line string) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return members
}

func TestAU1Line(t *testing.T) {
	got := encoded(Event{
		Event: EventToken, Outcome: Granted, RequestID: "r1", Endpoint: "/token", Source: "127.0.0.1:5000",
		ClientID: "fleet", SPIFFEID: "spiffe://example.org/ns/ci/a", TrustDomain: "example.org", Proven: true, AuthMethod: "spiffe_jwt",
		SVIDDigest: strings.Repeat("ab", 32), SVIDKeyID: "k0", SVIDTokenID: "s0", BundleSequence: 0, HasBundleSequence: true, ProfileLegacyUse: []string{"CJ-7", "CJ-10"},
		GrantType: "client_credentials", Resource: "https://api.example.com/", Scope: "read", Subject: "spiffe://example.org/ns/ci/a",
		PolicyRule: "first-use", GrantID: "g1", Txn: "t1", JTI: "j1", KeyID: "k1", Binding: "bearer", Expires: moment.Add(5 * time.Minute),
	}, "node-1")
	want := `{"version":1,"seq":1,"prev":"` + strings.Repeat("0", 64) + `","time":"2026-11-21T21:03:04.000005Z","node":"node-1",` +
		`"event":"token","outcome":"granted","request_id":"r1","endpoint":"/token","source":"127.0.0.1:5000",` +
		`"client_id":"fleet","spiffe_id":"spiffe://example.org/ns/ci/a","trust_domain":"example.org","proven":true,"auth_method":"spiffe_jwt",` +
		`"svid_sha256":"` + strings.Repeat("ab", 32) + `","svid_key_id":"k0","svid_jti":"s0","bundle_sequence":0,"profile_legacy_use":["CJ-7","CJ-10"],` +
		`"grant_type":"client_credentials","resource":"https://api.example.com/","scope":"read","subject":"spiffe://example.org/ns/ci/a",` +
		`"policy_rule":"first-use","grant_id":"g1","txn":"t1","jti":"j1","key_id":"k1","binding":"bearer","expires":"2026-11-21T21:08:04.000005Z"}` + "\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// memberOf is the name under which each field of Event is written. A field that
// is missing here fails TestEveryField.
var memberOf = map[string]string{
	"Event": "event", "Outcome": "outcome", "Reason": "reason", "Rule": "rule", "Expected": "expected", "Presented": "presented",
	"RequestID": "request_id", "Endpoint": "endpoint", "Source": "source", "ClientID": "client_id", "SPIFFEID": "spiffe_id",
	"TrustDomain": "trust_domain", "Proven": "proven", "AuthMethod": "auth_method", "SVIDDigest": "svid_sha256", "SVIDKeyID": "svid_key_id", "SVIDTokenID": "svid_jti", "Proof": "proof",
	"BundleSequence": "bundle_sequence", "ProfileLegacyUse": "profile_legacy_use", "Provider": "provider", "GrantType": "grant_type", "Resource": "resource",
	"Scope": "scope", "Subject": "subject",
	"PolicyRule": "policy_rule", "GrantID": "grant_id",
	"FirstUse": "first_use", "FirstUseReason": "first_use_reason", "Template": "template", "TemplateDigest": "template_sha256", "Comment": "comment",
	"Txn": "txn", "JTI": "jti", "KeyID": "key_id", "Binding": "binding", "Expires": "expires",
	"Revoked": "revoked", "Note": "note",
}

// full sets every exported field, each string by text, and returns the event and
// the members it should have.
func full(t testing.TB, text func(field string) string) (Event, map[string]any) {
	t.Helper()
	var e Event
	members := map[string]any{}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || field.Name == "HasBundleSequence" {
			continue
		}
		name, ok := memberOf[field.Name]
		if !ok {
			t.Fatalf("field %s has no member name here and in docs/audit-record.md", field.Name)
		}
		switch at := v.Field(i).Addr().Interface().(type) {
		case *string:
			*at = text(field.Name)
			members[name] = *at
		case *[]string:
			*at = []string{text(field.Name), text(field.Name) + "2"}
			members[name] = *at
		case *bool:
			*at = true
			members[name] = true
		case *uint64:
			*at = 1<<64 - 1
			members[name] = *at
		case *time.Time:
			*at = moment
			members[name] = moment.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
		default:
			t.Fatalf("field %s is of a type this test does not know", field.Name)
		}
	}
	e.HasBundleSequence = true
	return e, members
}

// Compared with encoding/json: each line decodes to what that package would have
// written of the same members.
func TestEveryFieldAgainstEncodingJSON(t *testing.T) {
	texts := map[string]func(string) string{
		"plain":                func(f string) string { return "value of " + f },
		"AK-31 line breaks":    func(f string) string { return f + "\n{\"seq\":7}\r\n\u2028\u2029\u0085" },
		"AK-31 quotes":         func(f string) string { return f + `"},{"a":"\` },
		"AK-31 controls":       func(f string) string { return f + "\x00\x01\x1b[2J\x7f\b\f\t" },
		"AK-31 direction mark": func(f string) string { return f + "\u202egnp.exe" },
		"beyond the BMP":       func(f string) string { return f + "\U0001F600\uFFFF\U0010FFFF" },
		"bytes that are no UTF-8": func(f string) string {
			return f + "\xff\xc3\x28\xed\xa0\x80\xf8"
		},
		"markup": func(f string) string { return f + "<a&b>" },
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			e, members := full(t, text)
			got := encoded(e, "")
			checkLine(t, got)
			members["version"], members["seq"], members["prev"] = 1, 1, strings.Repeat("0", 64)
			members["time"] = moment.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
			standard, err := json.Marshal(members)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(t, string(standard)), decoded(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEmptyMembersAreLeftOut(t *testing.T) {
	got := decoded(t, encoded(Event{Event: EventToken, Outcome: Refused, ProfileLegacyUse: []string{}, BundleSequence: 5}, ""))
	for name := range got {
		switch name {
		case "version", "seq", "prev", "time", "event", "outcome":
		default:
			t.Errorf("member %s = %v", name, got[name])
		}
	}
	if len(got) != 6 {
		t.Errorf("%d members: %v", len(got), got)
	}
}

// checkLine holds for every line: one newline, at the end, and printable ASCII
// before.
func checkLine(t testing.TB, line string) {
	t.Helper()
	body, ok := strings.CutSuffix(line, "\n")
	if !ok {
		t.Fatalf("no newline at the end of %q", line)
	}
	if i := strings.IndexFunc(body, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }); i >= 0 {
		t.Fatalf("byte %d of %q is not printable ASCII", i, line)
	}
	if _, _, ok := readLine([]byte(body)); !ok {
		t.Fatalf("readLine refuses %q", line)
	}
}

func TestLongMembersAreCut(t *testing.T) {
	text := func(n int) Event { return Event{Event: "e", Outcome: Refused, Scope: strings.Repeat("s", n)} }
	rows := []struct {
		name  string
		event Event
		want  any
	}{
		{"at the limit", text(maxMember), strings.Repeat("s", maxMember)},
		{"one over", text(maxMember + 1), strings.Repeat("s", maxMember) + "…"},
		{"64 KiB", text(64 << 10), strings.Repeat("s", maxMember) + "…"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, decoded(t, encoded(row.event, ""))["scope"]); diff != "" {
				t.Error(diff)
			}
		})
	}

	long := make([]string, 5000)
	for i := range long {
		long[i] = "value"
	}
	list := decoded(t, encoded(Event{Event: "e", Outcome: Refused, ProfileLegacyUse: long}, ""))["profile_legacy_use"].([]any)
	if len(list) > maxMember/5 || list[len(list)-1] != "…" {
		t.Errorf("a list of 5000 values is written with %d, the last is %v", len(list), list[len(list)-1])
	}
}

func TestNoEventIsLongerThanALine(t *testing.T) {
	worst := strings.Repeat("\xff", 64<<10)
	e, _ := full(t, func(string) string { return worst })
	e.lostDigest, e.lostBytes = worst, 1<<62
	got := encoded(e, worst)
	checkLine(t, got)
	if len(got) > maxLine {
		t.Errorf("%d bytes", len(got))
	}
}

func TestAU2NoTokenInALine(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy93In0.c2lnbmF0dXJl-_"
	spaced := "ewogImFsZyI6ICJFUzI1NiIKfQ.eyAic3ViIjogIngiIH0.c2ln" // {\n "alg" and { "sub"
	rows := []struct{ name, in, want string }{
		{"AU-2 a JWT", jwt, "[redacted]"},
		{"AU-2 a JWT in a sentence", "got " + jwt + ", want none", "got [redacted], want none"},
		{"AU-2 two of them", jwt + " " + jwt, "[redacted] [redacted]"},
		{"AU-2 without its signature", jwt[:strings.LastIndexByte(jwt, '.')], "[redacted]"},
		{"AU-2 cut in the payload", jwt[:60], "[redacted]"},
		{"AU-2 JSON with spaces", spaced, "[redacted]"},
		{"AU-2 after a scheme", "Bearer " + jwt, "Bearer [redacted]"},
		{"a SPIFFE ID", "spiffe://example.org/a.eye/eyes.eyebright", "spiffe://example.org/a.eye/eyes.eyebright"},
		{"a host name", "https://api.example.com/", "https://api.example.com/"},
		{"AU-2 a payload alone", "eyJzdWIiOiJ4In0", "[redacted]"},
		{"ends in the mark", "a.e", "a.e"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := decoded(t, encoded(Event{Event: "e", Outcome: Refused, ClientID: row.in}, ""))["client_id"]; got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// A workload whose path looks like a token is named all the same.
func TestAU1NobodyHidesBehindAPath(t *testing.T) {
	const id = "spiffe://example.org/eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
	if got := decoded(t, encoded(Event{Event: "e", Outcome: Granted, SPIFFEID: id}, ""))["spiffe_id"]; got != id {
		t.Errorf("got %v", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("client", "read write", "2026")
	f.Add("a\nb\u2028", "\"\\", "\xff\xfe\x00")
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "\U0001F600", "x")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		e := Event{Event: "e", Outcome: Refused, ClientID: a, Scope: b, Presented: c, ProfileLegacyUse: []string{a, b}}
		got := encoded(e, c)
		checkLine(t, got)
		if again := encoded(e, c); again != got {
			t.Fatalf("two lines of one event:\n%s%s", got, again)
		}
		members := decoded(t, got)
		for name, in := range map[string]string{"client_id": a, "scope": b, "presented": c, "node": c} {
			in = oauth.Redact(in)
			if len(in) > maxMember {
				in = in[:maxMember] + "…"
			}
			standard, _ := json.Marshal(in)
			var want any
			if json.Unmarshal(standard, &want); want == "" {
				want = nil
			}
			if members[name] != want {
				t.Errorf("%s came back as %q, not %q", name, members[name], want)
			}
		}
	})
}
