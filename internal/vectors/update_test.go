package vectors

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the files of vectors anew")

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// TestUpdate writes the files, when it is asked to.
func TestUpdate(t *testing.T) {
	if !*update {
		t.Skip("without -update")
	}
	for _, write := range []func(*writer){writeJSON, writeSPIFFEIDs, writeTrustDomains, writePatterns, writeBundles, writeEndpoints, writeJWTSVIDs, writeWITSVIDs, writeX509SVIDs, writeTokenRequests, writeAccessTokens} {
		w := &writer{TB: t, file: &file{Now: noon}}
		write(w)
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := e.Encode(w.file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, w.file.Family+".json"), text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A writer fills one file.
type writer struct {
	testing.TB
	file *file
	twin string // the accepted vector that the negatives after it differ from
}

func (w *writer) family(name, about string) { w.file.Family, w.file.About = name, about }

func (w *writer) json(v any) json.RawMessage {
	w.Helper()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		w.Fatal(err)
	}
	return bytes.TrimSpace(text.Bytes())
}

func (w *writer) text(name, text string) {
	if w.file.Texts == nil {
		w.file.Texts = map[string]string{}
	}
	w.file.Texts[name] = text
}

func (w *writer) context(name string, c any) {
	if w.file.Contexts == nil {
		w.file.Contexts = map[string]json.RawMessage{}
	}
	w.file.Contexts[name] = w.json(c)
}

// good writes an accepted vector, which is the twin of the negatives after it.
func (w *writer) good(name, about string, input any, expect expectation, rules ...string) {
	w.Helper()
	w.twin = w.file.Family + "/" + name
	expect.Outcome = accepted
	w.add(&vector{ID: w.twin, About: about, Rules: rules, Input: w.json(input), Expect: expect})
}

// bad writes a negative vector. Its first rule is the one that refuses.
func (w *writer) bad(name, about string, input any, expect expectation, rules ...string) {
	w.Helper()
	if expect.Outcome = refused; !expect.ruleless() {
		expect.Rule = rules[0]
	}
	w.add(&vector{ID: w.file.Family + "/" + name, About: about, Rules: rules, Twin: w.twin, Input: w.json(input), Expect: expect})
}

func (w *writer) add(v *vector) {
	if v.Rules == nil {
		v.Rules = []string{}
	}
	w.file.Vectors = append(w.file.Vectors, v)
}
