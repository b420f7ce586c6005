package client

import "testing"

func TestIsInvalidToken(t *testing.T) { // RFC 6750 section 3, RFC 9110 section 11.6.1
	for _, tt := range []struct {
		name    string
		headers []string
		want    bool
	}{
		{"plain", []string{`Bearer error="invalid_token"`}, true},
		{"of a token that is bound to a key", []string{`DPoP error="invalid_token", algs="ES256"`}, true},
		{"of the scheme after, for such a token", []string{`Bearer realm="x", DPoP error="invalid_token"`}, true},
		{"with more parameters", []string{`Bearer realm="api", error="invalid_token", error_description="it has expired"`}, true},
		{"as a token", []string{`Bearer error=invalid_token`}, true},
		{"lower-case scheme", []string{`bearer error="invalid_token"`}, true},
		{"upper-case name", []string{`Bearer ERROR="invalid_token"`}, true},
		{"spaces around the sign", []string{`Bearer error = "invalid_token"`}, true},
		{"second challenge of a header", []string{`Basic realm="x, y", Bearer error="invalid_token"`}, true},
		{"second header", []string{`Negotiate abc=`, `Bearer error="invalid_token"`}, true},
		{"after a token68", []string{`Negotiate abc==, Bearer error="invalid_token"`}, true},
		{"escaped", []string{`Bearer realm="a\"b", error="invalid_token"`}, true},

		{"no header", nil, false},
		{"another code", []string{`Bearer error="insufficient_scope"`}, false},
		{"another scheme", []string{`Digest error="invalid_token"`}, false},
		{"of the scheme after", []string{`Bearer realm="x", Digest error="invalid_token"`}, false},
		{"quoted in a description", []string{`Bearer error_description="error=\"invalid_token\""`}, false},
		{"quoted in a realm", []string{`Bearer realm="x, error=invalid_token"`}, false},
		{"upper-case value", []string{`Bearer error="INVALID_TOKEN"`}, false},
		{"quotation not closed", []string{`Bearer error="invalid_token`}, false},
		{"no value", []string{`Bearer error=`}, false},
		{"no scheme", []string{`error="invalid_token"`}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := isInvalidToken(tt.headers); got != tt.want {
				t.Errorf("%q: got %v, want %v", tt.headers, got, tt.want)
			}
		})
	}
}

func FuzzIsInvalidToken(f *testing.F) {
	f.Add(`Bearer realm="a\"b", error="invalid_token"`)
	f.Add(`Negotiate abc==, Bearer error = invalid_token`)
	f.Add(`Bearer error="`)
	f.Add(`=`)
	f.Fuzz(func(t *testing.T, header string) {
		got := isInvalidToken([]string{header})
		if got != isInvalidToken([]string{header}) {
			t.Fatal("two answers")
		}
		// A challenge in a header of its own does not depend on the others.
		if !isInvalidToken([]string{header, `Bearer error="invalid_token"`}) {
			t.Fatal("a good header was lost behind another")
		}
	})
}
