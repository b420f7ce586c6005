package trace

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// W3C Trace Context section 3.2.2, each defect beside what is accepted.
func TestParseLink(t *testing.T) {
	for _, row := range []struct {
		name, text  string
		ok, sampled bool
	}{
		{"as it should be", parent, true, true},
		{"not sampled", "00-" + traceID + "-" + spanID + "-00", true, false},
		{"other flags", "00-" + traceID + "-" + spanID + "-fe", true, false},
		{"a later version", "cc-" + traceID + "-" + spanID + "-01", true, true},
		{"a later version with more", "cc-" + traceID + "-" + spanID + "-01-what-comes", true, true},
		{"a later version with more and no dash", "cc-" + traceID + "-" + spanID + "-01.what-comes", false, false},
		{"version ff", "ff-" + traceID + "-" + spanID + "-01", false, false},
		{"version 00 with more", parent + "-x", false, false},
		{"empty", "", false, false},
		{"cut", parent[:54], false, false},
		{"capitals", strings.ToUpper(parent), false, false},
		{"no hexadecimal", strings.Replace(parent, "0af", "0ag", 1), false, false},
		{"no dashes", strings.ReplaceAll(parent, "-", "0"), false, false},
		{"trace id of zeros", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", false, false},
		{"span id of zeros", "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", false, false},
	} {
		link, ok := parseLink(row.text)
		if ok != row.ok || link.Sampled != row.sampled || ok && (hex.EncodeToString(link.TraceID[:]) != traceID || hex.EncodeToString(link.SpanID[:]) != spanID) {
			t.Errorf("%s: %+v %v", row.name, link, ok)
		}
		if !ok && link != (Link{}) {
			t.Errorf("%s: something is left of it: %+v", row.name, link)
		}
	}
}

func TestLinkOfHeader(t *testing.T) {
	if linkOf(http.Header{"Traceparent": {parent}}) == (Link{}) {
		t.Error("one is not taken")
	}
	if linkOf(http.Header{"Traceparent": {parent, parent}}) != (Link{}) || linkOf(http.Header{}) != (Link{}) {
		t.Error("two, or none, are taken")
	}
}

// What is accepted of version 00 is written in one way only.
func FuzzParseLink(f *testing.F) {
	f.Add(parent)
	f.Add("cc-" + traceID + "-" + spanID + "-01-x")
	f.Add(strings.ToUpper(parent))
	f.Fuzz(func(t *testing.T, s string) {
		link, ok := parseLink(s)
		if !ok {
			if link != (Link{}) {
				t.Errorf("%q: %+v", s, link)
			}
			return
		}
		if want := fmt.Sprintf("-%x-%x-", link.TraceID, link.SpanID); s[2:53] != want {
			t.Errorf("%q became %q", s, want)
		}
	})
}
