package login

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/svidgate/svidgate/internal/authorization"
)

// Local is the provider of people who sign in with a password of this server.
const Local = "local"

// A Person is somebody who has signed in.
type Person struct {
	// Subject is who it is: the provider, a colon, and the provider's word for them.
	// So people of two providers are never one, and nobody's subject is a SPIFFE ID
	// (CC-3, BC-6).
	Subject  string
	Provider string
	Name     string    // what pages call them; nothing is decided by it
	AuthTime time.Time // when they showed it (AT-3); zero where the provider does not say
	AMR      []string  // how, in the words of RFC 8176; may be nil
	ACR      string    // may be empty
	// Credential is which password a local user showed: a session begins only while
	// it is still theirs. It is not kept.
	Credential Digest
}

const (
	maxName = 100
	maxAMR  = 8
	maxWord = 64 // of amr; acr may be as long as a name
)

var errSubject = fmt.Errorf("it is not 1 to %d bytes of printable text without spaces at its ends", authorization.MaxName)

// subject makes the subject of a provider's user.
func subject(provider, user string) (string, error) {
	s := provider + ":" + user
	if user == "" || len(user) > authorization.MaxName || len(s) > authorization.MaxUser || !printable(user) || strings.TrimSpace(user) != user {
		return "", errSubject
	}
	if provider == "" || strings.HasPrefix(strings.ToLower(s), "spiffe:") { // no configuration has such a name
		return "", errors.New("it reads as a SPIFFE ID")
	}
	return s, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// shownName is a name fit for a page: one line, not too long, and never empty.
func shownName(name, otherwise string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name))
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	if name == "" {
		return otherwise
	}
	return name
}

// words keeps what may stand in a token of a provider's list of words.
func words(list []string) []string {
	var kept []string
	for _, w := range list {
		if len(kept) < maxAMR && w != "" && len(w) <= maxWord && printable(w) && !strings.Contains(w, " ") && !slices.Contains(kept, w) {
			kept = append(kept, w)
		}
	}
	return kept
}
