package devca_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/exp/bundle/witbundle"
	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
)

func TestJWTSVIDVerifies(t *testing.T) {
	for _, alg := range []jose.Algorithm{"", jose.ES384, jose.ES512, jose.RS256, jose.PS512} {
		a := newAuthority(t, devca.Options{JWTAlgorithm: alg})
		token, err := a.JWTSVID("/billing", []string{"https://as.example.com"})
		if err != nil {
			t.Fatal(err)
		}
		svid, err := jwtsvid.ParseAndValidate(token, parsed(t, a), []string{"https://as.example.com"})
		if err != nil {
			t.Fatalf("%q: go-spiffe says %v", alg, err)
		}
		if svid.ID.String() != "spiffe://example.org/billing" || time.Until(svid.Expiry) > 5*time.Minute {
			t.Errorf("%q: %v until %v", alg, svid.ID, svid.Expiry)
		}
		if _, err := jwtsvid.ParseAndValidate(token, parsed(t, a), []string{"https://other.example.com"}); err == nil {
			t.Errorf("%q JS-8: accepted for another audience", alg)
		}
		if _, err := jwtsvid.ParseAndValidate(token, parsed(t, newAuthority(t, devca.Options{JWTAlgorithm: alg})), []string{"https://as.example.com"}); err == nil {
			t.Errorf("%q JS-12: accepted with another bundle", alg)
		}
	}
}

func TestJWTSVIDMembers(t *testing.T) {
	a := newAuthority(t, devca.Options{Now: atNoon, JWTLifetime: 2 * time.Minute})
	kid, alg, key := a.JWTKey()
	token, err := a.JWTSVID("/billing", []string{"one", "two"})
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jose.ParseCompact(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := compact.Verify(alg, key.Public()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"JS-5 header", members(t, compact.Header), `{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}`},
		{"claims", members(t, compact.Payload), `{"aud":["one","two"],"exp":1782907320,"iat":1782907200,"sub":"spiffe://example.org/billing"}`},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
	mutated, err := a.JWTSVID("/billing", nil, func(header, claims map[string]any) {
		delete(header, "kid")
		header["alg"] = "HS256"
		claims["sub"], claims["aud"] = 7, ""
	})
	if err != nil {
		t.Fatal(err)
	}
	if compact, err = jose.ParseCompact(mutated); err != nil {
		t.Fatal(err)
	}
	if err := compact.Verify(alg, key.Public()); err != nil {
		t.Errorf("a mutated token is not truly signed: %v", err)
	}
	if got := members(t, compact.Header); got != `{"alg":"HS256","typ":"JWT"}` {
		t.Error(got)
	}
	if got := members(t, compact.Payload); got != `{"aud":"","exp":1782907320,"iat":1782907200,"sub":7}` {
		t.Error(got)
	}
}

// members writes an object back with its names in order.
func members(t *testing.T, m strictjson.Members) string {
	t.Helper()
	object := map[string]json.RawMessage{}
	for _, member := range m {
		object[member.Name] = json.RawMessage(member.Value)
	}
	b, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSignJWT(t *testing.T) {
	key, err := devca.GenerateKey(devca.P384)
	if err != nil {
		t.Fatal(err)
	}
	token, err := devca.SignJWT(map[string]any{"x": 1}, map[string]any{}, key, jose.ES384)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jose.ParseCompact(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := compact.Verify(jose.ES384, key.Public()); err != nil {
		t.Error(err)
	}
	if got := members(t, compact.Header); got != `{"x":1}` {
		t.Errorf("the header was touched: %s", got)
	}
	if _, err := devca.SignJWT(nil, nil, key, jose.ES256); err == nil {
		t.Error("JS-3 signed ES256 with a P-384 key")
	}
}

func TestWITSVIDVerifies(t *testing.T) {
	for _, kind := range []devca.KeyAlgorithm{devca.P256, devca.RSA2048} {
		a := newAuthority(t, devca.Options{WIT: true})
		holder, err := devca.GenerateKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		token, err := a.WITSVID("/billing", holder.Public())
		if err != nil {
			t.Fatal(err)
		}
		bundle := witbundle.FromWITAuthorities(a.TrustDomain(), a.WITKeys())
		svid, err := witsvid.ParseAndValidate(token, bundle)
		if err != nil {
			t.Fatalf("%s: go-spiffe says %v", kind, err)
		}
		if svid.ID.String() != "spiffe://example.org/billing" {
			t.Errorf("%s: %v", kind, svid.ID)
		}
		// WS-14: no other key of the trust domain will do.
		if _, err := witsvid.ParseAndValidate(token, witbundle.FromWITAuthorities(a.TrustDomain(), a.JWTKeys())); err == nil {
			t.Errorf("%s: accepted with the key for JWT-SVIDs", kind)
		}
	}
	a := newAuthority(t, devca.Options{WIT: true})
	weak, err := devca.GenerateKey(devca.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.WITSVID("/a", weak.Public()); err == nil {
		t.Error("WS-13 a holder key that none of the nine algorithms fits")
	}
}
