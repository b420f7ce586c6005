package oauth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/oauth"
)

// contract are the codes that tools may rely on, built or not.
const contract = `assertion_missing assertion_malformed assertion_too_large wrong_token_type alg_not_allowed sub_not_spiffe_id
td_unknown td_not_ready bundle_too_old kid_unknown kid_unknown_after_refresh key_wrong_use signature_bad expired not_yet_valid
lifetime_too_long aud_missing aud_multiple aud_mismatch assertion_replayed client_not_found client_id_mismatch client_ambiguous
client_blocked method_not_allowed mixed_credentials cert_missing cert_chain_bad cert_not_leaf cert_key_usage cert_uri_san_count
proxy_untrusted pop_missing pop_bad pop_replayed cnf_mismatch dpop_nonce_required scope_denied resource_unknown grant_denied
first_use_denied first_use_pending first_use_quota binding_required rate_limited store_unavailable audit_unavailable
exchange_subject_bad exchange_audience_denied exchange_actor_denied cimd_fetch_blocked cimd_mismatch
request_malformed client_id_missing exp_missing kid_missing claim_malformed header_not_allowed aud_forbidden cnf_missing
key_too_weak dpop_bad token_not_yours request_too_large`

// A code of the contract is either a constant or reserved, so that a reader finds
// every one of them in the document.
func TestContractIsDocumented(t *testing.T) {
	_, built := constants(t, "reason.go", "Reason")
	var later []string
	for _, r := range reserved {
		later = append(later, strings.Fields(r.codes)...)
	}
	for _, code := range strings.Fields(contract) {
		if slices.Contains(built, code) == slices.Contains(later, code) {
			t.Errorf("%s is both a constant and reserved, or neither", code)
		}
	}
	for _, code := range later {
		if !slices.Contains(strings.Fields(contract), code) {
			t.Errorf("%s is reserved and not in the contract", code)
		}
	}
}

// Every reason is used by something that refuses: a code that nothing gives would be
// looked for in vain. Package oauth only names them.
func TestEveryReasonIsUsed(t *testing.T) {
	names, _ := constants(t, "reason.go", "Reason")
	used := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == filepath.Join("..", "oauth") || d.Name() == "testdata" || d.Name() == ".git"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "oauth" {
					used[s.Sel.Name] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !used[name] {
			t.Errorf("nothing refuses with %s", name)
		}
	}
}

var ruleID = regexp.MustCompile(`^[A-Z]{2}-[0-9]{1,2}$`)

// An example names a rule and fits a line of the document and of a log.
func TestEveryReasonHasAnExample(t *testing.T) {
	for _, text := range oauth.ReasonTexts() {
		e := reasonexample.Of(text.Reason)
		if !ruleID.MatchString(e.Rule) || e.Expected == "" {
			t.Errorf("%s has no example: %+v", text.Reason, e)
		}
		for _, s := range []string{e.Expected, e.Presented} {
			if s != strings.TrimSpace(s) || s != oauth.Shown(s) {
				t.Errorf("%s: %q is not as an operator sees it", text.Reason, s)
			}
		}
	}
	if e := reasonexample.Of("nobody_has_this"); e != (reasonexample.Example{}) {
		t.Errorf("a reason that is none has the example %+v", e)
	}
}
