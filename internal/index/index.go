package index

import (
	"hash/maphash"
	"iter"
	"strings"
)

// An Index is an immutable list of texts, each found by its bytes. Any number of
// goroutines may use it. The nil Index is empty.
type Index struct {
	seed  maphash.Seed // of this process: nobody can choose texts that collide
	text  string       // all texts, one behind the other
	ends  []int        // where each ends in text
	first map[uint64]int
	next  []int // the next text with the same hash; -1 is none
}

// New makes an index of texts, in their order. A text may stand there more than
// once.
func New(texts []string) *Index {
	total := 0
	for _, t := range texts {
		total += len(t)
	}
	x := &Index{
		seed: maphash.MakeSeed(), ends: make([]int, 0, len(texts)),
		first: make(map[uint64]int, len(texts)), next: make([]int, len(texts)),
	}
	var all strings.Builder
	all.Grow(total)
	for _, t := range texts {
		all.WriteString(t)
		x.ends = append(x.ends, all.Len())
	}
	x.text = all.String()
	for i := len(texts) - 1; i >= 0; i-- { // backwards, so that equal texts are found in order
		h := maphash.String(x.seed, texts[i])
		x.next[i] = -1
		if after, ok := x.first[h]; ok {
			x.next[i] = after
		}
		x.first[h] = i
	}
	return x
}

// Len is how many texts there are.
func (x *Index) Len() int {
	if x == nil {
		return 0
	}
	return len(x.ends)
}

// Text is the i-th text. It is a piece of one string with all of them.
func (x *Index) Text(i int) string {
	start := 0
	if i > 0 {
		start = x.ends[i-1]
	}
	return x.text[start:x.ends[i]]
}

// All are the numbers of a text, from 0, in the order of the list.
func (x *Index) All(text string) iter.Seq[int] {
	return func(yield func(int) bool) {
		if x == nil {
			return
		}
		i, ok := x.first[maphash.String(x.seed, text)]
		for ; ok && i >= 0; i = x.next[i] {
			if x.Text(i) == text && !yield(i) {
				return
			}
		}
	}
}

// Find is the first number of a text.
func (x *Index) Find(text string) (int, bool) {
	for i := range x.All(text) {
		return i, true
	}
	return 0, false
}
