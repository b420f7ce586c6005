package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A trial runs the vectors with rules switched off.
type trial struct {
	binary string
	folder string // where the runner's tests run
	found  *found
	byRule map[string][]*site
	bad    map[string][]vector // negative vectors by the rules they carry

	mu   sync.Mutex
	runs map[string]map[string]answer // by what is off and which vectors; guarded by mu
}

// An answer is what one vector came to.
type answer struct{ outcome, reason, rule string }

const accepted = "accepted"

// stopped reports whether the program could not go on: it broke, or said that
// the fault is its own.
func (a answer) stopped() bool { return a.outcome == "stopped" || a.reason == "internal" }

// newTrial runs every vector with nothing off. All must come to what they expect
// with their rule, else nothing that follows would mean anything.
func newTrial(ctx context.Context, binary, root string, f *found, vectors []vector) (*trial, error) {
	t := &trial{
		binary: binary, folder: filepath.Join(root, filepath.FromSlash(runner)), found: f,
		byRule: map[string][]*site{}, bad: map[string][]vector{}, runs: map[string]map[string]answer{},
	}
	for _, s := range f.sites {
		if s.whole != nil {
			continue // the whole is switched off with its rule
		}
		for _, id := range s.rules {
			t.byRule[id] = append(t.byRule[id], s)
		}
	}
	answers, err := t.run(ctx, nil, vectors)
	if err != nil {
		return nil, err
	}
	for _, v := range vectors {
		if a := answers[v.ID]; a.outcome != v.Expect.Outcome || a.rule != v.Expect.Rule {
			return nil, fmt.Errorf("with nothing switched off vector %s is %s (%s), and not %s (%s)", v.ID, a.outcome, a.rule, v.Expect.Outcome, v.Expect.Rule)
		}
		if v.Expect.Outcome == refused {
			for _, id := range v.Rules {
				t.bad[id] = append(t.bad[id], v)
			}
		}
	}
	for _, vectors := range t.bad { // those that break the fewest rules show the most
		slices.SortStableFunc(vectors, func(a, b vector) int { return len(a.Rules) - len(b.Rules) })
	}
	return t, nil
}

// run runs these vectors in a process of their own with these places off.
func (t *trial) run(ctx context.Context, off []*site, vectors []vector) (map[string]answer, error) {
	switched := switches(off)
	var names []string
	for _, v := range vectors {
		names = append(names, v.ID)
	}
	key := switched + " " + strings.Join(names, ",")
	t.mu.Lock()
	known, ok := t.runs[key]
	t.mu.Unlock()
	if ok {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.binary, "-test.run", "^TestReport$", "-test.count", "1")
	cmd.Dir = t.folder
	cmd.Env = append(os.Environ(), "SVIDGATE_OFF="+switched, "SVIDGATE_VECTORS="+strings.Join(names, ","))
	out, err := cmd.CombinedOutput()
	answers := map[string]answer{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if cells := strings.Split(lines.Text(), "\t"); len(cells) == 5 && cells[0] == "vector" {
			answers[cells[1]] = answer{cells[2], cells[3], cells[4]}
		}
	}
	if len(answers) != len(vectors) {
		if len(off) == 0 || ctx.Err() != nil {
			return nil, fmt.Errorf("the vectors did not run: %w\n%s", err, out)
		}
		for _, v := range vectors { // the whole process broke
			if _, ok := answers[v.ID]; !ok {
				answers[v.ID] = answer{outcome: "stopped"}
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs[key] = answers
	return answers, nil
}

// A verdict is what became of one rule.
type verdict struct {
	rule  string
	sites []*site
	class class
	by    string   // the vector or the test
	along []string // the other rules of that vector, when it took them off too
}

type class int

const (
	survives class = iota // nothing shows that the rule does anything
	alone
	firstOfSeveral
	behindOthers
	namedByTest   // a test fails, and names the rule
	unnamedByTest // only tests fail that do not name it
	closed
	guard
)

// rules judges every rule that has a place and is wanted.
func (t *trial) rules(ctx context.Context, wanted func(id string) bool) ([]verdict, error) {
	ids := slices.Sorted(maps.Keys(t.byRule))
	ids = slices.DeleteFunc(ids, func(id string) bool { return !wanted(id) })
	verdicts := make([]verdict, len(ids))
	err := inParallel(len(ids), func(i int) (err error) {
		verdicts[i], err = t.rule(ctx, ids[i])
		return err
	})
	return verdicts, err
}

// inParallel calls f for each of n, two at a time, and returns all errors.
func inParallel(n int, f func(int) error) error {
	const processes = 2
	errs := make([]error, n)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range processes {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (t *trial) rule(ctx context.Context, id string) (verdict, error) {
	v := verdict{rule: id, sites: t.byRule[id]}
	bad := t.bad[id]
	off, err := t.run(ctx, v.sites, bad)
	if err != nil {
		return v, err
	}
	for _, vec := range bad {
		if off[vec.ID].outcome == accepted {
			v.class, v.by = alone, vec.ID
			return v, nil
		}
	}
	for _, vec := range bad {
		without, err := t.lastOfSeveral(ctx, id, vec)
		if err != nil {
			return v, err
		}
		switch {
		case without.outcome == accepted && vec.Expect.Rule == id:
			v.class, v.by, v.along = firstOfSeveral, vec.ID, others(vec, id)
			return v, nil
		case without.outcome == accepted && v.class != behindOthers:
			v.class, v.by, v.along = behindOthers, vec.ID, others(vec, id)
		case v.class == survives && vec.Expect.Rule == id && (off[vec.ID].stopped() || without.stopped()):
			v.class, v.by = closed, vec.ID
		}
	}
	if v.class != survives {
		return v, nil
	}
	if !slices.ContainsFunc(v.sites, func(s *site) bool { return !s.guard }) {
		v.class = guard
	}
	return v, nil
}

func others(v vector, id string) []string {
	return slices.DeleteFunc(slices.Clone(v.Rules), func(other string) bool { return other == id })
}

// lastOfSeveral says what becomes of a vector when all the rules that it breaks
// are off, provided that with the others off this one refuses it.
func (t *trial) lastOfSeveral(ctx context.Context, id string, v vector) (answer, error) {
	rest := others(v, id)
	if len(rest) == 0 {
		return answer{}, nil
	}
	var off []*site
	for _, other := range rest {
		for _, s := range t.byRule[other] {
			if !slices.Contains(s.rules, id) { // a place of both is this rule's
				off = append(off, s)
			}
		}
	}
	with, err := t.run(ctx, off, []vector{v})
	if err != nil || with[v.ID].outcome != refused || with[v.ID].stopped() && with[v.ID].rule != id {
		return answer{}, err
	}
	without, err := t.run(ctx, append(off, t.byRule[id]...), []vector{v})
	return without[v.ID], err
}

// places switches off each place alone. A rule of several places is killed by
// one vector; this says which places that vector never came to.
func (t *trial) places(ctx context.Context) error {
	return inParallel(len(t.found.sites), func(i int) error { return t.place(ctx, t.found.sites[i]) })
}

func (t *trial) place(ctx context.Context, s *site) error {
	var bad []vector
	for _, id := range s.rules {
		for _, v := range t.bad[id] {
			if !slices.ContainsFunc(bad, func(other vector) bool { return other.ID == v.ID }) {
				bad = append(bad, v)
			}
		}
	}
	answers, err := t.run(ctx, []*site{s}, bad)
	if err != nil {
		return err
	}
	for _, v := range bad {
		if answers[v.ID].outcome == accepted {
			s.killedBy = v.ID
			return nil
		}
	}
	for _, v := range bad {
		if ok, err := t.lastPlace(ctx, s, v); err != nil {
			return err
		} else if ok {
			s.killedBy, s.last = v.ID, true
			return nil
		}
	}
	s.closed = slices.ContainsFunc(bad, func(v vector) bool {
		return slices.Contains(s.rules, v.Expect.Rule) && answers[v.ID].stopped()
	})
	return nil
}

// lastPlace reports whether a place refuses a vector when all others of the rules
// that the vector breaks are off.
func (t *trial) lastPlace(ctx context.Context, s *site, v vector) (bool, error) {
	var off []*site
	for _, id := range v.Rules {
		for _, other := range t.byRule[id] {
			if other != s && other != s.whole {
				off = append(off, other)
			}
		}
	}
	for _, other := range t.found.sites {
		if s.whole != nil && other.whole == s.whole && other != s {
			off = append(off, other)
		}
	}
	without, err := t.run(ctx, append(off, s), []vector{v})
	if err != nil || without[v.ID].outcome != accepted {
		return false, err
	}
	with, err := t.run(ctx, off, []vector{v})
	return err == nil && with[v.ID].outcome == refused && !with[v.ID].stopped(), err
}
