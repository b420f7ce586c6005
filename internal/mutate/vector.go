package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A vector is what this program needs to know of one. Its format is described in
// testdata/vectors/README.md.
type vector struct {
	ID     string
	Rules  []string
	Expect struct{ Outcome, Rule string }
}

const refused = "refused"

func readVectors(root string) ([]vector, error) {
	names, err := filepath.Glob(filepath.Join(root, "testdata", "vectors", "*.json"))
	if err != nil {
		return nil, err
	}
	var all []vector
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var file struct{ Vectors []vector }
		if err := json.Unmarshal(text, &file); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, file.Vectors...)
	}
	return all, nil
}

// A requirement is a rule of docs/requirements.md that is built.
type requirement struct{ id, section string }

// watched are the sections of which the report says what has no place to switch
// off.
var watched = regexp.MustCompile(`^### (?:(1|2|3|6|7|8|9|10|13|14|15)\.? |(AS) )`)

var watchedAS = map[string]bool{"GL": true, "TK": true, "CC": true, "AM": true, "AT": true, "KR": true, "EC": true, "FX": true, "MT": true}

func readRequirements(root string) ([]requirement, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "requirements.md"))
	if err != nil {
		return nil, err
	}
	row := regexp.MustCompile(`^\| ([A-Z]{2}-[0-9]+) \|`)
	var all []requirement
	section := ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "### ") {
			section = ""
			if m := watched.FindStringSubmatch(line); m != nil {
				section = m[1] + m[2]
			}
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil || section == "" || section == "AS" && !watchedAS[m[1][:2]] {
			continue
		}
		if cells := strings.Split(line, " | "); len(cells) > 3 && strings.HasPrefix(cells[3], "built") {
			all = append(all, requirement{m[1], section})
		}
	}
	return all, nil
}
