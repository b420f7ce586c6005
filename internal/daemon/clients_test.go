package daemon

import (
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/registration"
)

// RF-11: a list of blocks, in parts of any size, has each of them once.
func TestListsAllBlocks(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere, "example.org: {bundle_file: bundle.json}",
		`example.org: {bundle_file: bundle.json, registration: {mode: first_use, allow: ["/ci/*"], resources: ["https://api.example.com/"], max_clients: 9}}`))
	const id = "spiffe://example.org/ci/"
	blocked := []string{"spiffe://a.test/ci/a", id + "b", id + "c", id + "d", id + "e"}
	for _, subject := range blocked {
		if err := d.ledger.Block(t.Context(), registration.Block{Subject: subject}); err != nil {
			t.Fatal(err)
		}
	}
	for limit := range 6 {
		for _, row := range []struct {
			name   string
			filter admin.ClientFilter
			want   []string
		}{
			{"all", admin.ClientFilter{}, blocked},
			{"of a trust domain", admin.ClientFilter{TrustDomain: "example.org"}, blocked[1:]},
			{"of one", admin.ClientFilter{ClientID: id + "c"}, blocked[2:3]},
			{"none", admin.ClientFilter{ClientID: id + "x"}, nil},
		} {
			var got []string
			row.filter.State, row.filter.Limit = blockedState, limit+1
			for parts := 0; parts < 10; parts++ {
				page, err := clientDesk{d}.List(t.Context(), row.filter)
				if err != nil || len(page.Blocks) > limit+1 {
					t.Fatalf("%s: %d blocks, %v", row.name, len(page.Blocks), err)
				}
				for _, b := range page.Blocks {
					got = append(got, b.Subject)
				}
				if row.filter.After = page.Next; page.Next == "" {
					break
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("%s, %d at a time: %v", row.name, limit+1, got)
			}
		}
	}
	page, err := clientDesk{d}.List(t.Context(), admin.ClientFilter{State: deletedState, Limit: 10})
	if err != nil || len(page.Blocks) != 0 {
		t.Errorf("deleted: %+v, %v", page, err)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
}
