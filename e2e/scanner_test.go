package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The scanner must find what is planted, in whatever form and in however small a
// piece, or its silence means nothing.
func TestScannerFindsWhatIsPlanted(t *testing.T) {
	for _, row := range []struct{ kind, secret string }{
		{"payload of a JWT", base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"spiffe://example.org/w","aud":["https://as.example.com"],"exp":1800000000}`))},
		{"signature of a JWT", base64.RawURLEncoding.EncodeToString([]byte(rand.Text() + rand.Text() + rand.Text()))},
		{"password with all sorts of letters", `pä"ss\wo/rd+with %41 <all> sorts&of=letters` + rand.Text()},
		{"private key", string([]byte{0x30, 0x81, 0x87, 0, 1, 2, 0xff, 0xfe}) + rand.Text() + rand.Text()},
	} {
		v := &vault{}
		v.add(row.kind, row.secret)
		s := v.scanner()
		backwards := func(x string) string { b := []byte(x); slices.Reverse(b); return string(b) }
		for name, form := range map[string]func(string) string{
			"as it is":            func(x string) string { return x },
			"lower case":          strings.ToLower,
			"upper case":          strings.ToUpper,
			"hex":                 func(x string) string { return hex.EncodeToString([]byte(x)) },
			"upper-case hex":      func(x string) string { return strings.ToUpper(hex.EncodeToString([]byte(x))) },
			"URL-escaped":         url.QueryEscape,
			"URL-escaped twice":   func(x string) string { return url.QueryEscape(url.QueryEscape(x)) },
			"path-escaped":        url.PathEscape,
			"JSON":                func(x string) string { return string(must(json.Marshal(x))) },
			"JSON in JSON":        func(x string) string { return string(must(json.Marshal(string(must(json.Marshal(x)))))) },
			"quoted by Go":        func(x string) string { return fmt.Sprintf("%q", x) },
			"backwards":           backwards,
			"base64":              func(x string) string { return base64.StdEncoding.EncodeToString([]byte(x)) },
			"base64url":           func(x string) string { return base64.RawURLEncoding.EncodeToString([]byte(x)) },
			"base64 behind one":   func(x string) string { return base64.StdEncoding.EncodeToString([]byte("u" + x + "v")) },
			"base64url behind 2":  func(x string) string { return base64.URLEncoding.EncodeToString([]byte("us" + x + "v")) },
			"base64 of a header":  func(x string) string { return base64.StdEncoding.EncodeToString([]byte("Bearer " + x + "\n")) },
			"base64url in a path": func(x string) string { return "/x/" + base64.RawURLEncoding.EncodeToString([]byte("id:"+x)) + "/y" },
		} {
			text := func(planted string) exhibit {
				return exhibit{"a log", []byte(`{"level":"INFO","cause":"` + planted + `"}` + "\n")}
			}
			if len(s.scan(text(form(row.secret)))) == 0 {
				t.Errorf("a %s is not found: %s", row.kind, name)
			}
			// Pieces: the smallest of the plain form, and three windows of the others,
			// since an encoder blurs the ends of a piece.
			piece := 3 * window
			if name == "as it is" || name == "backwards" {
				piece = window
			}
			if !json.Valid([]byte(`"` + row.secret + `"`)) {
				continue // an escape may be cut in its middle
			}
			for at := 0; at+piece <= len(row.secret); at++ {
				if len(s.scan(text(form(row.secret[at:at+piece])))) == 0 {
					t.Errorf("%d bytes of a %s from byte %d are not found: %s", piece, row.kind, at, name)
					break
				}
			}
		}
		// It says where and what, and repeats nothing.
		found := s.scan(exhibit{"a log", []byte("xx" + row.secret)})
		if len(found) == 0 || found[0].at != 2 || found[0].length != len(row.secret) || strings.Contains(found[0].String(), row.secret[:window]) {
			t.Errorf("%s: %v", row.kind, found)
		}
		for name, innocent := range map[string]string{
			"nothing":            "",
			"15 bytes":           "x" + row.secret[:window-1] + "\n" + row.secret[window:2*window-1],
			"its window blurred": row.secret[:window/2] + "." + row.secret[window/2:window],
			"another one":        rand.Text() + rand.Text(),
		} {
			if found := s.scan(exhibit{"a log", []byte(innocent)}); len(found) != 0 {
				t.Errorf("%s of a %s is taken for a leak: %v", name, row.kind, found)
			}
		}
	}
	// Of a JWT the header is no secret; payload and signature are.
	v := &vault{}
	token := v.jwt("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEtbG9uZy1raWQifQ.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy93In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ")
	s := v.scanner()
	for i, part := range strings.Split(token, ".") {
		if found := s.scan(exhibit{"a log", []byte(part)}); (len(found) > 0) != (i > 0) {
			t.Errorf("part %d of a JWT: %v", i, found)
		}
	}
}
