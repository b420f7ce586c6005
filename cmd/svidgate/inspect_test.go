package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/inspect"
)

func jwtFile(t *testing.T) (path, signature string) {
	t.Helper()
	signature = base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("s3cr3t", 10)))
	token := opaque(`{"alg":"ES256","kid":"k1","typ":"JWT"}`) + "." + opaque(`{"sub":"spiffe://example.org/a","aud":"https://as.example.com","exp":1}`) + "." + signature
	return file(t, "svid", token), signature
}

// What `inspect` prints, and that it verifies nothing, and says so.
func TestInspectCommand(t *testing.T) {
	path, signature := jwtFile(t)
	out, _, err := run(t, "inspect", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"JWT-SVID: sub is a SPIFFE ID and typ is JWT\nNOTHING WAS VERIFIED", "\n  SPIFFE ID     spiffe://example.org/a\n  trust domain  example.org\n",
		"(EXPIRED ", "\nHeader\n  alg  ES256\n", "\nClaims\n  sub  spiffe://example.org/a\n", "\nOdd by our rules\n  CJ-5   expired: expected exp after ", "60 bytes, not shown",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	asJSON, _, err := run(t, "inspect", "--json", path)
	var r inspect.Report
	if err != nil || json.Unmarshal([]byte(asJSON), &r) != nil || r.Kind != inspect.JWTSVID || r.Verified || len(r.Remarks) != 1 {
		t.Errorf("%v: %s", err, asJSON)
	}
	if strings.Contains(out+asJSON, signature) {
		t.Error("AU-2 the signature is shown")
	}
}

// From standard input, by either way to say so.
func TestInspectReadsStandardInput(t *testing.T) {
	path, _ := jwtFile(t)
	for _, args := range [][]string{{"inspect"}, {"inspect", "-"}} {
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var out strings.Builder
		root := newRoot()
		root.SetArgs(args)
		root.SetIn(in)
		root.SetOut(&out)
		if err := root.ExecuteContext(t.Context()); err != nil || !strings.HasPrefix(out.String(), "JWT-SVID") {
			t.Errorf("%v: %v, %s", args, err, out.String())
		}
	}
}

func TestInspectFaults(t *testing.T) {
	for _, row := range []struct{ name, content, want string }{
		{"a private key", "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\n", "holds a private key"},
		{"nothing it knows", "s3cr3t", "no JWT"},
		{"too much", strings.Repeat("s3cr3t", 200000), "longer than"},
		{"nothing", "", "is empty"},
	} {
		out, _, err := run(t, "inspect", file(t, "x", row.content))
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "s3cr3t") || out != "" {
			t.Errorf("%s: %v, printed %q", row.name, err, out)
		}
	}
	token := opaque(`{"alg":"ES256"}`) + "." + opaque(`{"sub":"a"}`) + "." + opaque("s3cr3t")
	if _, _, err := run(t, "inspect", token); err == nil || strings.Contains(err.Error(), token[:20]) || !strings.Contains(err.Error(), "that is a token") {
		t.Errorf("a token as an argument: %v", err)
	}
	if _, _, err := run(t, "inspect", filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
}
