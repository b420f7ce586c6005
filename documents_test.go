package svidgate_test

import (
	"encoding/json"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
)

// entriesOf are the entries of a bundle document, to be changed and put together
// anew.
func entriesOf(t testing.TB, document []byte) []map[string]any {
	t.Helper()
	var doc struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Keys
}

// ofUse are the entries with this use.
func ofUse(entries []map[string]any, use bundle.Use) []map[string]any {
	var found []map[string]any
	for _, e := range entries {
		if e["use"] == string(use) {
			found = append(found, e)
		}
	}
	return found
}

// with sets members over those of every entry; nil removes one.
func with(entries []map[string]any, members map[string]any) []map[string]any {
	for _, e := range entries {
		for name, value := range members {
			if e[name] = value; value == nil {
				delete(e, name)
			}
		}
	}
	return entries
}

// bundleOf is a bundle of these entries.
func bundleOf(t testing.TB, td spiffeid.TrustDomain, entries ...map[string]any) *bundle.Snapshot {
	t.Helper()
	if entries == nil {
		entries = []map[string]any{}
	}
	document, err := json.Marshal(map[string]any{"keys": entries})
	if err != nil {
		t.Fatal(err)
	}
	return parseBundle(t, td, document)
}
