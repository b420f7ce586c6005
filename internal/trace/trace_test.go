package trace

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

// A clock that ticks a second each time it is asked.
func ticking() func() time.Time {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func follow(t *testing.T) (*Request, *[]*Trace) {
	t.Helper()
	var got []*Trace
	r := (&Tracer{Sample: 1, Now: ticking(), Export: func(t *Trace) { got = append(got, t) }}).Begin(http.Header{})
	if r == nil {
		t.Fatal("not followed")
	}
	return r, &got
}

// A granted request has each stage once, one after the other, without a gap.
func TestStagesFollowEachOther(t *testing.T) {
	r, got := follow(t)
	all := []Stage{Shape, Identity, Client, Grant, Decision, Token, Record}
	for _, s := range all {
		r.Stage(s)
	}
	r.End(Facts{RequestID: "R"})
	if len(*got) != 1 || (*got)[0].RequestID != "R" || len((*got)[0].Stages) != len(all) {
		t.Fatalf("%+v", *got)
	}
	tr := (*got)[0]
	for i, s := range tr.Stages {
		if s.Stage != all[i] || s.Reason != "" || !s.Ended.After(s.Began) {
			t.Errorf("stage %d: %+v", i, s)
		}
		if i > 0 && !s.Began.Equal(tr.Stages[i-1].Ended) {
			t.Errorf("a gap before %s", s.Stage)
		}
	}
	if tr.Stages[0].Began.Before(tr.Began) || tr.Stages[6].Ended.After(tr.Ended) {
		t.Errorf("stages outside of the request: %+v", tr)
	}
}

// A refusal ends the stage that refused, and only that one has the reason.
func TestRefusedStage(t *testing.T) {
	r, got := follow(t)
	r.Stage(Shape)
	r.Stage(Identity)
	r.Refused("expired", "CJ-5")
	r.Refused("audit_unavailable", "AU-6") // nothing is open: nothing changes
	r.Stage(Record)
	r.End(Facts{Reason: "expired"})
	s := (*got)[0].Stages
	if len(s) != 3 || s[0].Reason != "" || s[1].Reason != "expired" || s[1].Rule != "CJ-5" || s[2].Reason != "" {
		t.Errorf("%+v", s)
	}
}

// More stages than there can be neither break nor grow anything.
func TestTooManyStages(t *testing.T) {
	r, got := follow(t)
	for range 3 * maxStages {
		r.Stage(Shape)
	}
	r.End(Facts{})
	if n := len((*got)[0].Stages); n != maxStages {
		t.Errorf("%d stages", n)
	}
}

func TestSample(t *testing.T) {
	for _, row := range []struct {
		sample      float64
		least, most int
	}{{0, 0, 0}, {1, 1000, 1000}, {0.5, 300, 700}, {-1, 0, 0}} {
		tracer := &Tracer{Sample: row.sample, Now: ticking(), Export: func(*Trace) {}}
		followed := 0
		for range 1000 {
			// Who sends the flag "sampled" is followed no more than others.
			if tracer.Begin(http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}) != nil {
				followed++
			}
		}
		if followed < row.least || followed > row.most {
			t.Errorf("sample %v: %d of 1000", row.sample, followed)
		}
	}
}

// Facts are texts and a truth: nothing that could hold a request, a header or an
// error.
func TestFactsArePlain(t *testing.T) {
	facts := reflect.TypeFor[Facts]()
	for i := range facts.NumField() {
		if k := facts.Field(i).Type.Kind(); k != reflect.String && k != reflect.Bool {
			t.Errorf("%s is a %s", facts.Field(i).Name, k)
		}
	}
}

// off is the way of a request through a server that follows none.
func off(t *Tracer, header http.Header) {
	r := t.Begin(header)
	for _, s := range [...]Stage{Shape, Identity, Client, Grant, Decision, Token, Record} {
		r.Stage(s)
	}
	r.Refused("expired", "CJ-5")
	if r != nil {
		r.End(Facts{})
	}
}

func TestOffAllocatesNothing(t *testing.T) {
	header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	for name, tracer := range map[string]*Tracer{"off": nil, "not in the sample": {Sample: 1e-300}} {
		if n := testing.AllocsPerRun(1000, func() { off(tracer, header) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkOff(b *testing.B) {
	header := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		off(nil, header)
	}
}

func BenchmarkNotInTheSample(b *testing.B) {
	header := http.Header{}
	tracer := &Tracer{Sample: 1e-300, Now: time.Now, Export: func(*Trace) {}}
	b.ReportAllocs()
	for b.Loop() {
		off(tracer, header)
	}
}

func BenchmarkFollowed(b *testing.B) {
	header := http.Header{}
	tracer := &Tracer{Sample: 1, Now: time.Now, Export: func(*Trace) {}}
	b.ReportAllocs()
	for b.Loop() {
		off(tracer, header)
	}
}
