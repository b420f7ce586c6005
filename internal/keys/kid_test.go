package keys

import (
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// KR-3: whoever has to remove a key in a hurry writes its kid, which no command takes
// for a flag. One thumbprint in 64 would begin with a dash.
func TestKeyIDIsNoFlag(t *testing.T) {
	for range 1000 {
		k, err := makeKey(jose.EdDSA, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if id, err := jose.Thumbprint(k.private.Public()); err != nil || id != k.id {
			t.Fatalf("the kid is %s, and the thumbprint %s, %v", k.id, id, err)
		}
		if strings.HasPrefix(k.id, "-") {
			t.Fatalf("the kid is %s", k.id)
		}
	}
}
