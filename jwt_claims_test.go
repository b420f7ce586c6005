package svidgate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

func TestJWTRequiredClaims(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	malformedAud := refused(oauth.ReasonClaimMalformed, "JS-8")
	missingAud := refused(oauth.ReasonAudMissing, "JS-8")
	malformedExp := refused(oauth.ReasonClaimMalformed, "JS-9")
	aud := func(value any) string { return d.svid(t, claim("aud", value)) }
	exp := func(value any) string { return d.svid(t, claim("exp", value)) }
	run(t, newVerifier(t, bundlesOf(t, d)), []jwtRow{
		{"JS-8 a string", aud(issuer), accepted},
		{"JS-8 an array of one", aud([]string{issuer}), accepted},
		{"JS-8 missing", d.svid(t, withoutClaim("aud")), missingAud},
		{"JS-8 an empty array", aud([]string{}), missingAud},
		{"JS-8 an empty string", aud(""), missingAud},
		{"JS-8 an array of an empty string", aud([]string{""}), missingAud},
		{"JS-8 the issuer and an empty string", aud([]string{issuer, ""}), missingAud},
		{"JS-8 a number", aud(5), malformedAud},
		{"JS-8 null", aud(nil), malformedAud},
		{"JS-8 true", aud(true), malformedAud},
		{"JS-8 an object", aud(map[string]any{"aud": issuer}), malformedAud},
		{"JS-8 an array with a number", aud([]any{issuer, 5}), malformedAud},
		{"JS-8 an array of null", aud([]any{nil}), malformedAud},
		{"JS-8 an array in an array", aud([]any{[]string{issuer}}), malformedAud},

		{"JS-9 a number", exp(noon.Unix() + 300), accepted},
		{"JS-9 a number with a fraction", exp(float64(noon.Unix()) + 299.5), accepted},
		{"JS-9 an exponent", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","aud":"AUD","exp":EXPe0}`), accepted},
		{"JS-9 missing", d.svid(t, withoutClaim("exp")), refused(oauth.ReasonExpMissing, "JS-9")},
		{"JS-9 a string", exp(fmt.Sprint(noon.Unix() + 300)), malformedExp},
		{"JS-9 null", exp(nil), malformedExp},
		{"JS-9 an array", exp([]int64{noon.Unix() + 300}), malformedExp},
		{"JS-9 negative", exp(-1), malformedExp},
		{"JS-9 beyond the year 9999", exp(int64(1) << 40), malformedExp},
		{"JS-9 beyond an int64", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","aud":"AUD","exp":EXP00000000000000}`), malformedExp},
		{"JS-9 beyond a float", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","aud":"AUD","exp":1e999}`), malformedExp},
		{"JS-9 zero", exp(0), refused(oauth.ReasonExpired, "CJ-5")},
	})
}

// F13: a verifier fell over when a claim that it did not need was there. Every
// cell of the matrix has one wanted outcome, and none is a fault of the server.
func TestJWTOptionalMembersMatrix(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	now := noon.Unix()
	malformedTime := refused(oauth.ReasonClaimMalformed, "JS-11")
	wrongKID := refused(oauth.ReasonAssertionMalformed, "JS-14")
	wrongType := refused(oauth.ReasonWrongTokenType, "JS-4")
	// The wrong types are null, a boolean, a number or a string (whichever is
	// wrong), an array, an object and something huge.
	for _, m := range []struct {
		name      string
		header    bool
		present   any
		empty     want
		wrong     []any
		wrongWant want
	}{
		{"iss", false, "https://anything", accepted, []any{nil, true, 5, []int{}, map[string]any{}, strings.Repeat("x", 8000)}, accepted},
		{"jti", false, "id-1", accepted, []any{nil, true, 5, []int{}, map[string]any{}, strings.Repeat("x", 8000)}, accepted},
		{"iat", false, now, malformedTime, []any{nil, true, "1", "x", []int64{now}, map[string]any{}, -1, 1e300}, malformedTime},
		{"nbf", false, now, malformedTime, []any{nil, true, "1", "x", []int64{now}, map[string]any{}, -1, 1e300}, malformedTime},
		{"kid", true, kidOf(d), refused(oauth.ReasonKIDUnknown, "JS-15"), []any{nil, true, 5, []string{kidOf(d)}, map[string]any{}}, wrongKID},
		{"typ", true, "JWT", wrongType, []any{nil, true, 5, []string{"JWT"}, map[string]any{}, strings.Repeat("x", 8000)}, wrongType},
	} {
		set, without := claim, withoutClaim
		if m.header {
			set, without = header, withoutHeader
		}
		rows := []jwtRow{
			{"F13 " + m.name + " absent", d.svid(t, without(m.name)), accepted},
			{"F13 " + m.name + " present", d.svid(t, set(m.name, m.present)), accepted},
			{"F13 " + m.name + " empty", d.svid(t, set(m.name, "")), m.empty},
		}
		for _, value := range m.wrong {
			name := fmt.Sprintf("F13 %s %.20T %.8v", m.name, value, value)
			rows = append(rows, jwtRow{name, d.svid(t, set(m.name, value)), m.wrongWant})
		}
		run(t, v, rows)
	}
}

// Two defects at once: the rule that stands first in the list refuses.
func TestJWTFirstRuleWins(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	run(t, newVerifier(t, bundlesOf(t, d)), []jwtRow{
		{"CA-16 shape before algorithm", d.svid(t, header("alg", "none")) + "=", refused(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-2 algorithm before type", d.svid(t, header("alg", "none"), header("typ", "at+jwt")), refused(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"JS-4 type before other members", d.svid(t, header("typ", "at+jwt"), header("crit", 1)), refused(oauth.ReasonWrongTokenType, "JS-4")},
		{"JS-7 identifier before claims", d.svid(t, claim("sub", "x"), claim("exp", "x")), refused(oauth.ReasonSubNotSPIFFEID, "SI-1")},
		{"JS-13 trust domain before key", d.svid(t, claim("sub", "spiffe://other.example/a"), header("kid", "x")), refused(oauth.ReasonTDUnknown, "JS-13")},
		{"JS-15 key before time", d.svid(t, header("kid", "x"), claim("exp", 1)), refused(oauth.ReasonKIDUnknown, "JS-15")},
		{"CJ-5 time before audience", d.svid(t, claim("exp", 1), claim("aud", "x")), refused(oauth.ReasonExpired, "CJ-5")},
		{"CJ-8 signature before time and audience", flipped(d.svid(t, claim("exp", 1), claim("aud", "x"))), refused(oauth.ReasonSignatureBad, "JS-12")},
	})
}

// flipped changes one letter in the middle of the signature.
func flipped(token string) string {
	i := len(token) - 40
	letter := byte('A')
	if token[i] == letter {
		letter = 'B'
	}
	return token[:i] + string(letter) + token[i+1:]
}
