package bundle

import (
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// An other is a source with an origin of its own.
type other struct {
	said
	origin string
}

func (o other) Origin() string { return o.origin }

// A trust domain that gets another source begins with what that source just gave,
// and without it begins with nothing: the bundle before was of another origin.
func TestReplaceWithAFirstBundle(t *testing.T) {
	td := spiffeid.RequireTrustDomainFromString("example.org")
	for _, row := range []struct {
		name  string
		first bool
	}{{"with", true}, {"without", false}} {
		t.Run(row.name, func(t *testing.T) {
			before := other{said{document: `{"keys":[],"spiffe_sequence":9}`}, "before"}
			set, err := NewSet(Config{TrustDomains: []TrustDomain{{Name: td, Source: before}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := set.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			old, err := set.Bundle(td)
			if err != nil {
				t.Fatal(err)
			}
			next := TrustDomain{Name: td, Source: other{said{document: `{"keys":[],"spiffe_sequence":3}`}, "after"}}
			if row.first {
				if next.First, err = Parse(td, []byte(`{"keys":[],"spiffe_sequence":3}`), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			if err := set.Replace([]TrustDomain{next}); err != nil {
				t.Fatal(err)
			}
			s, err := set.Bundle(td)
			if !row.first {
				if err != ErrNotReady {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if sequence, _ := s.Sequence(); sequence != 3 || s.Generation() <= old.Generation() {
				t.Errorf("sequence %d, generation %d after %d", sequence, s.Generation(), old.Generation())
			}
		})
	}
	of, err := Parse(spiffeid.RequireTrustDomainFromString("other.test"), []byte(`{"keys":[]}`), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Replace([]TrustDomain{{Name: td, Source: said{}, First: of}}); err == nil {
		t.Error("BU-18 the bundle of another trust domain was taken")
	}
}
