package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// switchName is the package that the copy has and the product has not.
const switchName = "mutationswitch"

// walk finds the places of one file and notes how each is made switchable.
func (s *search) walk() {
	var stack []ast.Node
	ast.Inspect(s.file.syntax, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		stack = append(stack, n)
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Body != nil {
			s.variables = holding(fn.Body)
		}
		if e, ok := n.(ast.Expr); ok {
			if id, ok := s.wrapped[e]; ok {
				k := s.site(e, []string{id}, false)
				s.insert(e.Pos(), fmt.Sprintf("%s.Wrap(%d, ", switchName, k))
				s.insert(e.End(), ")")
			}
		}
		if stmt, ok := n.(ast.Stmt); ok {
			s.statement(stmt, stack)
		}
		return true
	})
}

func (s *search) statement(stmt ast.Stmt, stack []ast.Node) {
	fn, body, results := function(stack)
	if fn == nil {
		return
	}
	var ids []string
	if marked, ok := s.marked[stmt]; ok {
		ids = marked
	} else if decl, ok := fn.(*ast.FuncDecl); ok && len(s.makers[decl.Name.Name]) > 0 && len(s.makes(decl)) > 0 {
		return // where it is called is where something is refused
	} else {
		ids = append(s.cited(stmt), s.refusalOf(stmt, fn)...)
	}
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	s.makeSwitchable(stmt, ids, stack)
	if results != nil {
		s.endWithZero(body, results)
	}
}

// holding are the variables of a function to which ids are assigned.
func holding(body *ast.BlockStmt) map[string][]string {
	ids := map[string][]string{}
	ast.Inspect(body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
			if name, ok := a.Lhs[0].(*ast.Ident); ok && idOf(a.Rhs[0]) != "" {
				ids[name.Name] = append(ids[name.Name], idOf(a.Rhs[0]))
			}
		}
		return true
	})
	return ids
}

// refusalOf are the rules that a function judges, if the statement is a return
// that refuses, and not one that only passes on what another such function said.
func (s *search) refusalOf(stmt ast.Stmt, fn ast.Node) []string {
	ids := s.refusing[fn]
	r, ok := stmt.(*ast.ReturnStmt)
	if !ok || len(ids) == 0 || !refuses(r) {
		return nil
	}
	if f := s.called(last(r.Results)); f != nil && len(s.makers[f.Name.Name]) == 0 && slices.Equal(s.refusing[f], ids) {
		return nil
	}
	return ids
}

func last(list []ast.Expr) ast.Expr { return list[len(list)-1] }

// function is the innermost function around a statement.
func function(stack []ast.Node) (fn ast.Node, body *ast.BlockStmt, results *ast.FieldList) {
	for _, n := range slices.Backward(stack) {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return n, n.Body, n.Type.Results
		case *ast.FuncLit:
			return n, n.Body, n.Type.Results
		}
	}
	return nil, nil, nil
}

// refuses reports whether a return says anything but "nothing is wrong".
func refuses(r *ast.ReturnStmt) bool {
	if len(r.Results) == 0 {
		return false
	}
	switch e := last(r.Results).(type) {
	case *ast.BasicLit:
		return e.Value != `""`
	case *ast.Ident:
		return e.Name != "nil" && e.Name != "true"
	}
	return true
}

// makeSwitchable notes the edits for one place.
func (s *search) makeSwitchable(stmt ast.Stmt, ids []string, stack []ast.Node) {
	parent := stack[len(stack)-2]
	k := s.site(stmt, ids, s.isGuard(stmt, stack))
	off := fmt.Sprintf("%s.Off(%d)", switchName, k)
	condition := func(e ast.Expr) {
		s.insert(e.Pos(), "!"+off+" && (")
		s.operands(e, s.out.sites[k])
		s.insert(e.End(), ")")
	}
	if _, marked := s.marked[stmt]; marked {
		switch m := stmt.(type) {
		case *ast.IfStmt:
			condition(m.Cond)
			return
		case *ast.ReturnStmt:
			if _, _, results := function(stack); results.NumFields() == 1 && isName(results.List[0].Type, "bool") {
				s.insert(m.Results[0].Pos(), off+" || (")
				s.insert(m.Results[0].End(), ")")
				return
			}
		}
	}
	if clause, ok := parent.(*ast.CaseClause); ok && len(clause.List) == 1 && len(clause.Body) == 1 && s.tagless(stack) {
		condition(clause.List[0])
		return
	}
	if a, ok := stmt.(*ast.AssignStmt); ok && a.Tok == token.DEFINE && len(stack) > 2 {
		if i, ok := stack[len(stack)-3].(*ast.IfStmt); ok {
			condition(i.Cond)
			return
		}
	}
	s.insert(stmt.Pos(), "if !"+off+" { ")
	s.insert(stmt.End(), " }")
	if i, ok := stack[max(0, len(stack)-3)].(*ast.IfStmt); ok && len(i.Body.List) == 1 {
		s.operands(i.Cond, s.out.sites[k])
	}
}

// operands makes each part of a condition with || a place of its own, besides the
// whole: a rule of several demands must be tried on each.
func (s *search) operands(e ast.Expr, whole *site) {
	or, ok := ast.Unparen(e).(*ast.BinaryExpr)
	if !ok || or.Op != token.LOR {
		return
	}
	for _, part := range []ast.Expr{or.X, or.Y} {
		if inner, ok := ast.Unparen(part).(*ast.BinaryExpr); ok && inner.Op == token.LOR {
			s.operands(part, whole)
			continue
		}
		k := s.site(part, whole.rules, whole.guard)
		s.out.sites[k].whole, s.out.sites[k].part = whole, string(s.text(part))
		s.insert(part.Pos(), fmt.Sprintf("!%s.Off(%d) && (", switchName, k))
		s.insert(part.End(), ")")
	}
}

// tagless reports whether the clause on top of the stack is of a switch that has
// conditions for cases: without one of them the next is tried.
func (s *search) tagless(stack []ast.Node) bool {
	sw, ok := stack[len(stack)-4].(*ast.SwitchStmt)
	return ok && sw.Tag == nil
}

// isGuard reports whether a place refuses what no request can bring about: it
// answers with an internal error, or asks a parameter whether it is the zero
// value that no stage makes.
func (s *search) isGuard(stmt ast.Stmt, stack []ast.Node) bool {
	text := s.text(stmt)
	if bytes.Contains(text, []byte("ReasonInternal")) {
		return true
	}
	if len(stack) < 3 {
		return false
	}
	i, ok := stack[len(stack)-3].(*ast.IfStmt)
	if !ok {
		return false
	}
	fn, _, _ := function(stack)
	decl, ok := fn.(*ast.FuncDecl)
	return ok && asksForZero(i.Cond, decl)
}

// asksForZero reports whether a condition is !p.Made() for a parameter p.
func asksForZero(e ast.Expr, fn *ast.FuncDecl) bool {
	not, ok := e.(*ast.UnaryExpr)
	if !ok || not.Op != token.NOT {
		return false
	}
	call, ok := not.X.(*ast.CallExpr)
	if !ok || len(call.Args) > 0 {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	for _, field := range fn.Type.Params.List {
		for _, name := range field.Names {
			if isName(method.X, name.Name) {
				return true
			}
		}
	}
	return false
}

func (s *search) text(n ast.Node) []byte {
	return s.file.text[s.tree.offset(n.Pos()):s.tree.offset(n.End())]
}

func (s *search) site(n ast.Node, ids []string, guard bool) int {
	k := len(s.out.sites)
	s.out.sites = append(s.out.sites, &site{number: k, file: s.file.path, line: s.tree.line(n.Pos()), rules: ids, guard: guard})
	return k
}

func (s *search) insert(p token.Pos, text string) {
	s.out.edits[s.file] = append(s.out.edits[s.file], edit{s.tree.offset(p), text})
}

// endWithZero ends a function with zero results, since what ended it before may
// be switched off. For an error, a reason or a fault they mean that nothing is
// wrong.
func (s *search) endWithZero(body *ast.BlockStmt, results *ast.FieldList) {
	at := s.tree.offset(body.Rbrace)
	for _, e := range s.out.edits[s.file] {
		if e.at == at && strings.HasPrefix(e.text, "; return") {
			return
		}
	}
	var zeros []string
	for _, field := range results.List {
		for range max(1, len(field.Names)) {
			zeros = append(zeros, fmt.Sprintf("*new(%s)", s.text(field.Type)))
		}
	}
	s.out.edits[s.file] = append(s.out.edits[s.file], edit{at, "; return " + strings.Join(zeros, ", ") + " "})
}

// rewrite is a file with its edits made. Lines keep their numbers.
func (t *tree) rewrite(f *goFile, edits []edit) []byte {
	edits = append(edits, edit{t.offset(f.syntax.Name.End()), fmt.Sprintf("; import %q", t.module+"/"+switchPath)})
	slices.SortStableFunc(edits, func(a, b edit) int { return a.at - b.at })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(f.text[at:e.at])
		out.WriteString(e.text)
		at = e.at
	}
	out.Write(f.text[at:])
	return out.Bytes()
}
