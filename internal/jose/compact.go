package jose

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/internal/strictjson"
)

// strict refuses padding, line breaks and stray trailing bits, so that a token
// has one spelling only.
var strict = base64.RawURLEncoding.Strict()

// A Compact is a token in compact serialization, taken apart and nothing more:
// no signature was checked, no member looked at.
type Compact struct {
	Header  strictjson.Members
	Payload strictjson.Members

	Signature []byte
	// SigningInput is header.payload as it stood in the token.
	SigningInput string
}

// ErrNotCompact is the cause when a token is not three base64url parts.
//
//svidgate:rule JS-1 GL-11
var ErrNotCompact = errors.New("not a compact JWS of three base64url parts")

// ParseCompact takes a token apart. It refuses anything but three non-empty
// parts in strict base64url (JS-1) whose first two are JSON objects by the
// strict rules (JS-20). Callers bound the length first. Errors wrap
// ErrNotCompact in the first case, and never repeat the input.
func ParseCompact(token string) (*Compact, error) {
	header, rest, ok := strings.Cut(token, ".")
	if !ok {
		return nil, ErrNotCompact
	}
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || header == "" || payload == "" || signature == "" || strings.IndexByte(signature, '.') >= 0 {
		return nil, ErrNotCompact
	}
	// One buffer for the three decoded parts, and one text of the first two: claims
	// are pieces of it.
	buf := make([]byte, 0, len(token))
	cuts := [3]int{}
	for i, part := range [...]string{header, payload, signature} {
		if strings.ContainsAny(part, "\r\n") { // the decoder would skip them
			return nil, ErrNotCompact
		}
		start := len(buf)
		buf = buf[:start+strict.DecodedLen(len(part))]
		n, err := strict.Decode(buf[start:], []byte(part))
		if err != nil {
			return nil, ErrNotCompact
		}
		buf = buf[:start+n]
		cuts[i] = len(buf)
	}
	c := &Compact{
		Signature:    buf[cuts[1]:cuts[2]],
		SigningInput: token[:len(header)+1+len(payload)],
	}
	text := string(buf[:cuts[1]])
	var err error
	if c.Header, err = strictjson.ObjectText(text[:cuts[0]]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if c.Payload, err = strictjson.ObjectText(text[cuts[0]:]); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return c, nil
}

// Text returns the header member as a string. present is true when the member
// is there at all; ok only when it is a string.
func (c *Compact) Text(name string) (text string, present, ok bool) {
	v, present := c.Header.Get(name)
	if !present {
		return "", false, false
	}
	text, ok = v.Text()
	return text, true, ok
}
