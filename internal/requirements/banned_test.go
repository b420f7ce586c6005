package requirements

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// banned is what would switch a check off, or share one client among everybody,
// wherever it stands (AV-11, FX-1).
var banned = map[string]string{
	"x509.SystemCertPool":   "the system's store verifies no SVID (XS-12); nil roots mean it where it is meant",
	"http.DefaultClient":    "it has no timeout, follows redirects and is everybody's",
	"http.DefaultTransport": "it is everybody's",
	"http.Get":              "it uses http.DefaultClient",
	"http.Head":             "it uses http.DefaultClient",
	"http.Post":             "it uses http.DefaultClient",
	"http.PostForm":         "it uses http.DefaultClient",
}

// switches are fields that nobody sets.
var switches = map[string]string{
	"InsecureSkipVerify": "it switches the verification of certificates off",
}

// bounds are the readers that io.ReadAll may be given in code that is not a test.
var bounds = []string{"io.LimitReader", "http.MaxBytesReader"}

func TestNoCheckIsSwitchedOff(t *testing.T) {
	for file, s := range allSources(t) {
		for _, fault := range violations(s, strings.HasSuffix(file, "_test.go")) {
			t.Errorf("%s: %s", file, fault)
		}
	}
}

// violations are the uses of what is banned.
func violations(s *source, test bool) []string {
	var found []string
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch e := n.(type) {
		case *ast.SelectorExpr:
			if why, ok := banned[selector(e)]; ok {
				found = append(found, selector(e)+": "+why)
			}
		case *ast.KeyValueExpr:
			if key, ok := e.Key.(*ast.Ident); ok && switches[key.Name] != "" {
				found = append(found, key.Name+": "+switches[key.Name])
			}
		case *ast.AssignStmt:
			for _, left := range e.Lhs {
				if field, ok := left.(*ast.SelectorExpr); ok && switches[field.Sel.Name] != "" {
					found = append(found, field.Sel.Name+": "+switches[field.Sel.Name])
				}
			}
		case *ast.CallExpr:
			if !test && selector(e.Fun) == "io.ReadAll" && !bounded(e.Args) {
				found = append(found, "io.ReadAll without a bound")
			}
		}
		return true
	})
	return found
}

func bounded(args []ast.Expr) bool {
	if len(args) != 1 {
		return false
	}
	call, ok := args[0].(*ast.CallExpr)
	return ok && slices.Contains(bounds, selector(call.Fun))
}

// selector is "package.Name", or empty for any other expression.
func selector(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if pkg, ok := s.X.(*ast.Ident); ok {
			return pkg.Name + "." + s.Sel.Name
		}
	}
	return ""
}

func TestViolations(t *testing.T) {
	for _, c := range []struct {
		name, body string
		test       bool
		want       string
	}{
		{"a bounded read", "io.ReadAll(io.LimitReader(r, 9))", false, ""},
		{"a bounded body", "io.ReadAll(http.MaxBytesReader(w, r.Body, 9))", false, ""},
		{"an unbounded read", "io.ReadAll(r)", false, "without a bound"},
		{"an unbounded read in a test", "io.ReadAll(r)", true, ""},
		{"a client of its own", "c.Get(u)", false, ""},
		{"verification switched off", "f(tls.Config{InsecureSkipVerify: true})", true, "switches"},
		{"verification switched off later", "c.InsecureSkipVerify = true", false, "switches"},
		{"verification asked about", "f(c.InsecureSkipVerify)", true, ""},
		{"the system's store", "x509.SystemCertPool()", false, "XS-12"},
		{"everybody's client", "http.DefaultClient.Do(q)", false, "timeout"},
		{"its short form", "http.Get(u)", true, "DefaultClient"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(violations(snippet(t, "package a\n\nfunc f() {\n"+c.body+"\n}\n"), c.test), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
