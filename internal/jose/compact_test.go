package jose_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// nextLetter replaces the last letter of a base64url text by the next one of the
// alphabet, which decodes to the same bytes when the letter has unused bits.
func nextLetter(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + alphabet[i+1:i+2]
}

func TestParseCompact(t *testing.T) {
	token := sign(t, jose.ES256, testKey(t, "EC P-256"))
	parts := strings.Split(token, ".")
	h, p, s := parts[0], parts[1], parts[2]
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	const (
		fine       = ""
		notCompact = "three base64url parts"
	)
	for _, c := range []struct {
		name  string
		token string
		want  string // in the error
	}{
		{"JS-1 three parts", token, fine},
		{"JS-1 nothing", "", notCompact},
		{"JS-1 one part", h, notCompact},
		{"JS-1 two parts", join(h, p), notCompact},
		{"JS-1 four parts", join(h, p, s, s), notCompact},
		{"JS-1 five parts, a JWE", join(h, s, s, p, s), notCompact},
		{"JS-1 a dot after it", token + ".", notCompact},
		{"JS-1 a dot before it", "." + token, notCompact},
		{"JS-1 dots only", "..", notCompact},
		{"JS-1 no header", join("", p, s), notCompact},
		{"JS-1 no payload, detached", join(h, "", s), notCompact},
		{"JS-1 no signature", join(h, p, ""), notCompact},
		{"JS-1 JSON serialization, flattened", `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`, notCompact},
		{"JS-1 JSON serialization, general", `{"payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]}`, notCompact},
		{"JS-1 two tokens", token + " " + token, notCompact},
		{"JS-1 trailing data", token + "AAAA", fine}, // three parts still: the signature is for Verify
		{"JS-1 a space before it", " " + token, notCompact},
		{"JS-1 a space after it", token + " ", notCompact},
		{"JS-1 a line break at the end", token + "\n", notCompact},
		{"JS-1 a line break in the header", join(h[:8]+"\n"+h[8:], p, s), notCompact},
		{"JS-1 a carriage return in the payload", join(h, p[:8]+"\r"+p[8:], s), notCompact},
		{"JS-1 a line break in the signature", join(h, p, s[:8]+"\n"+s[8:]), notCompact},
		{"JS-1 a tab", join(h[:8]+"\t"+h[8:], p, s), notCompact},
		{"JS-1 a zero byte", token + "\x00", notCompact},
		{"JS-1 padding", token + "==", notCompact},
		{"JS-1 padding of the payload", join(h, p+"=", s), notCompact},
		{"JS-1 the alphabet of standard base64", join(h, p, strings.Repeat("+/", 43)), notCompact},
		{"JS-1 percent-encoding", join(h, p, s[:80]+"%41"), notCompact},
		{"JS-1 not ASCII", join(h, p, s[:84]+"\u00e9"), notCompact},
		{"JS-1 a part of one letter more than whole bytes", join(h, p, s+"AAA"), notCompact},
		{"JS-1 a stray bit at the end of the signature", join(h, p, nextLetter(s)), notCompact},
		{"JS-1 a stray bit at the end of the header", join(nextLetter(b64(`{"alg":"ES256" }`)), p, s), notCompact},

		{"JS-20 a header that is no object", join(b64(`[]`), p, s), "header"},
		{"JS-20 a header that is no JSON", join(b64(`alg`), p, s), "header"},
		{"JS-20 a member twice in the header", join(b64(`{"alg":"none","alg":"ES256"}`), p, s), "twice"},
		{"JS-20 invalid UTF-8 in the header", join(b64("{\"alg\":\"\xff\"}"), p, s), "UTF-8"},
		{"JS-20 a payload that is an array", join(h, b64(`[]`), s), "payload"},
		{"JS-20 a payload that is a string", join(h, b64(`"sub"`), s), "payload"},
		{"JS-20 a payload that is a number", join(h, b64(`1`), s), "payload"},
		{"JS-20 a nested token", join(h, b64(token), s), "payload"},
		{"JS-20 a member twice in the payload", join(h, b64(`{"sub":"a","\u0073ub":"b"}`), s), "twice"},
		{"JS-20 data after the payload", join(h, b64(`{} {}`), s), "data after"},
		{"JS-20 a zip bomb's beginning", join(h, b64("\x78\x9c"), s), "payload"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := jose.ParseCompact(c.token)
			if (err == nil) != (c.want == fine) || (got == nil) != (err != nil) {
				t.Fatalf("got %v, want %q in it", err, c.want)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), c.want) || errors.Is(err, jose.ErrNotCompact) != (c.want == notCompact) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("AK-31 the error has more than one line: %q", err.Error())
			}
		})
	}
}

func TestCompactParts(t *testing.T) {
	token := b64(`{"alg":"ES256","kid":7,"typ":""}`) + "." + b64(`{"sub":"x"}`) + "." + b64("signature")
	c := parse(t, token)
	if string(c.Signature) != "signature" || c.SigningInput != token[:strings.LastIndexByte(token, '.')] {
		t.Errorf("signature %q, signing input %q", c.Signature, c.SigningInput)
	}
	if v, ok := c.Payload.Get("sub"); !ok || string(v) != `"x"` {
		t.Errorf("sub is %s", v)
	}
	for _, w := range []struct {
		name, text  string
		present, ok bool
	}{
		{"alg", "ES256", true, true}, {"kid", "", true, false}, {"typ", "", true, true}, {"crit", "", false, false}, {"ALG", "", false, false},
	} {
		if text, present, ok := c.Text(w.name); text != w.text || present != w.present || ok != w.ok {
			t.Errorf("%s is %q, %v, %v", w.name, text, present, ok)
		}
	}
}

// No part of a token may change what another part decodes to: the three are
// decoded into one buffer.
func TestPartsDoNotOverlap(t *testing.T) {
	c := parse(t, b64(`{"alg":"ES256"}`)+"."+b64(`{"sub":"x"}`)+"."+b64("signature"))
	for i := range c.Signature {
		c.Signature[i] = 'X'
	}
	_ = append(c.Signature, "overflow"...)
	alg, _, _ := c.Text("alg")
	if sub, _ := c.Payload.Get("sub"); string(sub) != `"x"` || alg != "ES256" {
		t.Errorf("alg %q, sub %s", alg, sub)
	}
}

// A token has one spelling: what is accepted is what encoding its parts gives.
func FuzzParseCompact(f *testing.F) {
	token := sign(f, jose.ES256, testKey(f, "EC P-256"))
	public := testKey(f, "EC P-256").Public()
	for _, s := range []string{
		token, token + "=", token + "\n", "..", "", ".", b64("{}") + "." + b64("{}") + ".AA", b64("{}") + "." + b64("{}") + ".AB",
		b64(`{"alg":"none"}`) + "." + b64("{}") + ".AAAA", b64(`{"a":1,"a":2}`) + "." + b64("{}") + ".AAAA",
	} {
		f.Add(s)
	}
	encode := base64.RawURLEncoding.EncodeToString
	f.Fuzz(func(t *testing.T, s string) {
		c, err := jose.ParseCompact(s)
		c2, err2 := jose.ParseCompact(s)
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("two answers: %v and %v", err, err2)
		}
		if err != nil {
			if c != nil || c2 != nil {
				t.Fatal("a token beside an error")
			}
			return
		}
		parts := strings.Split(s, ".")
		if len(parts) != 3 || encode(c.Signature) != parts[2] || c.SigningInput != parts[0]+"."+parts[1] {
			t.Fatalf("another spelling of a token was accepted: %q", s)
		}
		for _, part := range parts[:2] {
			raw, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil || encode(raw) != part {
				t.Fatalf("another spelling of a part was accepted: %q, %v", part, err)
			}
		}
		if s != token && c.SigningInput != token[:strings.LastIndexByte(token, '.')] && c.Verify(jose.ES256, public) == nil {
			t.Fatalf("a forged token verifies: %q", s)
		}
	})
}
