package mint_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// AT-6, MT-4: a bound token never outlives its certificate.
func TestNoTokenOutlivesItsCertificate(t *testing.T) {
	for _, row := range []struct {
		name     string
		notAfter time.Duration // from now
		want     time.Duration // 0: refused
	}{
		{"MT-4 long after the token", time.Hour, 10 * time.Minute},
		{"MT-4 a second after the token", 10*time.Minute + time.Second, 10 * time.Minute},
		{"MT-4 with the token", 10 * time.Minute, 10 * time.Minute},
		{"MT-4 a second before the token", 10*time.Minute - time.Second, 10*time.Minute - time.Second},
		{"MT-4 in a second", time.Second, time.Second},
		{"AT-6 now", 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPress(t)
			chain := p.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(row.notAfter) })
			a, d := p.authorize(t, byX509(t, chain), oauth.MethodX509)
			token, err := p.mint.Mint(a, d)
			if row.want == 0 {
				refusedWith(t, token, err, oauth.InvalidClient, oauth.ReasonExpired, "AT-6")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, claims := p.read(t, token)
			if got := token.ExpiresAt().Sub(testidentity.Noon); got != row.want || claims["exp"] != float64(token.ExpiresAt().Unix()) || token.Response().ExpiresIn != int64(row.want/time.Second) {
				t.Errorf("it lives %s (exp %v, expires_in %d), want %s", got, claims["exp"], token.Response().ExpiresIn, row.want)
			}
			if token.ExpiresAt().After(chain[0].NotAfter) {
				t.Error("MT-4 it outlives its certificate")
			}
		})
	}
}

// A certificate that nobody binds to shortens nothing.
func TestUnboundTokenHasItsOwnLife(t *testing.T) {
	p := newPress(t)
	p.table.Binding = policy.BindNone
	chain := p.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(time.Minute) })
	if token := p.token(t, byX509(t, chain), oauth.MethodX509); token.ExpiresAt() != testidentity.Noon.Add(policy.BearerLifetime) {
		t.Errorf("it lives until %s", token.ExpiresAt())
	}
}

// Times in a token are whole seconds, and never reach past what was decided.
func TestWholeSeconds(t *testing.T) {
	p := newPress(t)
	p.Clock.Advance(900 * time.Millisecond)
	token := p.token(t, byJWT(t, p.World, nil), oauth.MethodJWT)
	_, claims := p.read(t, token)
	if now := float64(testidentity.Noon.Unix()); claims["iat"] != now || claims["exp"] != now+300 {
		t.Errorf("iat %v, exp %v", claims["iat"], claims["exp"])
	}
	if !token.ExpiresAt().Equal(testidentity.Noon.Add(300*time.Second)) || token.Response().ExpiresIn != 300 {
		t.Errorf("the record would say %s, the answer %d", token.ExpiresAt(), token.Response().ExpiresIn)
	}
}
