package mint

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// AU-2: a token prints as its jti, whichever way it is printed.
func TestTokenHidesItself(t *testing.T) {
	token := Token{id: "jti-1", encoded: oauth.AccessToken("canary-token")}
	held := struct{ Token Token }{token}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		got := fmt.Sprintf(verb+" "+verb+" "+verb, token, held, token.Response())
		if strings.Contains(got, "canary") || strings.Contains(got, fmt.Sprintf("%x", "canary")) || strings.Contains(got, "99 97 110") {
			t.Errorf("%s: %s", verb, got)
		}
		if !strings.Contains(got, "jti-1") {
			t.Errorf("%s says nothing: %s", verb, got)
		}
	}
}
