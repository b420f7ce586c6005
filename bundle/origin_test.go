package bundle

import (
	"strings"
	"testing"
)

func endpointAt(t *testing.T, url string) *Endpoint {
	t.Helper()
	e, err := NewEndpoint(EndpointConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The origin is the identity of a source: two URLs have two, and one is stable.
func TestEndpointOriginIsUnique(t *testing.T) {
	long := "https://h.example/" + strings.Repeat("a", 200)
	seen := map[string]string{}
	for _, tt := range []struct {
		name, url string
		origin    string // empty: the shown URL and a digest
	}{
		{"plain", "https://h.example/bundle", "https://h.example/bundle"},
		{"another path", "https://h.example/bundle2", "https://h.example/bundle2"},
		{"a query", "https://h.example/bundle?td=staging", ""},
		{"another query", "https://h.example/bundle?td=production", ""},
		{"an empty query", "https://h.example/bundle?", ""},
		{"too long to be shown", long + "/staging", ""},
		{"another of these", long + "/production", ""},
		{"and with a query", long + "/production?a", ""},
		{"a path like a digest", "https://h.example/bundle%20(0123456789abcdef)", "https://h.example/bundle%20(0123456789abcdef)"},
	} {
		origin := endpointAt(t, tt.url).Origin()
		if tt.origin != "" && origin != tt.origin {
			t.Errorf("%s: %s", tt.name, origin)
		}
		if tt.origin == "" && (!strings.HasSuffix(origin, ")") || strings.Contains(origin, "td=")) {
			t.Errorf("BE-18 %s: %s", tt.name, origin)
		}
		if origin != endpointAt(t, tt.url).Origin() {
			t.Errorf("%s: not the same twice", tt.name)
		}
		if other, ok := seen[origin]; ok {
			t.Errorf("BE-16 %q and %q share the origin %s", tt.name, other, origin)
		}
		seen[origin] = tt.name
	}
}

// BE-16: what came from one URL is not trusted under another, even if they differ
// only in what is not shown.
func TestOtherURLBeginsAnew(t *testing.T) {
	long := "https://h.example/" + strings.Repeat("a", 200)
	for _, tt := range []struct{ name, before, after string }{
		{"BE-16 the query", "https://h.example/bundle?td=staging", "https://h.example/bundle?td=production"},
		{"BE-16 the end of a long path", long + "/staging", long + "/production"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var record recorder
			folder := t.TempDir()
			td := TrustDomain{Name: trustDomain(t, "example.org")}
			from := func(url, kid string, sequence int) *memory {
				m := holding(jwtDocument(t, map[string]any{"spiffe_sequence": sequence}, kid))
				m.origin = endpointAt(t, url).Origin()
				return m
			}
			td.Source = from(tt.before, "staging", 50)
			s := keeping(t, folder, &record, td)
			mustLoad(t, s)
			if again := keeping(t, folder, &record, td); !hasKey(again, td, "staging") {
				t.Fatal("BE-15 the same URL lost its bundle")
			}
			td.Source = from(tt.after, "production", 3)
			again := keeping(t, folder, &record, td)
			if hasKey(again, td, "staging") {
				t.Error("after a restart the key of the other URL is trusted")
			}
			mustLoad(t, again)
			mustReplace(t, s, td)
			if hasKey(s, td, "staging") {
				t.Error("after a reload the key of the other URL is trusted")
			}
			mustLoad(t, s)
			if !hasKey(s, td, "production") || !hasKey(again, td, "production") {
				t.Error("the sequence of the other URL counts")
			}
		})
	}
}
