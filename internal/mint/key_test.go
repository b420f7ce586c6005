package mint_test

import (
	"encoding/base64"
	"reflect"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// DP-4: a token is bound to the key of the WIT-SVID, by its thumbprint, and says so;
// it has its own life.
func TestKeyBoundToken(t *testing.T) {
	p := newPress(t)
	attestation, holder := p.WIT(t, billing, func(_, c map[string]any) { c["exp"] = testidentity.Noon.Unix() + 1 })
	sum, err := jose.ThumbprintSum(holder.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]policy.BindingMode{"auto": policy.BindAuto, "required": policy.BindRequired, "none": policy.BindNone} {
		p.table.Binding = mode
		req := testidentity.Request(t, testidentity.Certificate("billing"), p.Chain(t, billing), testidentity.Attested(attestation, p.Proof(t, holder))...)
		token := p.token(t, req, oauth.MethodWIT)
		_, claims := p.read(t, token)
		wantCnf, wantType, wantLife := any(map[string]any{"jkt": base64.RawURLEncoding.EncodeToString(sum[:])}), "DPoP", 10*time.Minute
		if mode == policy.BindNone {
			wantCnf, wantType, wantLife = nil, "Bearer", policy.BearerLifetime
		}
		if !reflect.DeepEqual(claims["cnf"], wantCnf) || token.Response().TokenType != wantType {
			t.Errorf("DP-4 %s: cnf %v, type %s", name, claims["cnf"], token.Response().TokenType)
		}
		if life := token.ExpiresAt().Sub(testidentity.Noon); life != wantLife {
			t.Errorf("AT-6 %s: lives for %s", name, life)
		}
	}
}
