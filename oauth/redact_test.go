package oauth

import (
	"strings"
	"testing"
)

const (
	exampleHeader    = "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ"
	examplePayload   = "eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy93In0"
	exampleSignature = "c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU-_"
	exampleRefresh   = RefreshTokenPrefix + "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMg"
	exampleJWT       = exampleHeader + "." + examplePayload + "." + exampleSignature
)

func TestAU2Redact(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"a JWT", exampleJWT, "[redacted]"},
		{"in a sentence", "got " + exampleJWT + ", want none", "got [redacted], want none"},
		{"two of them", exampleJWT + " " + exampleJWT, "[redacted] [redacted]"},
		{"after a scheme", "Bearer " + exampleJWT, "Bearer [redacted]"},
		{"behind a word and no space", "jwt-" + exampleJWT, "jwt-[redacted]"},
		{"in a URL", "https://a.example/?t=" + exampleJWT + "#f", "https://a.example/?t=[redacted]#f"},
		{"without its signature", exampleHeader + "." + examplePayload, "[redacted]"},
		{"without its header", examplePayload + "." + exampleSignature, "[redacted]"},
		{"its payload", examplePayload, "[redacted]"},
		{"its header", exampleHeader, "[redacted]"},
		{"a payload that is no JSON", exampleHeader + ".AAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAA", "[redacted]"},
		{"cut in the payload", exampleJWT[:60], "[redacted]"},
		{"cut in the header", exampleJWT[:16], "[redacted]"},
		{"JSON with spaces", "ewogImFsZyI6ICJFUzI1NiIKfQ.eyAic3ViIjogIngiIH0.c2ln", "[redacted]"},
		{"wrapped over lines", exampleJWT[:40] + "\r\n" + exampleJWT[40:80] + "\r\n" + exampleJWT[80:], "[redacted]"},
		{"its dots escaped", strings.ReplaceAll(exampleJWT, ".", "%2E"), "[redacted]"},
		{"its dots escaped twice", strings.ReplaceAll(exampleJWT, ".", "%252E"), "[redacted]"},

		{"a private key", "a -----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----\n", "a [redacted] PRIVATE KEY-----\n"},
		{"a private key, escaped", "-----BEGIN+PRIVATE+KEY-----%0AMIGHAgEA", "[redacted]"},
		{"a private key without its end", "-----BEGIN EC PRIVATE KEY-----\nMIGHAgEA\n", "[redacted]"},

		{"a refresh token", exampleRefresh, "[redacted]"},
		{"a refresh token in a sentence", "got " + exampleRefresh + ", want none", "got [redacted], want none"},
		{"a refresh token that was cut", exampleRefresh[:30], "[redacted]"},
		{"a refresh token and a JWT", exampleRefresh + " and " + exampleJWT, "[redacted] and [redacted]"},

		{"nothing", "", ""},
		{"what is not quite its prefix", "svidgate_rtv_" + exampleRefresh[len(RefreshTokenPrefix):], "svidgate_rtv_" + exampleRefresh[len(RefreshTokenPrefix):]},
		{"a SPIFFE ID", "spiffe://example.org/a.eye/eyes.eyebright", "spiffe://example.org/a.eye/eyes.eyebright"},
		{"a name that decodes to an object", "spiffe://example.org/keyJobRunnerService.production", "spiffe://example.org/keyJobRunnerService.production"},
		{"a host name", "https://api.example.com/", "https://api.example.com/"},
		{"a thumbprint", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"the mark alone", "eyJ", "eyJ"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := Redact(row.in); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if again := Redact(row.want); again != row.want {
				t.Errorf("redacted twice it is %q", again)
			}
		})
	}
}

func TestShown(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"AK-31 controls and quotes", "a\nb\"c\\d\x1b\u202e", "a?b?c?d??"},
		{"at the limit", strings.Repeat("s", shownLimit), strings.Repeat("s", shownLimit)},
		{"one over", strings.Repeat("s", shownLimit+1), strings.Repeat("s", shownLimit) + "…"},
		{"64 KiB", strings.Repeat("s", 64<<10), strings.Repeat("s", shownLimit) + "…"},
		{"AU-2 a token is found before the text is cut", strings.Repeat("s", shownLimit-4) + exampleJWT, strings.Repeat("s", shownLimit-4) + "[red…"},
		{"AU-2 a token of 64 KiB", exampleJWT + strings.Repeat("A", 64<<10), "[redacted]…"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := Shown(row.in); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("got ", exampleJWT, ", want none")
	f.Add("keyJ", "ewogImFsZyI6", "%2E")
	f.Fuzz(func(t *testing.T, before, middle, after string) {
		got := Redact(before + middle + after)
		if again := Redact(got); again != got {
			t.Errorf("twice redacted %q, once %q", again, got)
		}
		if strings.Contains(Redact(before+" "+exampleRefresh+" "+after), exampleRefresh) {
			t.Error("a whole refresh token stayed")
		}
		if strings.Contains(Redact(before+" "+exampleJWT+" "+after), exampleSignature) {
			t.Error("a whole token stayed")
		}
	})
}
