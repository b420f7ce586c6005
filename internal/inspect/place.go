package inspect

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// A place tells an entry from all others of a document.
type place struct{ use, kid, fingerprint string }

func placeOf(e bundle.Entry) place { return place{string(e.Use), e.KeyID, e.Fingerprint} }

// placesOf is where in the document each entry stands, which a bundle has in an order
// of its own. Of two that are the same it is the first.
func placesOf(entries []strictjson.Value) map[place]int {
	at := map[place]int{}
	for i, entry := range entries {
		fields, err := entry.Object()
		if err != nil {
			continue
		}
		p, der := place{use: text(fields, "use")}, []byte(nil)
		if p.use == string(bundle.UseX509) {
			if jwk, err := jose.ParseCertificateJWK([]byte(entry)); err == nil {
				der = jwk.Certificate.Raw
			}
		} else if jwk, err := jose.ParseJWK([]byte(entry)); err == nil {
			p.kid = oauth.Shown(jwk.KeyID)
			der, _ = x509.MarshalPKIXPublicKey(jwk.Key) // what it cannot marshal is in no bundle
		}
		p.fingerprint = fmt.Sprintf("%x", sha256.Sum256(der))
		if _, twice := at[p]; !twice {
			at[p] = i
		}
	}
	return at
}
