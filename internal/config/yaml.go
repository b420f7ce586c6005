package config

import (
	"bytes"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxFile is the size in bytes of a configuration, and of a trust-domain
	// table, past which it is refused unread.
	maxFile = 1 << 20
	// maxDepth bounds nesting. The library reads recursively, and a stack that
	// overflows cannot be recovered from.
	maxDepth = 32
)

// parseYAML reads one document. With faults the node is nil.
func parseYAML(file string, data []byte) (root *node, faults Faults) {
	start := position{file, 1, 1}
	if len(data) > maxFile {
		return nil, Faults{start.fault("the file has more than %d bytes", maxFile)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if f, bad := strayCharacter(file, data); bad {
		return nil, Faults{f}
	}
	// The library loses count of lines that end in both within quotes.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	// The library is written for documents of people who wish it well. Should
	// it still stumble, a reload must change nothing, not end the server.
	defer func() {
		if recover() != nil {
			root, faults = nil, Faults{start.fault("not valid YAML: the parser could not make sense of the file")}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	b := &builder{file: file, widths: widths(string(data))}
	b.refuseTokens(tokens)
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	restore := indentFlow(tokens)
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	restore()
	if err != nil {
		return nil, Faults{b.syntax(err, tokens)}
	}
	var body ast.Node
	for i, doc := range parsed.Docs {
		if i > 0 {
			return nil, Faults{b.place(doc.Start).fault("a second YAML document begins here; a configuration is one document")}
		}
		body = doc.Body
	}
	root = b.node(body)
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	return root, nil
}

// strayCharacter finds what no YAML text may hold. It is looked for first,
// because the library passes over it and then counts columns differently.
func strayCharacter(file string, data []byte) (Fault, bool) {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		at := position{file, line, column}
		switch {
		case r == utf8.RuneError && size == 1:
			return at.fault("the file must be UTF-8, but the byte 0x%02x here is not", data[i]), true
		case r == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			return at.fault("a carriage return stands here without a line feed after it"), true
		case r < 0x20 && r != '\t' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0, r == 0xfeff:
			return at.fault("the control character U+%04X may not stand in a configuration", r), true
		case r == '\n':
			line, column = line+1, 0
		}
		column++
		i += size
	}
	return Fault{}, false
}

// refuseTokens refuses, before anything is built from them, the parts of YAML
// with which a small file can become a large one, and nesting without end.
func (b *builder) refuseTokens(tokens token.Tokens) {
	refuse := func(t *token.Token, what string) {
		b.faults = append(b.faults, b.place(t).fault("%s", what))
	}
	flow, entries := 0, 0
	for _, t := range tokens {
		run := false
		switch t.Type {
		case token.AnchorType:
			refuse(t, "an anchor (&) is not allowed; write the value out each time")
		case token.AliasType:
			refuse(t, "an alias (*) is not allowed; write the value out, or put it in quotes if it begins with *")
		case token.MergeKeyType:
			refuse(t, "a merge key (<<) is not allowed; write the keys out")
		case token.TagType:
			refuse(t, "a tag (!) is not allowed; put the value in quotes if it begins with !")
		case token.DirectiveType:
			refuse(t, "a directive (%) is not allowed")
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			run, entries = true, entries+1
		}
		if !run {
			entries = 0
		}
		// Indentation needs no limit: a file of 1 MiB has room for some 1,400
		// levels. Brackets and dashes on one line do.
		if flow > maxDepth || entries > maxDepth {
			refuse(t, "values are nested more than 32 deep here")
			return
		}
	}
}

// indentFlow lets a { or [ that follows a key stand in column 1, as it does when
// a JSON object is pasted below `trust_domains:`. YAML wants such a value
// indented; for the parser's eyes it is, by one column, until restore is called.
func indentFlow(tokens token.Tokens) (restore func()) {
	var moved []*token.Position
	depth, pasted := 0, false
	var before *token.Token
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if t.Type == token.MappingStartType || t.Type == token.SequenceStartType {
			if depth == 0 {
				pasted = t.Position.Column == 1 && before != nil && before.Type == token.MappingValueType
			}
			depth++
		}
		if pasted {
			t.Position.Column++
			moved = append(moved, t.Position)
		}
		if t.Type == token.MappingEndType || t.Type == token.SequenceEndType {
			depth--
			pasted = pasted && depth > 0
		}
		before = t
	}
	return func() {
		for _, p := range moved {
			p.Column--
		}
	}
}
