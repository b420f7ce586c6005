package config

import (
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/svidgate/svidgate/oauth"
)

// A kind is what a value is, as far as this package cares.
type kind int

const (
	null kind = iota // nothing, or ~ or null
	text
	boolean
	number
	list
	mapping
)

// A node is one value of a file, with its place.
type node struct {
	kind    kind
	at      position
	text    string // of a text, boolean or number
	items   []*node
	members []member
}

// A member is one key of a mapping and its value, in the order of the file.
// The same key may be there twice; whoever opens the mapping refuses that.
type member struct {
	name  string
	at    position
	value *node
}

// written says what stands in the file, for the end of a sentence.
func (n *node) written() string {
	switch n.kind {
	case text:
		return quoted(n.text)
	case boolean:
		return n.text
	case number:
		return "the number " + oauth.Shown(n.text)
	case list:
		return "a list"
	case mapping:
		return "a table"
	}
	return "nothing"
}

func quoted(s string) string { return `"` + oauth.Shown(s) + `"` }

func widths(text string) []int {
	var all []int
	for line := range strings.SplitSeq(text, "\n") {
		all = append(all, utf8.RuneCountInString(line))
	}
	return all
}

// A builder turns the library's tree into nodes.
type builder struct {
	file   string
	widths []int // of the lines, in characters
	faults Faults
}

func (b *builder) place(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{b.file, 1, 1}
	}
	// The library counts past the end of a line where a value is absent or escapes
	// are broken; no place lies further out than right behind the line.
	line := min(max(t.Position.Line, 1), len(b.widths))
	return position{b.file, line, min(max(t.Position.Column, 1), b.widths[line-1]+1)}
}

func (b *builder) node(n ast.Node) *node {
	switch v := n.(type) {
	case nil:
		return &node{at: position{b.file, 1, 1}}
	case *ast.NullNode:
		return &node{at: b.place(v.GetToken())}
	case *ast.StringNode:
		return &node{kind: text, at: b.place(v.GetToken()), text: v.Value}
	case *ast.LiteralNode: // a block of lines after | or >
		return &node{kind: text, at: b.place(v.Start), text: v.Value.Value}
	case *ast.BoolNode:
		return &node{kind: boolean, at: b.place(v.GetToken()), text: v.GetToken().Value}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return &node{kind: number, at: b.place(v.GetToken()), text: v.GetToken().Value}
	case *ast.SequenceNode:
		l := &node{kind: list, at: b.place(v.Start)}
		for _, item := range v.Values {
			l.items = append(l.items, b.node(item))
		}
		return l
	case *ast.MappingNode:
		m := &node{kind: mapping, at: b.place(v.GetToken())}
		for _, value := range v.Values {
			b.member(m, value)
		}
		if !v.IsFlowStyle && len(m.members) > 0 {
			m.at = m.members[0].at // the library's place is that of the first colon
		}
		return m
	case *ast.MappingValueNode:
		m := &node{kind: mapping, at: b.place(v.Key.GetToken())}
		b.member(m, v)
		return m
	}
	b.faults = append(b.faults, b.place(n.GetToken()).fault("only texts, numbers, true, false, lists and tables may stand here"))
	return &node{at: b.place(n.GetToken())}
}

func (b *builder) member(m *node, v *ast.MappingValueNode) {
	at := b.place(v.Key.GetToken())
	switch key := v.Key.(type) {
	case *ast.StringNode:
		m.members = append(m.members, member{key.Value, at, b.node(v.Value)})
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		// A trust domain may be called 1 or true; its bytes are its name.
		m.members = append(m.members, member{key.GetToken().Value, at, b.node(v.Value)})
	default:
		b.faults = append(b.faults, at.fault("a key must be a plain word or a text in quotes"))
	}
}
