package inspect

import (
	"encoding/pem"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func kidOf(a *devca.Authority) string { kid, _, _ := a.JWTKey(); return kid }

// Whatever comes in, there is an answer, twice the same, and nothing in it that a
// terminal would obey (AK-31).
func FuzzInspect(f *testing.F) {
	a := authority(f)
	for _, seed := range []string{
		jwtSVID(f, a), witSVID(f, a), accessToken(f), string(svid(f, a).ChainPEM()), string(svid(f, a).ChainDER()), string(a.Bundle()),
		`{"keys":[{"kty":"EC"}]}`, `{"issuer":"https://a.example\u001b[2J","token_endpoint":1}`, `{"resource":[]}`, `{"kty":"RSA"}`,
		accessToken(f, func(h, c map[string]any) { h["typ"], c["scope"] = "x\x1b]0;", "\x07\u202e" }),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		r, err := Inspect(document, noon)
		again, errAgain := Inspect(document, noon)
		if (err == nil) != (errAgain == nil) || (r == nil) == (err == nil) {
			t.Fatalf("two answers, or none: %v, %v", err, errAgain)
		}
		var text string
		if err != nil {
			text = err.Error()
		} else if text = r.text(); text != again.text() || r.Kind == "" || r.Verified {
			t.Fatalf("two answers: %s and %s", text, again.text())
		}
		for _, c := range strings.ReplaceAll(text, "\n", "") {
			if c < 0x20 || c == 0x7f || c > 0x7e && c != '…' {
				t.Fatalf("%q in %q", c, text)
			}
		}
	})
}
