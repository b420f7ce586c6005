package oauth_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/oauth"
)

var update = flag.Bool("update", false, "write docs/reason-codes.md anew")

// constants are the string constants of a type in one file, name to value, in
// the order of the file.
func constants(t *testing.T, file, typeName string) (names, values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			v := spec.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typeName {
				t.Errorf("%s: a constant is not of type %s", file, typeName)
				continue
			}
			for i, name := range v.Names {
				text, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatalf("%s: %s: %v", file, name.Name, err)
				}
				names, values = append(names, name.Name), append(values, text)
			}
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no constant of type %s", file, typeName)
	}
	return names, values
}

var snakeCase = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// A reason without a text would leave an operator with a bare word.
func TestEveryReasonHasOneText(t *testing.T) {
	names, values := constants(t, "reason.go", "Reason")
	times := map[oauth.Reason]int{}
	for _, text := range oauth.ReasonTexts() {
		times[text.Reason]++
		if !slices.Contains(values, string(text.Reason)) {
			t.Errorf("there is a text for %q, which is no reason", text.Reason)
		}
	}
	for i, value := range values {
		if !snakeCase.MatchString(value) {
			t.Errorf("%s: %q is not snake_case", names[i], value)
		}
		if slices.Index(values, value) != i {
			t.Errorf("%s: %q is there twice", names[i], value)
		}
		if n := times[oauth.Reason(value)]; n != 1 {
			t.Errorf("%s has %d texts", names[i], n)
		}
	}
}

func TestReasonTextsAreSentences(t *testing.T) {
	for _, text := range oauth.ReasonTexts() {
		for _, sentence := range []string{text.Cause, text.Next} {
			if what := notASentence(sentence); what != "" {
				t.Errorf("%s: %q %s", text.Reason, sentence, what)
			}
		}
		if text.Cause == text.Next {
			t.Errorf("%s: the cure is the cause", text.Reason)
		}
		if got := text.Reason.Next(); got != text.Next {
			t.Errorf("%s: Next is %q", text.Reason, got)
		}
	}
	if next := oauth.Reason("nobody_has_this").Next(); next != "" {
		t.Errorf("a reason that is none says what to do: %q", next)
	}
}

// notASentence says why s is not one sentence that fits a line of a log and a
// cell of a table; empty when it is.
func notASentence(s string) string {
	switch {
	case s == "" || s != strings.TrimSpace(s):
		return "is empty or has space around it"
	case !strings.HasSuffix(s, "."):
		return "does not end in a period"
	case strings.Contains(s, ". ") || strings.ContainsAny(strings.TrimSuffix(s, "."), "!?"):
		return "is more than one sentence"
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e || strings.ContainsRune("\"\\|<>`", r) }):
		return "has a character that a log line or a table would have to escape"
	}
	return ""
}

func TestNotASentence(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"a sentence", "Send client_id, form-encoded.", ""},
		{"a sentence with a dotted name", "Raise svid.max_assertion_lifetime.", ""},
		{"nothing", "", "empty"},
		{"space after it", "Send it. ", "space"},
		{"no end", "Send it", "period"},
		{"a question", "Is it there?", "period"},
		{"two sentences", "Look. Mend.", "more than one"},
		{"a question before the end", "Is it full? Mend it.", "more than one"},
		{"a quote", "Send \"it\".", "escape"},
		{"a bar", "Send a|b.", "escape"},
		{"a line break", "Send\nit.", "escape"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := notASentence(row.in)
			if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestReasonTextsIsACopy(t *testing.T) {
	mine := oauth.ReasonTexts()
	mine[0].Next = "changed"
	if oauth.ReasonTexts()[0].Next == "changed" {
		t.Error("a caller can change the texts of everybody")
	}
}

// stages are the parts of the document: each begins at a reason and goes on to
// the beginning of the next.
var stages = []struct {
	title, intro string
	first        oauth.Reason
}{
	{"The request", "It is refused by its shape, before any credential is looked at.", oauth.ReasonRequestMalformed},
	{"The assertion", "What a JWT-SVID, or at an API an access token, says of itself.", oauth.ReasonAssertionMissing},
	{"The WIT-SVID and its proof", "What they say of themselves, besides what a JWT-SVID can be refused for.", oauth.ReasonAudForbidden},
	{"The trust domain and its keys", "What verifies the credential.", oauth.ReasonTDUnknown},
	{"The certificate", "An X.509-SVID, on its own or beside an assertion.", oauth.ReasonCertMissing},
	{"The client", "Whose workload it is.", oauth.ReasonClientIDMissing},
	{"The grant and the decision", "What the client asked for, and may have.", oauth.ReasonGrantUnsupported},
	{"At an API", "What package resource refuses.", oauth.ReasonTokenMissing},
	{"The server itself", "Nothing that a caller did.", oauth.ReasonAuditUnavailable},
}

// reserved are the codes of the contract that nothing refuses with yet, and the work
// that they belong to. A code leaves the list when it becomes a constant.
var reserved = []struct{ work, codes string }{
	{"Certificates that a proxy passes on", "proxy_untrusted"},
	{"Token exchange", "exchange_subject_bad exchange_audience_denied exchange_actor_denied"},
	{"Client metadata documents", "cimd_fetch_blocked cimd_mismatch"},
}

func render(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`# Reason codes

<!-- Generated from package oauth: go test ./oauth -run TestReasonCodesDocument -update -->

Every refusal has one of these codes. It is the same in the log line, the audit line (` + "`reason`" + `), the metric label and the error of
package ` + "`resource`" + `, and it never goes to the caller: a caller is told an OAuth code, its one sentence and a ` + "`Request-Id`" + `, under which the
operator finds the code, the rule that refused, what that rule expected and what was presented. Rules are listed in
[requirements.md](requirements.md). A code keeps its name and its meaning.

The codes stand in the order in which a request meets them. Each has an example: the rule that refused, and its two texts as the log line,
the audit line and ` + "`explain`" + ` have them. A test runs the rules and compares. Other rules may refuse for the same reason, with other texts.
In the examples the issuer is ` + "`https://as.example.com`" + `, the trust domain ` + "`example.org`" + `, and the time noon of 1 July 2026.

## In the Go libraries

Package ` + "`resource`" + ` and the root package return an ` + "`*oauth.Error`" + `: ` + "`oauth.AsError(err).Reason`" + ` is the code, one of the same constants, and
` + "`errors.Is(err, oauth.ReasonExpired)`" + ` asks for one. ` + "`Require`" + ` logs it as ` + "`reason`" + `, with ` + "`rule`, `expected` and `presented`" + `.

Package ` + "`client`" + ` is the caller, and so is not told: its ` + "`*client.ResponseError`" + ` has the OAuth code (` + "`errors.Is(err, oauth.InvalidClient)`" + `) and
the ` + "`RequestID`" + `. The server's operator has the reason under that id: ` + "`svidgate explain --request-id ID --socket PATH`" + `. Where the caller can be
run by hand, ` + "`svidgate doctor`" + ` looks at its whole way.
`)
	texts := oauth.ReasonTexts()
	for i, stage := range stages {
		end := len(texts)
		if i+1 < len(stages) {
			end = slices.IndexFunc(texts, func(x oauth.ReasonText) bool { return x.Reason == stages[i+1].first })
		}
		if end < 1 || texts[0].Reason != stage.first {
			t.Fatalf("the stage %q does not begin at %s", stage.title, stage.first)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", stage.title, stage.intro)
		for _, text := range texts[:end] {
			example := reasonexample.Of(text.Reason)
			presented := example.Presented
			if presented == "" {
				presented = "(nothing)"
			}
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n*What to do:* %s\n\n", text.Reason, text.Cause, text.Next)
			fmt.Fprintf(&b, "    %-6s expected   %s\n           presented  %s\n", example.Rule, example.Expected, presented)
		}
		texts = texts[end:]
	}
	b.WriteString("\n## Reserved for later\n\nNothing refuses with these codes yet. They are named here so that they keep their meaning when the work comes that they belong to.\n\n" +
		"| work | codes |\n|---|---|\n")
	for _, r := range reserved {
		fmt.Fprintf(&b, "| %s | `%s` |\n", r.work, strings.Join(strings.Fields(r.codes), "`, `"))
	}
	b.WriteString("\n## What the caller is told\n\nOne sentence per code, whatever the reason. A code without a sentence answers with its status and an empty body.\n\n" +
		"| `error` | status | `error_description` |\n|---|---|---|\n")
	_, codes := constants(t, "code.go", "ErrorCode")
	for _, value := range codes {
		code := oauth.ErrorCode(value)
		name := "none"
		if code.HasBody() {
			name = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", name, code.Status(), code.Description())
	}
	return b.Bytes()
}

func TestReasonCodesDocument(t *testing.T) {
	const file = "../docs/reason-codes.md"
	want := render(t)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test ./oauth -run TestReasonCodesDocument -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/reason-codes.md is not what package oauth says; go test ./oauth -run TestReasonCodesDocument -update writes it anew")
	}
}
