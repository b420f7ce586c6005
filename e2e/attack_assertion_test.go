package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

var base64url = base64.RawURLEncoding.EncodeToString

// signText signs a text as it is, whatever it looks like: the signature of what
// follows is always a good one.
func signText(t *testing.T, d *domain, text string) string {
	t.Helper()
	_, _, key := d.JWTKey()
	digest := sha256.Sum256([]byte(text))
	der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	sig.R.FillBytes(b[:32])
	sig.S.FillBytes(b[32:])
	return text + "." + base64url(b)
}

// strayBits is another spelling of a base64url text with unused bits: a decoder
// that is not strict makes the same bytes of it.
func strayBits(t *testing.T, s string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	other := s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])+1])
	if a, b := must(base64.RawURLEncoding.DecodeString(s)), must(base64.RawURLEncoding.DecodeString(other)); string(a) != string(b) {
		t.Fatalf("%q has no unused bits", s)
	}
	return other
}

// claimsOf are the least that a JWT-SVID for billing has, with more members in
// front.
func claimsOf(d *domain, more string) string {
	return fmt.Sprintf(`{%s"sub":%q,"aud":%q,"exp":%d}`, more, d.id("/billing"), issuer, later(time.Minute))
}

func headerOf(d *domain, more string) string {
	kid, _, _ := d.JWTKey()
	return fmt.Sprintf(`{%s"alg":"ES256","kid":%q}`, more, kid)
}

// spacedTo puts spaces behind a text until its length leaves this remainder by
// three.
func spacedTo(text string, remainder int) string {
	for len(text)%3 != remainder {
		text += " "
	}
	return text
}

// AK-24, JS-1, JS-20, GL-11: a token has one spelling, and its JSON one meaning.
// Every token here is truly signed over the text that is sent.
func TestSecondSpellings(t *testing.T) {
	w := newWorld(t)
	d := w.td
	sent := func(header, payload string) func(*call) {
		return func(c *call) { c.set("client_assertion", secrets.jwt(signText(t, d, header+"."+payload))) }
	}
	text := func(header, payload string) func(*call) {
		return sent(base64url([]byte(header)), base64url([]byte(payload)))
	}
	header, payload := headerOf(d, ""), claimsOf(d, "")
	h1, p1 := base64url([]byte(spacedTo(header, 1))), base64url([]byte(spacedTo(payload, 1)))
	h2, p2 := base64url([]byte(spacedTo(header, 2))), base64url([]byte(spacedTo(payload, 2)))
	odd := base64url([]byte(spacedTo(claimsOf(d, `"x":"???~~~>>>?~>",`), 0)))
	if !strings.ContainsAny(odd, "-_") {
		t.Fatal("the payload has none of the two letters")
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(odd)
	malformed := func(rule string) refusal { return refusal{"invalid_client", oauth.ReasonAssertionMalformed, rule} }
	w.each(t, func() call { return withJWT(d.id("/billing"), "") }, []row{
		{"JS-1 two unused bits of the header set", sent(h2, p2), sent(strayBits(t, h2), p2), malformed("JS-1")},
		{"JS-1 four unused bits of the header set", sent(h1, p1), sent(strayBits(t, h1), p1), malformed("JS-1")},
		{"JS-1 two unused bits of the payload set", sent(h2, p2), sent(h2, strayBits(t, p2)), malformed("JS-1")},
		{"JS-1 four unused bits of the payload set", sent(h1, p1), sent(h1, strayBits(t, p1)), malformed("JS-1")},
		{"JS-1 unused bits of the signature set", sent(h1, p1), func(c *call) {
			signed, signature, _ := strings.Cut(signText(t, d, h1+"."+p1), "."+p1+".")
			c.set("client_assertion", secrets.jwt(signed+"."+p1+"."+strayBits(t, signature)))
		}, malformed("JS-1")},
		{"JS-1 padding in the header", sent(h2, p2), sent(h2+"=", p2), malformed("JS-1")},
		{"JS-1 padding in the payload", sent(h1, p1), sent(h1, p1+"=="), malformed("JS-1")},
		{"JS-1 a line end in the payload", sent(h1, p1), sent(h1, p1[:8]+"\n"+p1[8:]), malformed("JS-1")},
		{"JS-1 a carriage return in the header", sent(h1, p1), sent(h1[:8]+"\r"+h1[8:], p1), malformed("JS-1")},
		{"JS-1 a space in the payload", sent(h1, p1), sent(h1, p1[:8]+" "+p1[8:]), malformed("JS-1")},
		{"JS-1 the alphabet of standard base64", sent(h1, odd), sent(h1, standard), malformed("JS-1")},
		{"JS-1 an empty payload", sent(h1, p1), sent(h1, ""), malformed("JS-1")},

		{"JS-20 two alg", text(header, payload), text(headerOf(d, `"alg":"none",`), payload), malformed("JS-20")},
		{"JS-20 the same alg twice", text(header, payload), text(headerOf(d, `"alg":"ES256",`), payload), malformed("JS-20")},
		{"JS-20 two kid, one of them escaped", text(header, payload), text(headerOf(d, `"\u006bid":"x",`), payload), malformed("JS-20")},
		{"JS-20 two sub", text(header, payload), text(header, claimsOf(d, `"sub":"spiffe://example.org/named",`)), malformed("JS-20")},
		{"JS-20 two sub, one of them escaped", text(header, payload), text(header, claimsOf(d, `"s\u0075b":"spiffe://example.org/named",`)), malformed("JS-20")},
		{"JS-20 the same sub twice", text(header, payload), text(header, claimsOf(d, `"sub":"spiffe://example.org/billing",`)), malformed("JS-20")},
		{"JS-20 two aud", text(header, payload), text(header, claimsOf(d, `"aud":"https://rogue.example.com",`)), malformed("JS-20")},
		{"JS-20 two exp", text(header, payload), text(header, claimsOf(d, `"exp":1,`)), malformed("JS-20")},
		{"JS-20 a member twice, four levels down", text(header, claimsOf(d, `"x":{"y":[{"z":{"a":1,"b":2}}]},`)), text(header, claimsOf(d, `"x":{"y":[{"z":{"a":1,"a":2}}]},`)), malformed("JS-20")},
		{"GL-11 SUB in place of sub", text(header, claimsOf(d, `"SUB":"spiffe://example.org/named",`)), text(header, strings.Replace(payload, `"sub"`, `"SUB"`, 1)), refusal{"invalid_client", oauth.ReasonSubNotSPIFFEID, "JS-7"}},

		{"GL-11 seventeen deep", text(header, claimsOf(d, `"x":`+nested(15)+`,`)), text(header, claimsOf(d, `"x":`+nested(16)+`,`)), malformed("JS-20")},
		{"GL-11 five thousand deep", text(header, payload), text(header, claimsOf(d, `"x":`+nested(5000)+`,`)), malformed("JS-20")},
		{"GL-11 ten thousand brackets that never close", text(header, payload), text(header, `{"x":`+strings.Repeat("[", 10000)), malformed("JS-20")},
		{"GL-11 two thousand objects that never close", text(header, payload), text(header, strings.Repeat(`{"x":`, 2000)), malformed("JS-20")},
		{"GL-11 a deep header", text(header, payload), text(headerOf(d, `"jwk":`+nested(3000)+`,`), payload), malformed("JS-20")},
	})
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// F21, AK-18: an assertion of 16 KiB is read, one byte more is not; a megabyte is
// refused by the length of the body, announced or in chunks, and keeps nobody
// from anything.
func TestLargeAssertions(t *testing.T) {
	w := newWorld(t)
	d := w.td
	of := func(size int) func(*call) {
		h := headerOf(d, "")
		for i := range 3 { // two parts in base64 can have any length together
			for n := size/4*3 - 400; n < size; n++ {
				header, payload := h+strings.Repeat(" ", i), claimsOf(d, "")
				payload += strings.Repeat(" ", max(0, n-len(payload)))
				if e := base64.RawURLEncoding.EncodedLen; e(len(header))+1+e(len(payload))+1+e(64) == size {
					return func(c *call) {
						c.set("client_assertion", secrets.jwt(signText(t, d, base64url([]byte(header))+"."+base64url([]byte(payload)))))
					}
				}
			}
		}
		t.Fatalf("no assertion of %d bytes", size)
		return nil
	}
	mega := func(c *call) { c.set("client_assertion", strings.Repeat("A", 1<<20)) }
	tooLong := refusal{"invalid_client", oauth.ReasonAssertionTooLarge, "GL-8"}
	tooLarge := refusal{"(too_large)", oauth.ReasonRequestTooLarge, "GL-8"}
	w.each(t, func() call { return w.billing(t) }, []row{
		{"F21 16 KiB less one byte, and one byte more than 16 KiB", of(16<<10 - 1), of(16<<10 + 1), tooLong},
		{"F21 16 KiB, and 32", of(16 << 10), of(32 << 10), tooLong},
		{"F21 a megabyte", nil, mega, tooLarge},
		{"F21 a megabyte in chunks", nil, func(c *call) { mega(c); c.chunks = true }, tooLarge},
		{"F21 a megabyte of dots", nil, func(c *call) { c.set("client_assertion", strings.Repeat(".", 1<<20)) }, tooLarge},
		{"F21 16 KiB of dots", nil, func(c *call) { c.set("client_assertion", strings.Repeat(".", 16<<10)) }, refusal{"invalid_client", oauth.ReasonAssertionMalformed, "JS-1"}},
	})
}

// CJ-13, AK-9: where an assertion counts once, its twin (r, n-s) is the same
// assertion, also when both arrive at the same moment.
func TestTwinsAtOnce(t *testing.T) {
	once := newDomain(t, "once.test", devca.Options{})
	once.more = ", single_use: true"
	s := start(t, `resources: [{resource: "`+apiURL+`", scopes: [read]}]
clients: [{client_id: "spiffe://once.test/w", token_endpoint_auth_method: spiffe_jwt, resources: ["`+apiURL+`"], scope: read}]
`, once)
	var conns []*connection
	for range 6 {
		conns = append(conns, s.dial(t, "public", tlsConfig("public", nil)))
	}
	for round := range 5 {
		token := once.jwt(t, "/w", issuer, inClaims("jti", fmt.Sprint(round)))
		twin := secrets.jwt(otherSignature(t, token))
		if twin == token {
			t.Fatal("the twin is the token")
		}
		statuses := make(chan int)
		for i, conn := range conns {
			c := withJWT(once.id("/w"), token)
			if i%2 == round%2 {
				c = withJWT(once.id("/w"), twin)
			}
			go func() {
				status := 0
				defer func() { statuses <- status }() // also when the call fails the test
				status = conn.do(t, c).status
			}()
		}
		got := map[int]int{}
		for range conns {
			got[<-statuses]++
		}
		if got[http.StatusOK] != 1 || got[http.StatusUnauthorized] != len(conns)-1 {
			t.Errorf("CJ-13 statuses %v", got)
		}
	}
}

// F13: each member that need not be there, absent, empty and of every wrong type:
// a token or a refusal, and never a fault of the server.
func TestOptionalMembers(t *testing.T) {
	w := newWorld(t)
	conn := w.dial(t, "public", tlsConfig("public", nil))
	counted := map[int]int{}
	for _, member := range []struct {
		name   string
		header bool
	}{{"iss", false}, {"jti", false}, {"iat", false}, {"nbf", false}, {"kid", true}, {"typ", true}} {
		set := inClaims
		if member.header {
			set = inHeader
		}
		changes := map[string]mutation{"absent": without(member.name)}
		for _, value := range []any{"", "x", nil, true, 5, -1, 1e300, []int{1}, map[string]any{"a": 1}, strings.Repeat("x", 4000)} {
			changes[fmt.Sprintf("%T %.8v", value, value)] = set(member.name, value)
		}
		for what, change := range changes {
			a := conn.do(t, withJWT(w.td.id("/billing"), w.td.jwt(t, "/billing", issuer, change)))
			counted[a.status]++
			if a.status != http.StatusOK && a.status != http.StatusUnauthorized {
				t.Errorf("F13 %s %s: status %d %s", member.name, what, a.status, a.body)
			}
			if a.status == http.StatusUnauthorized && json.Unmarshal(a.body, new(oauth.ErrorResponse)) != nil {
				t.Errorf("F13 %s %s: %s", member.name, what, a.body)
			}
		}
	}
	if counted[http.StatusOK] < 20 || counted[http.StatusUnauthorized] < 20 {
		t.Errorf("the matrix has answers %v: it shows little", counted)
	}
}
