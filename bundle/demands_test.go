package bundle

import (
	"testing"
	"testing/synctest"
	"time"
)

// BE-17, F1: the status counts what became of each wish for a newer bundle.
func TestDemandsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		for _, step := range []struct {
			name string
			do   func()
			want Demands
		}{
			{"the key was rotated", func() { mustRefresh(t, s, td) }, Demands{Renewed: 1}},
			{"too soon", func() { mustRefresh(t, s, td) }, Demands{Renewed: 1, Limited: 1}},
			{"the source has no other", func() { time.Sleep(demandInterval); mustRefresh(t, s, td) }, Demands{Renewed: 1, Limited: 1, Unchanged: 1}},
			{"the source fails", func() { source.fail(); time.Sleep(demandInterval); mustRefresh(t, s, td) }, Demands{1, 1, 1, 1}},
			{"a poll is none", func() { _ = s.Load(t.Context()) }, Demands{1, 1, 1, 1}},
		} {
			step.do()
			synctest.Wait()
			if got := s.Status()[0].Demands; got != step.want {
				t.Fatalf("%s: %+v, want %+v", step.name, got, step.want)
			}
		}
	})
}
