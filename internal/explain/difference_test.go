package explain

import "testing"

// F17, F49: the first difference is named as an operator would name it.
func TestFirstDifference(t *testing.T) {
	for _, c := range []struct{ name, expected, presented, where, e, p string }{
		{"trailing slash", "https://as.example.com", "https://as.example.com/", "trailing slash", "none", "one"},
		{"trailing slash missing", "https://as.example.com/t/", "https://as.example.com/t", "trailing slash", "one", "none"},
		{"case of the host", "https://as.example.com", "https://AS.example.com", "case of host", "as.example.com", "AS.example.com"},
		{"case of the scheme", "https://as.example.com", "HTTPS://as.example.com", "case of scheme", "https", "HTTPS"},
		{"case of a segment", "spiffe://example.org/ns/a", "spiffe://example.org/NS/a", "case of segment 1", "ns", "NS"},
		{"scheme", "https://as.example.com", "http://as.example.com", "scheme", "https", "http"},
		{"no scheme", "https://as.example.com", "as.example.com", "scheme", "https", "none"},
		{"host", "https://as.example.com", "https://as.svc.cluster.local", "host", "as.example.com", "as.svc.cluster.local"},
		{"host and port", "https://as.example.com", "https://as.svc:8443", "host", "as.example.com", "as.svc"},
		{"port", "https://as.example.com", "https://as.example.com:8443", "port", "none", "8443"},
		{"the default port", "https://as.example.com", "https://as.example.com:443", "port", "none", "443"},
		{"port in IPv6", "https://[::1]:1", "https://[::1]:2", "port", "1", "2"},
		{"trust domain", "spiffe://example.org/a", "spiffe://example.com/a", "trust domain", "example.org", "example.com"},
		{"segment", "spiffe://example.org/ns/prod/sa/a", "spiffe://example.org/ns/test/sa/a", "segment 2", "prod", "test"},
		{"one segment more", "spiffe://example.org/ns/a", "spiffe://example.org/ns/a/b", "segment 3", "none", "b"},
		{"the endpoint instead of the issuer", "https://as.example.com", "https://as.example.com/token", "segment 1", "none", "token"},
		{"query", "https://as.example.com", "https://as.example.com?x", "query", "none", "?x"},
		{"white space", "https://as.example.com", "https://as.example.com\n", "white space around it", "none", "1 bytes of it"},
		{"no URL at all", "svidgate", "svidgete", "name", "svidgate", "svidgete"},
		{"what has no part of its own", "https://h:", "https://h", "byte 10", ":", "none"},
		{"nothing", "https://as.example.com", "", "scheme", "https", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, ok := FirstDifference(c.expected, c.presented)
			if want := (Difference{c.where, c.e, c.p}); !ok || d != want {
				t.Errorf("%+v, %t, want %+v", d, ok, want)
			}
		})
	}
}

// FuzzFirstDifference: equal strings have none, others have one, and it is the
// same place from either side.
func FuzzFirstDifference(f *testing.F) {
	for _, s := range []string{"", "/", "https://as.example.com", "https://AS.example.com/", "spiffe://example.org/a/b", "https://[::1]:1/a?b#c", "://", "a\x00b", " https://h"} {
		f.Add(s, "https://as.example.com")
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		d, ok := FirstDifference(a, b)
		if ok == (a == b) {
			t.Fatalf("%q and %q: difference %t", a, b, ok)
		}
		back, _ := FirstDifference(b, a)
		if back != (Difference{d.Where, d.Presented, d.Expected}) {
			t.Errorf("%+v one way, %+v the other", d, back)
		}
		if ok && d.Where == "" {
			t.Error("a difference nowhere")
		}
	})
}
