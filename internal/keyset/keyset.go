// Package keyset reads plain JWK Sets, which do not say what SPIFFE bundles say:
// that an entry is for JWT-SVIDs. The Workload API hands out such sets, and so do
// OpenID providers; in both the operator, or the call, says what they are for.
package keyset

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/svidgate/svidgate/internal/strictjson"
)

// Entries are those of a JWK Set, each as an entry of a SPIFFE bundle with the
// use jwt-svid, in the order of the set. Nothing else of the set is taken: a plain
// one has neither a sequence nor a refresh hint, and one found there is not the
// trust domain's word.
//
// It judges no entry: a broken one stays as it is, for the bundle's reader to
// leave out without a loss for its neighbours (F5). What cannot be taken apart into
// entries, or has more than most, is an error.
func Entries(set []byte, most int) ([][]byte, error) {
	members, err := strictjson.Object(set)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w (BU-1)", err)
	}
	value, _ := members.Get("keys")
	items, ok := value.Items()
	if !ok {
		return nil, errors.New("keys is missing or not an array (BU-2)")
	}
	if len(items) > most {
		return nil, fmt.Errorf("the bundle has more than %d entries (FX-1)", most)
	}
	entries := make([][]byte, 0, len(items))
	for _, item := range items {
		entries = append(entries, entry(item))
	}
	return entries, nil
}

// entry says in an entry what it is for. All other members are left byte for
// byte.
func entry(raw strictjson.Value) []byte {
	members, err := raw.Object()
	if err != nil {
		return []byte(raw) // no object: the bundle's reader leaves it out
	}
	use := []byte(`"jwt-svid"`)
	if v, ok := members.Get("use"); ok {
		use = useOf(v)
	}
	out := append([]byte(`{"use":`), use...)
	for _, m := range members {
		if m.Name == "use" {
			continue
		}
		// It cannot fail: a name is text in UTF-8.
		name, _ := json.Marshal(m.Name)
		out = append(append(append(append(out, ','), name...), ':'), m.Value...)
	}
	return append(out, '}')
}

// useOf is the use of an entry that states one. "sig" is what plain JWK Sets say
// of every key. The other two uses of a SPIFFE bundle are turned into one that its
// reader leaves out (BU-4), as it does with all that are not SPIFFE's: keys of such
// a set are for JWT-SVIDs and nothing else, so that whoever writes them cannot name
// a CA.
func useOf(stated strictjson.Value) []byte {
	switch text, _ := stated.Text(); text {
	case "sig", "jwt-svid":
		return []byte(`"jwt-svid"`)
	case "x509-svid", "wit-svid":
		return []byte(`"` + text + ` in a JWK Set"`)
	}
	return []byte(stated)
}
