package inspect

import (
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

const audience = "https://as.example.com"

func authority(t testing.TB) *devca.Authority {
	t.Helper()
	a, err := devca.New("example.org", devca.Options{Now: clock, Intermediate: true, WIT: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func jwtSVID(t testing.TB, a *devca.Authority, mutate ...func(header, claims map[string]any)) string {
	t.Helper()
	token, err := a.JWTSVID("/billing", []string{audience}, mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func witSVID(t testing.TB, a *devca.Authority, mutate ...func(header, claims map[string]any)) string {
	t.Helper()
	token, _ := witSVIDAndKey(t, a, mutate...)
	return token
}

func proof(t testing.TB, holder crypto.Signer, mutate ...func(header, claims map[string]any)) string {
	t.Helper()
	token, err := devca.Proof(holder, audience, noon, mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func witSVIDAndKey(t testing.TB, a *devca.Authority, mutate ...func(header, claims map[string]any)) (string, crypto.Signer) {
	t.Helper()
	key, err := devca.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.WITSVID("/billing", key.Public(), mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return token, key
}

// accessToken is one as the server makes it.
func accessToken(t testing.TB, mutate ...func(header, claims map[string]any)) string {
	t.Helper()
	key, err := devca.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
	claims := map[string]any{
		"iss": audience, "aud": "https://api.example.com/", "sub": "spiffe://example.org/billing", "client_id": "billing",
		"scope": "read", "jti": "j1", "iat": noon.Unix() - 60, "exp": noon.Unix() + 240,
		"cnf": map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
	}
	for _, change := range mutate {
		change(header, claims)
	}
	token, err := devca.SignJWT(header, claims, key, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func svid(t testing.TB, a *devca.Authority) devca.SVID {
	t.Helper()
	s, err := a.X509SVID("/billing")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// text is everything that a report would have printed.
func (r *Report) text() string {
	var b strings.Builder
	b.WriteString(r.Name + "\n" + r.Because + "\n")
	for _, s := range r.Sections {
		b.WriteString(s.Title + "\n")
		for _, f := range s.Facts {
			b.WriteString(f.Name + " = " + f.Value + " (" + f.Note + ")\n")
		}
	}
	for _, m := range r.Remarks {
		b.WriteString(m.Rule + " " + string(m.Reason) + " " + m.Text + "\n")
	}
	return b.String()
}

// rules are those that were remarked on.
func (r *Report) rules() string {
	var all []string
	for _, m := range r.Remarks {
		all = append(all, m.Rule)
	}
	return strings.Join(all, " ")
}

// publicJWK is a key that names this algorithm.
func publicJWK(alg string) map[string]any {
	return map[string]any{"kty": "EC", "crv": "P-256", "alg": alg,
		"x": "i6Wmrk-Cs6LYh66L4nXEFkiLkYA-C4pdAf3V3dtTzm0", "y": "qCw8mbVftytRqdbPRWhw68XiDZEPe_pRikur0GkM5zY"}
}
