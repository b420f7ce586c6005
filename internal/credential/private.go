package credential

import (
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
)

// keyMembers mark an object as a key, so that a claim named d is not one.
var keyMembers = []string{"kty", "crv", "n"}

// holders are the members in which programs of this field keep a private key in
// base64: our own key file, and what SPIRE's agent prints. Compared in lower case
// and without underscores.
var holders = []string{"privatekey", "x509svidkey", "svidkey", "pkcs8"}

// privatePEM ends the first line of a private key of whatever kind.
const privatePEM = "PRIVATE KEY-----"

// privateText reports whether text is JSON with a private key, whole or in one of
// its lines. JSON that cannot be read is no credential either.
func privateText(text string) bool {
	if privateJSON(text) {
		return true
	}
	for line := range strings.Lines(text) {
		if privateJSON(strings.TrimSpace(line)) {
			return true
		}
	}
	return false
}

func privateJSON(text string) bool {
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return false
	}
	members, err := strictjson.ObjectText(`{"":` + text + "}") // an array is none by itself
	return err == nil && Private(members)
}

// Private reports whether a key with private members lies anywhere in an object:
// in a set, in a confirmation claim, or in a file of another program.
func Private(members strictjson.Members) bool {
	key := slices.ContainsFunc(members, func(m strictjson.Member) bool { return slices.Contains(keyMembers, m.Name) })
	return slices.ContainsFunc(members, func(m strictjson.Member) bool {
		switch {
		case key && jose.PrivateMember(m.Name):
			return true
		case slices.Contains(holders, strings.ToLower(strings.ReplaceAll(m.Name, "_", ""))):
			return true
		}
		return privateValue(m.Value)
	})
}

// privateValue ends because the reader bounds how deep a document is.
func privateValue(v strictjson.Value) bool {
	switch v.Kind() {
	case '{':
		members, err := v.Object()
		return err == nil && Private(members)
	case '[':
		items, _ := v.Items()
		return slices.ContainsFunc(items, privateValue)
	}
	return false
}
