package vectors

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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
	// Before is the document in use, which this one is to take the place of.
	Before string `json:"before,omitempty"`
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
	td := spiffeid.RequireTrustDomainFromString(in.TrustDomain)
	var snapshot *bundle.Snapshot
	var err error
	if in.Before != "" {
		snapshot, err = succeed(t, td, f.Now, in.Before, document)
	} else {
		snapshot, err = bundle.Parse(td, document, f.Now)
	}
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

// A publisher gives its documents one after the other.
type publisher struct{ documents [][]byte }

func (p *publisher) Origin() string { return "https://example.org/bundle" }

func (p *publisher) Fetch(context.Context) (bundle.Document, error) {
	next := p.documents[0]
	p.documents = p.documents[1:]
	return bundle.Document{Bytes: next}, nil
}

// succeed is what becomes of a document that comes after another one.
func succeed(t testing.TB, td spiffeid.TrustDomain, now time.Time, before string, document []byte) (*bundle.Snapshot, error) {
	source := &publisher{[][]byte{[]byte(before), document}}
	set, err := bundle.NewSet(bundle.Config{
		TrustDomains: []bundle.TrustDomain{{Name: td, Source: source}}, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	change, err := set.Fetch(t.Context(), td, bundle.FetchOptions{})
	return change.After, err
}

var ruleInText = regexp.MustCompile(`\(([A-Z]+-\d+)\)`)

// judgeEndpoint reads the settings of a bundle endpoint.
func judgeEndpoint(t testing.TB, _ *file, input json.RawMessage) expectation {
	var in struct {
		URL     string `json:"url"`
		Profile string `json:"profile,omitempty"`
	}
	read(t, input, &in)
	_, err := bundle.NewEndpoint(bundle.EndpointConfig{URL: in.URL, Profile: in.Profile})
	if err == nil {
		return expectation{Outcome: accepted}
	}
	rule := ruleInText.FindStringSubmatch(err.Error())
	if rule == nil {
		t.Fatal(err)
	}
	return expectation{Outcome: refused, Rule: rule[1]}
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
