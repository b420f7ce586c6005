package vectors

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVectors runs every vector. Its answer must be exactly what the file says.
func TestVectors(t *testing.T) {
	for _, f := range readFiles(t) {
		judge := families[f.Family]
		if judge == nil {
			t.Errorf("nobody runs the family %q", f.Family)
			continue
		}
		for _, v := range f.Vectors {
			t.Run(v.ID+" "+strings.Join(v.Rules, " "), func(t *testing.T) {
				if got := judge(t, f, v.Input); got != v.Expect {
					t.Errorf("%s\ngot  %+v\nwant %+v", v.About, got, v.Expect)
				}
			})
		}
	}
}

// TestReport prints what comes of the vectors that SVIDGATE_VECTORS names, for
// internal/mutate to compare. It judges nothing.
func TestReport(t *testing.T) {
	list, ok := os.LookupEnv("SVIDGATE_VECTORS")
	if !ok {
		t.Skip("for internal/mutate")
	}
	names := strings.Split(list, ",")
	for _, f := range readFiles(t) {
		for _, v := range f.Vectors {
			if slices.Contains(names, v.ID) {
				e := withoutHarm(func() expectation { return families[f.Family](quiet{t}, f, v.Input) })
				fmt.Printf("\nvector\t%s\t%s\t%s\t%s\n", v.ID, e.Outcome, e.Reason, e.Rule)
			}
		}
	}
}

// patience is how long a vector may take with a rule switched off: a check may
// be what ends a loop. One that only waits for a busy machine must not look like it.
const patience = 10 * time.Second

// withoutHarm runs what may break or never end.
func withoutHarm(judge func() expectation) expectation {
	done := make(chan expectation, 1)
	go func() {
		e := expectation{Outcome: "stopped"}
		defer func() {
			if p := recover(); p != nil {
				e = expectation{Outcome: "stopped"}
			}
			done <- e
		}()
		e = judge()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e := <-done:
		return e
	case <-timer.C:
		return expectation{Outcome: "stopped"}
	}
}

// quiet turns the failure of a test into a panic, which withoutHarm takes for
// what it is: with a rule switched off something could not go on.
type quiet struct{ *testing.T }

func (quiet) Helper()                      {}
func (quiet) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (quiet) Error(args ...any)            { panic(fmt.Sprint(args...)) }
func (quiet) Errorf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
