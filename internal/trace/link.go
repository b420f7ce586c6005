package trace

import (
	"encoding/hex"
	"net/http"
)

// A Link names the span in whose course a peer says that it sent the request. The
// zero value is none. It is a claim, and of nothing that matters.
type Link struct {
	TraceID [16]byte
	SpanID  [8]byte
	Sampled bool // the peer follows it
}

// linkOf reads traceparent (W3C Trace Context section 3.2). One that is not well
// formed, or stands there twice, is none; tracestate is not read.
func linkOf(header http.Header) Link {
	values := header.Values("Traceparent")
	if len(values) != 1 {
		return Link{}
	}
	link, _ := parseLink(values[0])
	return link
}

// parseLink reads version-traceid-spanid-flags. Of a version that is not known,
// what version 00 has is taken, as section 4.3 says.
func parseLink(s string) (link Link, ok bool) {
	const length = 55
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Link{}, false
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		text string
	}{{version[:], s[:2]}, {link.TraceID[:], s[3:35]}, {link.SpanID[:], s[36:52]}, {flags[:], s[53:length]}} {
		if !lowerHex(part.text) {
			return Link{}, false
		}
		if _, err := hex.Decode(part.to, []byte(part.text)); err != nil {
			return Link{}, false
		}
	}
	switch {
	case version[0] == 0xff,
		version[0] == 0 && len(s) != length,
		len(s) > length && s[length] != '-',
		link.TraceID == [16]byte{}, link.SpanID == [8]byte{}:
		return Link{}, false
	}
	link.Sampled = flags[0]&1 != 0
	return link, true
}

// lowerHex is what section 3.2 demands; package hex takes capitals, too.
func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
