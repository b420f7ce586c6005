package audit

import (
	"encoding/base64"
	"strings"
)

// redacted stands where a token was.
const redacted = "[redacted]"

// withoutTokens replaces what looks like a JWT in a text. Nobody puts one into
// an event on purpose, but a peer may send its assertion as client_id or scope,
// and a refused SVID may still be good elsewhere (AU-2, F50).
func withoutTokens(s string) string {
	var clean strings.Builder
	done := 0
	for at := 0; ; {
		dot := strings.Index(s[at:], ".e") // a payload begins with {, which is e in base64
		if dot < 0 {
			break
		}
		dot += at
		start := dot
		for start > at && inBase64URL(s[start-1]) {
			start--
		}
		if !jsonInBase64(s[start:dot]) || !jsonInBase64(s[dot+1:]) {
			at = dot + 1
			continue
		}
		at = dot
		for at < len(s) && (inBase64URL(s[at]) || s[at] == '.') {
			at++
		}
		clean.WriteString(s[done:start])
		clean.WriteString(redacted)
		done = at
	}
	if done == 0 {
		return s
	}
	clean.WriteString(s[done:])
	return clean.String()
}

// jsonInBase64 reports whether s begins with the base64url form of a JSON
// object that has members.
func jsonInBase64(s string) bool {
	if len(s) < 4 {
		return false
	}
	var b [3]byte
	if _, err := base64.RawURLEncoding.Decode(b[:], []byte(s[:4])); err != nil {
		return false
	}
	return b[0] == '{' && strings.IndexByte("\" \t\r\n", b[1]) >= 0
}

func inBase64URL(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
