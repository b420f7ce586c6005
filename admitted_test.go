package svidgate

import (
	"crypto/x509"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

// AK-18: of what a peer sends, only what leads up to an anchor takes part in
// building paths. The rest would multiply signature checks.
func TestAdmitted(t *testing.T) {
	ours, err := devca.New("example.org", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := devca.New("example.org", devca.Options{}) // the same names, other keys
	if err != nil {
		t.Fatal(err)
	}
	intermediates := func(a *devca.Authority) []*x509.Certificate {
		first, err := a.Issuer().Intermediate()
		if err != nil {
			t.Fatal(err)
		}
		second, err := first.Intermediate()
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{second.Certificate(), first.Certificate()}
	}
	good, bad := intermediates(ours), intermediates(stranger)
	for _, row := range []struct {
		name string
		sent []*x509.Certificate
		want int
	}{
		{"nothing sent", nil, 0},
		{"two that lead to an anchor, the nearer one first", good, 2},
		{"two that lead to an anchor, the other way round", []*x509.Certificate{good[1], good[0]}, 2},
		{"the lower one alone", good[:1], 0},
		{"those of a stranger under the same names", bad, 0},
		{"both mixed", append(append([]*x509.Certificate{}, bad...), good...), 2},
		{"a stranger's root", stranger.Roots(), 0},
	} {
		if got := admitted(ours.Roots(), row.sent); len(got) != row.want {
			t.Errorf("%s: %d admitted, want %d", row.name, len(got), row.want)
		}
	}
}
