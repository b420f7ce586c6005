package index

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
)

func TestIndex(t *testing.T) {
	texts := []string{"a", "", "ab", "b", "a", "abc", "", "a"}
	x := New(texts)
	if x.Len() != len(texts) {
		t.Errorf("%d texts", x.Len())
	}
	for i, want := range texts {
		if x.Text(i) != want {
			t.Errorf("text %d is %q, want %q", i, x.Text(i), want)
		}
	}
	for _, row := range []struct {
		text string
		want []int
	}{{"a", []int{0, 4, 7}}, {"", []int{1, 6}}, {"ab", []int{2}}, {"abc", []int{5}}, {"A", nil}, {"abcd", nil}, {"bab", nil}} {
		if got := slices.Collect(x.All(row.text)); !slices.Equal(got, row.want) {
			t.Errorf("%q is %v, want %v", row.text, got, row.want)
		}
		i, ok := x.Find(row.text)
		if ok != (row.want != nil) || ok && i != row.want[0] {
			t.Errorf("%q is found at %d, %t", row.text, i, ok)
		}
	}
	var none *Index
	if _, ok := none.Find("a"); ok || none.Len() != 0 {
		t.Error("the nil Index has something")
	}
}

// Texts that collide are told apart: here all do.
func TestCollisions(t *testing.T) {
	x := New([]string{"a", "b", "a", "c"})
	for i := range x.next { // one chain with all of them
		x.next[i] = i + 1
	}
	x.next[3] = -1
	for _, text := range []string{"a", "b", "c", "d"} {
		x.first[maphash.String(x.seed, text)] = 0
	}
	for text, want := range map[string][]int{"a": {0, 2}, "b": {1}, "c": {3}, "d": nil} {
		if got := slices.Collect(x.All(text)); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// FuzzIndex: what is found is what a search of the list finds.
func FuzzIndex(f *testing.F) {
	f.Add("a,b,a,,c", "a")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, list, text string) {
		texts := strings.Split(list, ",")
		x := New(texts)
		var want []int
		for i, other := range texts {
			if other == text {
				want = append(want, i)
			}
		}
		if got := slices.Collect(x.All(text)); !slices.Equal(got, want) {
			t.Fatalf("%q in %q is %v, want %v", text, texts, got, want)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	texts := make([]string, 100_000)
	for i := range texts {
		texts[i] = fmt.Sprintf("spiffe://example.org/client/%d", i)
	}
	x := New(texts)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if n, ok := x.Find(texts[i%len(texts)]); !ok || n != i%len(texts) {
			b.Fatal(n, ok)
		}
	}
}
