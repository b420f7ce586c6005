package credential

import (
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
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
	for _, prefix := range []string{"authorization:", "bearer "} {
		if len(bare) > len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
			bare = strings.TrimSpace(bare[len(prefix):])
			notes = []string{`"Bearer " before the JWT was passed over; in client_assertion it must not stand`}
		}
	}
	return bare, notes
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
