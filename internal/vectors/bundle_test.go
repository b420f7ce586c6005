package vectors

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
)

// A bundleInput is a document, and if the vector is about one entry its position.
type bundleInput struct {
	TrustDomain string `json:"trust_domain"`
	Document    []byte `json:"document_base64,omitempty"` // where it is no text
	Text        string `json:"document,omitempty"`
	PadTo       int    `json:"pad_to,omitempty"` // with spaces at its end
	Entry       *int   `json:"entry,omitempty"`
	// Others is how many entries beside that one verify something.
	Others int `json:"others,omitempty"`
}

// judgeBundle reads a bundle document. A vector on an entry is accepted when the
// entry is kept, which means that it verifies something.
func judgeBundle(t testing.TB, f *file, input json.RawMessage) expectation {
	var in bundleInput
	read(t, input, &in)
	document := in.Document
	if in.Text != "" {
		document = []byte(in.Text)
	}
	if n := in.PadTo - len(document); n > 0 {
		document = append(document, strings.Repeat(" ", n)...)
	}
	snapshot, err := bundle.Parse(spiffeid.RequireTrustDomainFromString(in.TrustDomain), document, f.Now)
	if err != nil {
		e, ok := errors.AsType[*bundle.DocumentError](err)
		if !ok {
			t.Fatal(err)
		}
		return expectation{Outcome: refused, Rule: e.Rule}
	}
	if in.Entry == nil {
		return expectation{Outcome: accepted}
	}
	for _, out := range snapshot.LeftOut() {
		if out.Index == *in.Entry {
			return expectation{Outcome: refused, Rule: out.Rule}
		}
	}
	if kept := countKept(t, snapshot, document); kept != in.Others+1 {
		t.Fatalf("%d entries verify something, and not %d", kept, in.Others+1)
	}
	return expectation{Outcome: accepted}
}

// countKept counts what verifies anything, under whatever use the document says.
func countKept(t testing.TB, s *bundle.Snapshot, document []byte) int {
	var d struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	kept := len(s.Anchors())
	var counted []string
	for _, raw := range d.Keys {
		var entry struct{ Use string }
		_ = json.Unmarshal(raw, &entry) // what is no object has no use
		if !slices.Contains(counted, entry.Use) {
			counted = append(counted, entry.Use)
			kept += len(s.Keys(bundle.Use(entry.Use)))
		}
	}
	return kept
}
