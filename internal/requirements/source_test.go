package requirements

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

// A source is what one Go file declares and says.
type source struct {
	syntax   *ast.File
	declared map[string]bool // F, T, T.M, constants and variables of the package
	texts    []string        // string literals
	comments []string
}

// has reports whether a text of the file is exactly s.
func (s *source) has(text string) bool {
	for _, t := range s.texts {
		if t == text {
			return true
		}
	}
	return false
}

// mentions reports whether some text of the file has the id in it as a word.
func (s *source) mentions(id string) bool { return mentions(s.texts, id) }

// cites reports whether a text or a comment of the file has the id, or a run of ids
// that it is in ("CJ-4 to CJ-8"). No file cites nothing.
func (s *source) cites(id string) bool {
	return s != nil && (s.mentions(id) || mentions(s.comments, id) || inRun(s.comments, id))
}

func mentions(texts []string, id string) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(id) + `\b`)
	return slices.ContainsFunc(texts, word.MatchString)
}

var runForm = regexp.MustCompile(`\b([A-Z]{2}-\d+) to ([A-Z]{2}-\d+)\b`)

func inRun(texts []string, text string) bool {
	each, ok := parseID(text)
	if !ok {
		return false
	}
	for _, t := range texts {
		for _, m := range runForm.FindAllStringSubmatch(strings.ReplaceAll(t, "\n", " "), -1) {
			from, _ := parseID(m[1])
			to, _ := parseID(m[2])
			if from.prefix == each.prefix && to.prefix == each.prefix && from.number <= each.number && each.number <= to.number {
				return true
			}
		}
	}
	return false
}

// vectorText is what the vector files say, file by file.
func vectorText(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "testdata/vectors/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no vectors", err)
	}
	var texts []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// sources are all Go files of the module by their path from its root.
var sources = sync.OnceValues(func() (map[string]*source, error) {
	all := map[string]*source{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		all[filepath.ToSlash(relative)] = read(syntax)
		return err
	})
	return all, err
})

func allSources(t *testing.T) map[string]*source {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// read collects what checks ask for.
func read(syntax *ast.File) *source {
	s := &source{syntax: syntax, declared: map[string]bool{}}
	for _, decl := range syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			s.declared[name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch v := spec.(type) {
				case *ast.TypeSpec:
					s.declared[v.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range v.Names {
						s.declared[name.Name] = true
					}
				}
			}
		}
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				s.texts = append(s.texts, text)
			}
		}
		return true
	})
	for _, group := range syntax.Comments {
		s.comments = append(s.comments, group.Text())
	}
	return s
}

// receiver is the type of a method's receiver, without star and parameters.
func receiver(e ast.Expr) string {
	switch t := e.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// snippet is the source of a file that a test makes up.
func snippet(t *testing.T, text string) *source {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), "snippet.go", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return read(syntax)
}
