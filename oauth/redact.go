package oauth

import (
	"encoding/base64"
	"strings"
)

// redacted stands where a token or a key was.
const redacted = "[redacted]"

// The first and the last words of what PEM holds, such as a private key.
const (
	pemBegins = "-----BEGIN"
	pemEnds   = "-----END"
)

const (
	// markerLen is how much of a token tells that it is one: the base64url form
	// of the first nine bytes of a JSON object.
	markerLen = 12
	// pieceLen is from where on letters behind a break count as more of a token.
	pieceLen = 16
	// breakLen is the longest break: a line end, a %2E, an escaped quote.
	breakLen = 4
)

// Redact replaces what looks like a JWT, or begins like a part of one. Nobody
// shows a token on purpose, but a caller may send its assertion as client_id or
// scope, and a refused SVID may still be good elsewhere (AU-2, F50).
//
// A token is known by a JSON object in base64url, so a header or a payload alone
// is replaced too, and so is what was cut, wrapped over lines or escaped behind
// it. A piece from the middle of a token looks like any name and stays, and so does
// an authorization code. Refresh tokens of this server go as well, and what PEM
// holds: it may be a private key.
func Redact(s string) string {
	if !strings.Contains(s, "ey") && !strings.Contains(s, "ew") && !strings.Contains(s, pemBegins) && !strings.Contains(s, RefreshTokenPrefix) {
		return s // most of what is shown, at a fraction of the search
	}
	var clean strings.Builder
	done := 0
	for at := 0; at < len(s); at++ {
		length := 0
		switch c := s[at]; {
		case c == 'e' && tokenBegins(s[at:]):
			length = tokenLen(s[at:])
		case c == '-' && strings.HasPrefix(s[at:], pemBegins):
			length = pemLen(s[at:])
		case c == RefreshTokenPrefix[0] && strings.HasPrefix(s[at:], RefreshTokenPrefix):
			length = pieceOf(s[at:])
		default:
			continue
		}
		clean.WriteString(s[done:at])
		clean.WriteString(redacted)
		done = at + length
		at = done - 1
	}
	if done == 0 {
		return s
	}
	clean.WriteString(s[done:])
	return clean.String()
}

// tokenBegins reports whether s begins with the base64url form of a JSON object
// that has members.
func tokenBegins(s string) bool {
	if len(s) < markerLen || s[0] != 'e' || s[1] != 'y' && s[1] != 'w' {
		return false
	}
	var b [markerLen / 4 * 3]byte
	if _, err := base64.RawURLEncoding.Decode(b[:], []byte(s[:markerLen])); err != nil {
		return false
	}
	if b[0] != '{' || strings.IndexByte("\" \t\r\n", b[1]) < 0 {
		return false
	}
	for _, c := range b[2:] { // keyJob decodes to an object, too, but not to text
		if (c < 0x20 || c > 0x7e) && strings.IndexByte("\t\r\n", c) < 0 {
			return false
		}
	}
	return true
}

// tokenLen is how much of s, which begins with a token, is to go.
func tokenLen(s string) int {
	end := pieceOf(s)
	for {
		next := end
		for next < len(s) && next-end < breakLen && !inToken(s[next]) {
			next++
		}
		piece := pieceOf(s[next:])
		if piece < pieceLen || tokenBegins(s[next:]) {
			return end
		}
		end = next + piece
	}
}

// pemLen is how much of s, which begins as PEM does, is to go: up to the label of
// its last line, or all of it where there is none.
func pemLen(s string) int {
	if end := strings.Index(s, pemEnds); end >= 0 {
		return end + len(pemEnds)
	}
	return len(s)
}

func pieceOf(s string) int {
	n := 0
	for n < len(s) && inToken(s[n]) {
		n++
	}
	return n
}

func inToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}
