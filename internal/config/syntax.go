package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/token"

	"github.com/svidgate/svidgate/oauth"
)

// syntax puts the library's complaint at its place, in words that say what to
// change. Where a bracket or a quote is at fault that stands further up, the
// place is there or is named.
func (b *builder) syntax(err error, tokens token.Tokens) Fault {
	var positioned interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &positioned) {
		return position{b.file, 1, 1}.fault("not valid YAML")
	}
	at, said := positioned.GetToken(), positioned.GetMessage()
	if open := unclosedQuote(tokens, at); open != nil {
		return b.place(open).fault("not valid YAML: the text in quotes that begins here ends only on line %d; a quote is missing", b.place(at).line)
	}
	for _, c := range complaints {
		if strings.Contains(said, c.said) {
			return b.place(at).fault("not valid YAML: %s%s", c.meaning, opened(c, tokens, at))
		}
	}
	return b.place(at).fault("not valid YAML: %s", oauth.Shown(said))
}

// A complaint is what the library says, and what that means to an operator.
type complaint struct {
	said    string
	meaning string
	bracket bool // the bracket around the place is worth naming
}

const sameColumn = "; the keys of one table begin in the same column"

var complaints = []complaint{
	{said: "\t", meaning: "a tab stands where the indentation is; indent with spaces"},
	{said: "tab character", meaning: "a tab stands where the indentation is; indent with spaces"},
	{said: "indentation space", meaning: "a tab stands where the indentation is; indent with spaces"},
	{said: "',' or '}' must be specified", meaning: "a comma or } is missing before this", bracket: true},
	{said: "',' or ']' must be specified", meaning: "a comma or ] is missing before this", bracket: true},
	{said: "end token '}' not found", meaning: "the { here is never closed"},
	{said: "flow mapping end token '}'", meaning: "the { here is never closed"},
	{said: "sequence end token ']' not found", meaning: "the [ here is never closed"},
	{said: "-quoted text", meaning: "the quote here is never closed"},
	{said: "corresponding to ']'", meaning: "there is no [ that this ] closes"},
	{said: "corresponding to '}'", meaning: "there is no { that this } closes"},
	{said: "mapping value is not allowed", meaning: `no colon may stand here; a value that ends in a colon, or has ": " in it, must be in quotes`},
	{said: "key-value is pre-defined", meaning: "this does not belong to the value before it" + sameColumn},
	{said: "value is not allowed in this context", meaning: "this does not stand where a key can" + sameColumn},
	{said: "non-map value is specified", meaning: "a key with a colon and a space after it belongs here"},
	{said: "unexpected key name", meaning: "a key needs a colon and a space after it"},
	{said: "unknown escape character", meaning: `in double quotes a backslash is written \\; in single quotes it is written as it is`},
}

// opened names the bracket that stands open before a token.
func opened(c complaint, tokens token.Tokens, before *token.Token) string {
	if !c.bracket {
		return ""
	}
	var open []*token.Token
	for _, t := range tokens {
		if t == before || t.Position.Offset >= before.Position.Offset {
			break
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			open = append(open, t)
		case token.MappingEndType, token.SequenceEndType:
			open = open[:max(len(open)-1, 0)]
		}
	}
	if len(open) == 0 {
		return ""
	}
	last := open[len(open)-1]
	return fmt.Sprintf("; the %s is on line %d", last.Value, last.Position.Line)
}

// unclosedQuote finds a text in quotes that runs over several lines and ends on
// the line of the complaint: its own closing quote was forgotten, and the next
// one closed it.
func unclosedQuote(tokens token.Tokens, at *token.Token) *token.Token {
	for _, t := range tokens {
		if t.Type != token.DoubleQuoteType && t.Type != token.SingleQuoteType {
			continue
		}
		if lines := strings.Count(strings.TrimSpace(t.Origin), "\n"); lines > 0 && t.Position.Line+lines == at.Position.Line {
			return t
		}
	}
	return nil
}
