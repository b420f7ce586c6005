package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A site is one place that refuses by a rule. Its number is its switch.
type site struct {
	number int
	file   string
	line   int
	rules  []string
	guard  bool   // of a zero value, or a fault of the program
	whole  *site  // the place whose condition this is a part of, or nil
	part   string // the text of the part

	killedBy string // a vector or a test
	last     bool   // which only this place refuses once the others are off
	closed   bool   // without this place its vectors cannot be judged to an end
}

func (s *site) String() string {
	if s.whole != nil {
		return fmt.Sprintf("%s:%d (%s)", s.file, s.line, s.part)
	}
	return fmt.Sprintf("%s:%d", s.file, s.line)
}

// found is all that the search found.
type found struct {
	sites []*site
	edits map[*goFile][]edit
}

// An edit puts text in front of the byte at an offset.
type edit struct {
	at   int
	text string
}

var (
	ruleID = regexp.MustCompile(`^[A-Z]{2}-[0-9]+$`)
	// directive names the rules of a place that has no refusal with an id in it:
	// in a comment above a statement, a function or an error variable.
	directive = regexp.MustCompile(`^//svidgate:rule((?: [A-Z]{2}-[0-9]+)+)$`)
)

// sites searches all packages. Places are known by their form:
//   - a statement that returns, assigns to err, or passes on a call or a
//     composite literal which has the text of a rule's id in it;
//   - in the value of a rule (a composite literal whose ID, or first element, is
//     such a text) every refusal that its function returns;
//   - a call of a function that does nothing but make such a refusal;
//   - what a directive stands above.
func (t *tree) sites() (*found, error) {
	f := &found{edits: map[*goFile][]edit{}}
	for _, pkg := range t.packages {
		s := search{tree: t, pkg: pkg, out: f, functions: map[string][]*ast.FuncDecl{}, makers: map[string][]string{}, errors: map[string][]string{},
			refusing: map[ast.Node][]string{}, marked: map[ast.Stmt][]string{}, wrapped: map[ast.Expr]string{}}
		if err := s.prepare(); err != nil {
			return nil, err
		}
		for _, file := range pkg.files {
			s.file = file
			s.walk()
		}
	}
	return f, nil
}

// A search goes through one package.
type search struct {
	tree *tree
	pkg  *goPackage
	out  *found
	file *goFile

	functions map[string][]*ast.FuncDecl // methods, too, by their bare name
	makers    map[string][]string        // functions that only make a refusal
	errors    map[string][]string        // error variables with a directive
	refusing  map[ast.Node][]string      // functions all of whose refusals are of these rules
	marked    map[ast.Stmt][]string      // statements below a directive
	wrapped   map[ast.Expr]string        // functions of rule values that stand elsewhere
	variables map[string][]string        // local variables of the function at hand that hold ids
}

func (s *search) prepare() error {
	for _, file := range s.pkg.files {
		for _, d := range file.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				s.functions[fn.Name.Name] = append(s.functions[fn.Name.Name], fn)
			}
		}
	}
	for _, file := range s.pkg.files {
		if err := s.directives(file); err != nil {
			return err
		}
	}
	for name, all := range s.functions {
		for _, fn := range all {
			if ids := s.makes(fn); len(ids) > 0 {
				s.makers[name] = ids
			}
		}
	}
	for _, file := range s.pkg.files {
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok {
				s.ruleValue(lit)
			}
			return true
		})
	}
	return nil
}

// directives gives each directive to what it stands above.
func (s *search) directives(file *goFile) error {
	below := map[int][]string{} // line of the thing → ids
	for _, group := range file.syntax.Comments {
		for _, c := range group.List {
			if m := directive.FindStringSubmatch(c.Text); m != nil {
				below[s.tree.line(group.End())+1] = strings.Fields(m[1])
			} else if strings.HasPrefix(c.Text, "//svidgate:") {
				return fmt.Errorf("%s:%d: a directive that is none: %s", file.path, s.tree.line(c.Pos()), c.Text)
			}
		}
	}
	ast.Inspect(file.syntax, func(n ast.Node) bool {
		if n == nil {
			return true
		}
		line := s.tree.line(n.Pos())
		ids, ok := below[line]
		if !ok {
			return true
		}
		switch n := n.(type) {
		case *ast.FuncDecl:
			line = s.tree.line(n.Name.Pos()) // Pos may be that of its comment
			if ids, ok = below[line]; ok {
				s.refusing[n] = ids
			}
		case *ast.ValueSpec:
			s.errors[n.Names[0].Name] = ids
		case *ast.BlockStmt, *ast.GenDecl, ast.Spec:
			return true
		case ast.Stmt:
			s.marked[n] = ids
		default:
			return true
		}
		delete(below, line)
		return true
	})
	for line := range below {
		return fmt.Errorf("%s:%d: a directive above nothing that refuses", file.path, line-1)
	}
	return nil
}

// makes are the rules of a function that does nothing but make a refusal: it has
// one return, at its end, and its rule stands in no branch.
func (s *search) makes(fn *ast.FuncDecl) []string {
	returns := 0
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if _, ok := n.(*ast.ReturnStmt); ok {
			returns++
		}
		_, inner := n.(*ast.FuncLit)
		return !inner
	})
	last, ok := fn.Body.List[max(0, len(fn.Body.List)-1):], returns == 1
	if !ok || len(last) == 0 {
		return nil
	}
	if _, ok := last[0].(*ast.ReturnStmt); !ok {
		return nil
	}
	if ids, ok := s.refusing[fn]; ok {
		return ids
	}
	for _, stmt := range fn.Body.List {
		if ids := s.cited(stmt); len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// ruleValue notes the judging function of a rule's value.
func (s *search) ruleValue(lit *ast.CompositeLit) {
	id := ""
	var judge ast.Expr
	for i, elt := range lit.Elts {
		kv, keyed := elt.(*ast.KeyValueExpr)
		switch {
		case keyed:
			key, _ := kv.Key.(*ast.Ident)
			if key == nil {
				return
			}
			switch strings.ToLower(key.Name) {
			case "id":
				id = idOf(kv.Value)
			case "judge", "broken":
				judge = kv.Value
			}
		case i == 0:
			id = idOf(elt)
		case i >= 2:
			judge = elt
		}
	}
	if id == "" || judge == nil {
		return
	}
	switch f := judge.(type) {
	case *ast.FuncLit:
		s.add(f, id)
		s.follow(f.Body, id)
	case *ast.Ident:
		if all := s.functions[f.Name]; len(all) == 1 {
			s.add(all[0], id)
			return
		}
		s.wrapped[judge] = id
	case *ast.SelectorExpr:
		s.wrapped[judge] = id
	}
}

func (s *search) add(n ast.Node, id string) {
	if !slices.Contains(s.refusing[n], id) {
		s.refusing[n] = append(s.refusing[n], id)
	}
}

// follow goes on where a judging function returns what a method of its package
// says.
func (s *search) follow(body *ast.BlockStmt, id string) {
	ast.Inspect(body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
			if fn := s.called(r.Results[0]); fn != nil && s.makers[fn.Name.Name] == nil && len(s.refusals(r.Results[0])) == 0 {
				s.add(fn, id)
			}
		}
		return true
	})
}

// called is the function of this package that an expression is a call of.
func (s *search) called(e ast.Expr) *ast.FuncDecl {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return nil
	}
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	if all := s.functions[name]; len(all) == 1 {
		return all[0]
	}
	return nil
}

func idOf(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil || !ruleID.MatchString(text) {
		return ""
	}
	return text
}

// cited are the rules by which a statement refuses, for what stands in it.
func (s *search) cited(stmt ast.Stmt) []string {
	var ids []string
	switch stmt := stmt.(type) {
	case *ast.ReturnStmt:
		for _, e := range stmt.Results {
			ids = append(ids, s.refusals(e)...)
			if n := len(stmt.Results); n > 1 && !isNil(stmt.Results[n-1]) {
				ids = append(ids, nonEmpty(idOf(e))...)
			}
		}
	case *ast.AssignStmt:
		if !slices.ContainsFunc(stmt.Lhs, func(e ast.Expr) bool { return isName(e, "err") || isName(e, "e") || isName(e, "f") }) {
			return nil
		}
		for _, e := range stmt.Rhs {
			ids = append(append(ids, s.refusals(e)...), nonEmpty(idOf(e))...)
		}
	case *ast.ExprStmt:
		if call, ok := stmt.X.(*ast.CallExpr); ok {
			for _, arg := range call.Args {
				ids = append(ids, s.refusals(arg)...)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// refusals are the ids in calls and composite literals below an expression.
func (s *search) refusals(e ast.Expr) []string {
	var ids []string
	element := func(e ast.Expr) {
		ids = append(ids, nonEmpty(idOf(e))...)
	}
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			name := ""
			switch f := n.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
				if isName(f.X, "errors") && name == "Is" {
					return false
				}
			}
			ids = append(ids, s.makers[name]...)
			for _, arg := range n.Args {
				element(arg)
			}
		case *ast.CompositeLit:
			for _, elt := range n.Elts {
				if kv, ok := elt.(*ast.KeyValueExpr); ok {
					elt = kv.Value
				}
				element(elt)
			}
		case *ast.Ident:
			ids = append(append(ids, s.errors[n.Name]...), s.variables[n.Name]...)
		}
		return true
	})
	return ids
}

func nonEmpty(id string) []string {
	if id == "" {
		return nil
	}
	return []string{id}
}

func isNil(e ast.Expr) bool { return isName(e, "nil") }

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
