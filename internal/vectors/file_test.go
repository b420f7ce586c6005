package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const folder = "../../testdata/vectors"

// A file holds the vectors of one family. README.md beside the files describes
// the format.
type file struct {
	Family   string                     `json:"family"`
	About    string                     `json:"about"`
	Now      time.Time                  `json:"now"`
	Texts    map[string]string          `json:"texts,omitempty"`
	Chains   map[string][][]byte        `json:"chains,omitempty"`
	Contexts map[string]json.RawMessage `json:"contexts,omitempty"`
	Vectors  []*vector                  `json:"vectors"`

	// told hears of every refusal what an operator is told; nil is deaf.
	told func(refusal)
}

// A refusal is what an operator is told of one.
type refusal struct{ reason, rule, expected, presented string }

func (f *file) tell(r refusal) {
	if f.told != nil {
		f.told(r)
	}
}

// A vector is one input and what must come of it.
type vector struct {
	ID     string          `json:"id"`
	About  string          `json:"about"`
	Rules  []string        `json:"rules"`
	Twin   string          `json:"twin,omitempty"`
	Input  json.RawMessage `json:"input"`
	Expect expectation     `json:"expect"`
}

// An expectation is exact: what is not said must be empty.
type expectation struct {
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Status   int    `json:"status,omitempty"`
	Error    string `json:"error,omitempty"`
	SPIFFEID string `json:"spiffe_id,omitempty"`
	Binding  string `json:"binding,omitempty"` // of the token that was issued
}

// ruleless reports whether what refuses does not say by which rule.
func (e expectation) ruleless() bool { return e.Reason == noMatch || e.Reason == byHTTP }

const (
	accepted = "accepted"
	refused  = "refused"
)

// A family says what comes of an input.
type family func(t testing.TB, f *file, input json.RawMessage) expectation

var families = map[string]family{
	"strict-json":   judgeJSON,
	"spiffe-id":     judgeSPIFFEID,
	"trust-domain":  judgeTrustDomain,
	"endpoint":      judgeEndpoint,
	"bundle":        judgeBundle,
	"jwt-svid":      judgeJWTSVID,
	"wit-svid":      judgeWITSVID,
	"pattern":       judgePattern,
	"x509-svid":     judgeX509SVID,
	"token-request": judgeTokenRequest,
	"access-token":  judgeAccessToken,
}

func readFiles(t testing.TB) []*file {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files of vectors: %v", err)
	}
	var files []*file
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f := &file{}
		if err := decode(text, f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files = append(files, f)
	}
	return files
}

// decode refuses members that nobody reads: a misspelt one would test nothing.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// read decodes an input, and the context that it names if it names one.
func read(t testing.TB, text json.RawMessage, into any) {
	t.Helper()
	if err := decode(text, into); err != nil {
		t.Fatal(err)
	}
}

func (f *file) context(t testing.TB, name string, into any) {
	t.Helper()
	text, ok := f.Contexts[name]
	if !ok {
		t.Fatalf("no context %q", name)
	}
	read(t, text, into)
}

func (f *file) text(t testing.TB, name string) string {
	t.Helper()
	text, ok := f.Texts[name]
	if !ok {
		t.Fatalf("no text %q", name)
	}
	return text
}

// TestFiles holds the files to their format: a negative has an accepted twin in
// its file, and carries at least the rule that refuses it.
func TestFiles(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range readFiles(t) {
		byID := map[string]*vector{}
		for _, v := range f.Vectors {
			if seen[v.ID] {
				t.Errorf("%s is there twice", v.ID)
			}
			seen[v.ID], byID[v.ID] = true, v
		}
		for _, v := range f.Vectors {
			if err := v.sound(byID); err != nil {
				t.Errorf("%s: %v", v.ID, err)
			}
		}
	}
}

func (v *vector) sound(byID map[string]*vector) error {
	switch v.Expect.Outcome {
	case accepted:
		if v.Twin != "" || v.Expect.Reason != "" || v.Expect.Rule != "" {
			return fmt.Errorf("accepted, and has a twin, a reason or a rule")
		}
	case refused:
		if twin := byID[v.Twin]; twin == nil || twin.Expect.Outcome != accepted {
			return fmt.Errorf("its twin %q is not an accepted vector of the file", v.Twin)
		}
		if !v.Expect.ruleless() && !slices.Contains(v.Rules, v.Expect.Rule) {
			return fmt.Errorf("refused by %q, which it does not carry", v.Expect.Rule)
		}
	default:
		return fmt.Errorf("neither accepted nor refused")
	}
	return nil
}
