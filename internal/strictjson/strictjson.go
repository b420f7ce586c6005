package strictjson

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest (GL-11).
const MaxDepth = 16

// maxMembers bounds one object, so that the check for duplicates stays cheap.
const maxMembers = 2000

// A Value is one JSON value: the text it had in the input, already known to be
// well-formed. The empty Value is none.
type Value string

// A Member is one name and value of an object. Name is unescaped.
type Member struct {
	Name  string
	Value Value
}

// Members are an object's members in the order of the input.
type Members []Member

// Get returns the member with exactly this name.
func (m Members) Get(name string) (Value, bool) {
	for i := range m {
		if m[i].Name == name {
			return m[i].Value, true
		}
	}
	return "", false
}

// Object reads data as one JSON object. Errors say what is wrong and at which
// byte, and repeat nothing of the input.
func Object(data []byte) (Members, error) { return ObjectText(string(data)) }

// ObjectText is Object for a text. What it returns are pieces of it, as far as
// nothing in them is escaped: no member costs a copy.
func ObjectText(data string) (Members, error) {
	//svidgate:rule GL-11 JS-20 BU-1
	if !utf8.ValidString(data) {
		return nil, errors.New("not valid UTF-8")
	}
	s := scanner{data: data}
	s.space()
	//svidgate:rule GL-11 JS-20 BU-1
	if s.peek() != '{' {
		return nil, errors.New("not a JSON object")
	}
	members, err := s.object(1)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.at != len(data) {
		return nil, s.errorf("data after the object")
	}
	return members, nil
}

// Kind is the first byte of the value: { [ " t f n - or a digit.
func (v Value) Kind() byte {
	if len(v) == 0 {
		return 0
	}
	return v[0]
}

// Text is the value of a JSON string; false for every other kind.
func (v Value) Text() (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	return unquote(string(v)), true
}

// Texts is the value of an array that holds only strings; false otherwise.
func (v Value) Texts() ([]string, bool) {
	texts := make([]string, 0, 1) // as aud is, mostly
	only := v.each(func(item Value) bool {
		text, ok := item.Text()
		texts = append(texts, text)
		return ok
	})
	if !only {
		return nil, false
	}
	return texts, true
}

// Audience is the value of an aud claim: a string, or an array of strings (RFC
// 7519 section 4.1.3), as the list it stands for; false otherwise.
func (v Value) Audience() ([]string, bool) {
	if one, ok := v.Text(); ok {
		return []string{one}, true
	}
	return v.Texts()
}

// Items are the values of an array; false for every other kind.
func (v Value) Items() ([]Value, bool) {
	var items []Value
	ok := v.each(func(item Value) bool {
		items = append(items, item)
		return true
	})
	return items, ok
}

// each walks an array until it is told to stop, and reports whether it came to the
// end of one.
func (v Value) each(take func(Value) bool) bool {
	if v.Kind() != '[' {
		return false
	}
	s := scanner{data: string(v), at: 1}
	for s.space(); s.peek() != ']'; s.space() {
		if s.peek() == ',' {
			s.at++
			s.space()
		}
		start := s.at
		if err := s.value(1); err != nil { // cannot be: v was scanned before
			return false
		}
		if !take(Value(s.data[start:s.at])) {
			return false
		}
	}
	return true
}

// Object reads the value as an object; see the function Object.
func (v Value) Object() (Members, error) { return ObjectText(string(v)) }

// Uint64 is the value of a number written as a plain non-negative integer.
func (v Value) Uint64() (uint64, bool) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	return n, err == nil
}

// Int64 is the value of a number written as a plain integer.
func (v Value) Int64() (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// maxNumericDate is the end of the year 9999.
const maxNumericDate = 253402300799

// NumericDate is the value of a number as seconds since 1970 (RFC 7519 section
// 2). A fraction is allowed and kept to the microsecond. False for anything
// that is no number, is negative or lies after the year 9999.
func (v Value) NumericDate() (time.Time, bool) {
	if k := v.Kind(); k < '0' || k > '9' {
		return time.Time{}, false
	}
	if n, ok := v.Int64(); ok {
		if n > maxNumericDate {
			return time.Time{}, false
		}
		return time.Unix(n, 0), true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f > maxNumericDate {
		return time.Time{}, false
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e6)*1000), true
}

// scanner walks well-formed UTF-8.
type scanner struct {
	data string
	at   int
}

//svidgate:rule GL-11 JS-20 BU-1
func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", s.at, fmt.Sprintf(format, args...))
}

func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '{':
		_, err := s.object(depth + 1)
		return err
	case c == '[':
		return s.array(depth + 1)
	case c == '"':
		return s.text()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.errorf("a value is missing or malformed")
}

func (s *scanner) object(depth int) (Members, error) {
	if depth > MaxDepth {
		return nil, s.errorf("nested more than %d deep", MaxDepth)
	}
	s.at++ // {
	members := make(Members, 0, 8)
	s.space()
	if s.peek() == '}' {
		s.at++
		return members, nil
	}
	var seen map[string]struct{}
	for {
		s.space()
		start := s.at
		if s.peek() != '"' {
			return nil, s.errorf("a member name is missing")
		}
		if err := s.text(); err != nil {
			return nil, err
		}
		name := unquote(s.data[start:s.at])
		// A small object is searched, a large one gets an index.
		if len(members) == 32 {
			seen = make(map[string]struct{}, 64)
			for _, m := range members {
				seen[m.Name] = struct{}{}
			}
		}
		var twice bool
		if seen != nil {
			_, twice = seen[name]
			seen[name] = struct{}{}
		} else {
			_, twice = members.Get(name)
		}
		if twice {
			return nil, s.errorf("a member name appears twice")
		}
		if len(members) == maxMembers {
			return nil, s.errorf("more than %d members", maxMembers)
		}
		s.space()
		if s.peek() != ':' {
			return nil, s.errorf("a colon is missing")
		}
		s.at++
		s.space()
		from := s.at
		if err := s.value(depth); err != nil {
			return nil, err
		}
		members = append(members, Member{name, Value(s.data[from:s.at])})
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return members, nil
		default:
			return nil, s.errorf("a comma or a closing brace is missing")
		}
	}
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return s.errorf("nested more than %d deep", MaxDepth)
	}
	s.at++ // [
	s.space()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		s.space()
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.errorf("a comma or a closing bracket is missing")
		}
	}
}

// text moves past a string (RFC 8259 section 7). A surrogate without its pair
// is refused: it has no UTF-8 form, so two names could come out equal.
func (s *scanner) text() error {
	s.at++ // "
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c < 0x20:
			return s.errorf("a control character in a string")
		case c != '\\':
			s.at++
			continue
		}
		if s.at+1 >= len(s.data) {
			break
		}
		switch s.data[s.at+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			s.at += 2
		case 'u':
			r, ok := hex4(s.data[s.at:])
			if !ok {
				return s.errorf("a malformed escape")
			}
			s.at += 6
			if !utf16.IsSurrogate(r) {
				continue
			}
			low, ok := hex4(s.data[s.at:])
			if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
				return s.errorf("half of a surrogate pair")
			}
			s.at += 6
		default:
			return s.errorf("a malformed escape")
		}
	}
	return s.errorf("a string is not closed")
}

// hex4 reads the escape \uXXXX at the start of b.
func hex4(b string) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(b[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number moves past a number (RFC 8259 section 6).
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.errorf("a malformed number")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.errorf("a malformed number")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.errorf("a malformed number")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.at
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > start
}

func (s *scanner) word(w string) error {
	if !strings.HasPrefix(s.data[s.at:], w) {
		return s.errorf("a value is missing or malformed")
	}
	s.at += len(w)
	return nil
}

// unquote decodes a string that text has walked over.
func unquote(quoted string) string {
	in := quoted[1 : len(quoted)-1]
	if strings.IndexByte(in, '\\') < 0 {
		return in
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		i++
		switch in[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(in[i-1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low, _ := hex4(in[i+1:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default: // " \ /
			out = append(out, in[i])
		}
	}
	return string(out)
}
