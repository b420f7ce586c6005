package config

import "strings"

// nearest returns the name that a slip of the pen most likely meant, or nothing
// when none is near. Case and the choice between - and _ do not count.
// Package explain has another: among very many long identifiers it wants the nearest
// in any case, and so counts only what stands between a common beginning and end.
func nearest(written string, names []string) string {
	const longest = 40 // no key is longer, and the work grows with the square
	if len(written) > longest {
		return ""
	}
	plain := strings.ReplaceAll(strings.ToLower(written), "-", "_")
	best, distance := "", 1+len(plain)/4
	for _, name := range names {
		if d := edits(plain, name); d < distance || d == distance && best == "" {
			best, distance = name, d
		}
	}
	return best
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b.
func edits(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// What a guess may cost. A configuration that needs more of them is not the work
// of a slip.
const (
	maxGuesses = 50   // in one configuration
	maxGuessed = 1000 // names that one guess looks at
	maxGuess   = 100  // bytes of a name
)

// meant says, for the end of a sentence, which of the names that there are was
// most likely meant by one that is not among them: one that differs only in
// case, or else one within two slips of the pen.
func (r *reader) meant(written string, names []string) string {
	if r.guesses++; r.guesses > maxGuesses || len(written) > maxGuess {
		return ""
	}
	best, distance := "", 3
	for _, name := range names[:min(len(names), maxGuessed)] {
		if strings.EqualFold(written, name) {
			return "; " + quoted(name) + " differs only in case"
		}
		if off := len(written) - len(name); off < -2 || off > 2 {
			continue
		}
		if d := edits(written, name); d < distance && 3*d <= len(written) {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + quoted(best) + "?"
}
