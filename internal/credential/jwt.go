package credential

import (
	"encoding/base64"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

func readJWT(text string) (Credential, error) {
	bare, notes := withoutHeader(text)
	if !strings.ContainsAny(bare, " \t\r\n") {
		return oneJWT(bare, notes)
	}
	var found []string
	for line := range strings.Lines(text) {
		if line, _ = withoutHeader(strings.TrimSpace(line)); strings.HasPrefix(line, "ey") && strings.Count(line, ".") == 2 && !strings.ContainsAny(line, " \t") {
			found = append(found, line)
		}
	}
	switch {
	case len(found) == 1:
		return oneJWT(found[0], []string{"the lines around the JWT were passed over"})
	case len(found) == 2:
		return pair(found[0], found[1])
	case len(found) > 1:
		return Credential{}, ErrSeveral
	case strings.HasPrefix(bare, "ey") && strings.Contains(bare, "."):
		return Credential{}, ErrWrapped
	}
	return Credential{}, ErrUnknown
}

// withoutHeader is a token without the header that it may have been copied with.
func withoutHeader(text string) (bare string, notes []string) {
	bare = text
	for _, header := range []string{oauth.HeaderClientAttestation + ":", oauth.HeaderClientAttestationPoP + ":"} {
		if len(bare) > len(header) && strings.EqualFold(bare[:len(header)], header) {
			return strings.TrimSpace(bare[len(header):]), []string{"the name of the header before it was passed over"}
		}
	}
	for _, prefix := range []string{"authorization:", "bearer "} {
		if len(bare) > len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
			bare = strings.TrimSpace(bare[len(prefix):])
			notes = []string{`"Bearer " before the JWT was passed over; in client_assertion it must not stand`}
		}
	}
	return bare, notes
}

// pair is a WIT-SVID and its proof, in either order.
func pair(a, b string) (Credential, error) {
	if typeOf(a) == oauth.TypeAttestationPoP {
		a, b = b, a
	}
	if typeOf(a) != oauth.TypeWIT || typeOf(b) != oauth.TypeAttestationPoP {
		return Credential{}, ErrSeveral
	}
	c, err := oneJWT(a, []string{"the proof beside the WIT-SVID is judged with it"})
	if err != nil {
		return Credential{}, err
	}
	proof, err := oneJWT(b, nil)
	if err != nil {
		return Credential{}, err
	}
	c.Proof = proof.JWT
	return c, nil
}

// typeOf is the typ in the header of a JWT, empty where it cannot be read.
func typeOf(word string) string {
	encoded, _, _ := strings.Cut(word, ".")
	if len(encoded) > oauth.MaxJWT {
		return ""
	}
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	members, err := strictjson.Object(header)
	if err != nil {
		return ""
	}
	v, _ := members.Get("typ")
	typ, _ := v.Text()
	return typ
}

// oneJWT is a word that may be a JWT: what only looks like one is left for the
// rules to refuse.
func oneJWT(word string, notes []string) (Credential, error) {
	if !strings.Contains(word, ".") && !strings.HasPrefix(word, "ey") {
		return Credential{}, ErrUnknown
	}
	if len(word) <= oauth.MaxJWT {
		if token, err := jose.ParseCompact(word); err == nil && (Private(token.Header) || Private(token.Payload)) {
			return Credential{}, ErrPrivateKey
		}
	}
	return Credential{JWT: word, Notes: notes}, nil
}
