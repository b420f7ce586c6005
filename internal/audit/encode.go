package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxMember is how many bytes of one member are kept: twice the longest
	// SPIFFE ID. A list shares it among its values.
	maxMember = 4096
	// maxLine bounds a line. No event reaches it: every member at maxMember,
	// each byte escaped to six, stays below.
	maxLine = 1 << 20
	// cutMark ends a member that was cut.
	cutMark = `\u2026`

	timeLayout = "2006-01-02T15:04:05.000000Z"
	digestLen  = 2 * sha256.Size

	headVersion = `{"version":1,"seq":`
	headPrev    = `,"prev":"`
	headTime    = `","time":"`
	// headRoom is the longest head: the largest seq and a digest.
	headRoom = len(headVersion) + len("18446744073709551615") + len(headPrev) + digestLen

	// mendRoom is for the newline that ends a torn line of a stream.
	mendRoom = 1
)

// A line is one event on its way to the file. What depends on the event alone is
// encoded before the Log's turn is taken; seq and prev, which stand in front,
// are put into the room that was left for them.
type line struct{ buf []byte }

func (ln *line) fill(e *Event, at time.Time, node string) {
	if cap(ln.buf) == 0 {
		ln.buf = make([]byte, 0, 2048)
	}
	b := ln.buf[:mendRoom+headRoom]
	b = append(b, headTime...)
	b = at.UTC().AppendFormat(b, timeLayout)
	b = append(b, '"')
	b = appendText(b, "node", node)
	b = e.append(b)
	ln.buf = append(b, '}', '\n')
}

// seal writes the head and returns the whole line with its newline, behind
// another one if mend.
func (ln *line) seal(seq uint64, prev *[digestLen]byte, mend bool) []byte {
	var room [headRoom]byte
	head := append(room[:0], headVersion...)
	head = strconv.AppendUint(head, seq, 10)
	head = append(head, headPrev...)
	head = append(head, prev[:]...)
	start := mendRoom + headRoom - len(head)
	copy(ln.buf[start:], head)
	if mend {
		start--
		ln.buf[start] = '\n'
	}
	return ln.buf[start:]
}

// digest is what the next line's prev is: over the line without its newline.
func digest(line []byte) (hexed [digestLen]byte) {
	sum := sha256.Sum256(line)
	hex.Encode(hexed[:], sum[:])
	return hexed
}

// append appends the members of an event. What this server made up itself is not
// searched for tokens; what a caller may have sent is.
func (e *Event) append(b []byte) []byte {
	b = appendMember(b, "event", e.Event)
	b = appendMember(b, "outcome", e.Outcome)
	b = appendMember(b, "reason", e.Reason)
	b = appendMember(b, "rule", e.Rule)
	b = appendText(b, "expected", e.Expected)
	b = appendText(b, "presented", e.Presented)
	b = appendMember(b, "request_id", e.RequestID)
	b = appendText(b, "endpoint", e.Endpoint)
	b = appendMember(b, "source", e.Source)
	b = appendText(b, "client_id", e.ClientID)
	b = appendMember(b, "spiffe_id", e.SPIFFEID) // whole: nobody may hide behind a path that looks like a token
	b = appendMember(b, "trust_domain", e.TrustDomain)
	if e.Proven {
		b = append(b, `,"proven":true`...)
	}
	b = appendMember(b, "auth_method", e.AuthMethod)
	b = appendMember(b, "svid_sha256", e.SVIDDigest)
	b = appendText(b, "svid_key_id", e.SVIDKeyID)
	b = appendText(b, "svid_jti", e.SVIDTokenID)
	b = appendMember(b, "proof", e.Proof)
	if e.HasBundleSequence {
		b = append(b, `,"bundle_sequence":`...)
		b = strconv.AppendUint(b, e.BundleSequence, 10)
	}
	b = appendList(b, "profile_legacy_use", e.ProfileLegacyUse)
	b = appendMember(b, "provider", e.Provider)
	b = appendText(b, "grant_type", e.GrantType)
	b = appendText(b, "resource", e.Resource)
	b = appendText(b, "scope", e.Scope)
	b = appendText(b, "subject", e.Subject)
	b = appendText(b, "policy_rule", e.PolicyRule)
	b = appendMember(b, "grant_id", e.GrantID)
	b = appendMember(b, "first_use", e.FirstUse)
	b = appendMember(b, "first_use_reason", e.FirstUseReason)
	b = appendMember(b, "template", e.Template)
	b = appendMember(b, "template_sha256", e.TemplateDigest)
	b = appendMember(b, "txn", e.Txn)
	b = appendMember(b, "jti", e.JTI)
	b = appendMember(b, "key_id", e.KeyID)
	b = appendMember(b, "binding", e.Binding)
	if !e.Expires.IsZero() {
		b = append(b, `,"expires":"`...)
		b = e.Expires.UTC().AppendFormat(b, timeLayout)
		b = append(b, '"')
	}
	b = appendText(b, "revoked", e.Revoked)
	b = appendText(b, "note", e.Note)
	if e.Event == eventResumed {
		b = append(b, `,"failed_events":`...)
		b = strconv.AppendUint(b, e.failedEvents, 10)
	}
	if e.lostBytes != 0 {
		b = append(b, `,"lost_bytes":`...)
		b = strconv.AppendInt(b, e.lostBytes, 10)
	}
	return appendText(b, "lost_sha256", e.lostDigest)
}

// appendText appends a member without what looks like a token in it (AU-2).
func appendText(b []byte, name, value string) []byte {
	return appendMember(b, name, oauth.Redact(value))
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendQuoted(b, value, maxMember)
}

func appendList(b []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '[')
	room := maxMember
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if room <= 0 { // the list was cut, and says so
			b = append(b, `"`+cutMark+`"`...)
			break
		}
		value = oauth.Redact(value)
		b = appendQuoted(b, value, room)
		room -= len(value) + len(`"",`)
	}
	return append(b, ']')
}

// appendQuoted appends s as a JSON string in ASCII, with at most limit bytes of
// it. Everything but printable ASCII is escaped, so that no sender's newline
// makes a second line, and no control or direction character changes what a
// terminal shows of one (AK-31). A byte that is no UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string, limit int) []byte {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[done:i]...)
		size := 1
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < utf8.RuneSelf:
			b = appendEscape(b, rune(c))
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
				b = appendEscape(b, high)
				r = low
			}
			b = appendEscape(b, r)
		}
		i += size
		done = i
	}
	b = append(b, s[done:]...)
	if cut {
		b = append(b, cutMark...)
	}
	return append(b, '"')
}

// appendEscape appends \uXXXX.
func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
