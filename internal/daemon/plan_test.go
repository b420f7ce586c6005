package daemon

import (
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/admin"
)

// A plan says of a client whose spiffe_id changes whether its workload is cut
// off by that.
func TestPlanOfAnotherSPIFFEID(t *testing.T) {
	const client = `  - {client_id: "app", spiffe_id: "spiffe://example.org/app", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}` + "\n"
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere, "clients:\n", "clients:\n"+client))
	for _, row := range []struct {
		name, to, change string
	}{
		{"the same", "spiffe://example.org/app", ""},
		{"another", "spiffe://example.org/app2", admin.PlanCutOff},
		{"one above it", "spiffe://example.org/app/*", admin.PlanCutOff},
		{"a wildcard that has it", "spiffe://example.org/*", admin.PlanChanges},
	} {
		p.write(t, "next.yaml", []byte(p.text(anywhere, "clients:\n", "clients:\n"+strings.Replace(client, "spiffe://example.org/app", row.to, 1))))
		plan, err := clientDesk{d}.Plan(t.Context(), p.path("next.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, c := range plan.Clients {
			got += c.Change
		}
		if got != row.change || plan.Same+len(plan.Clients) != 2 {
			t.Errorf("%s: %+v", row.name, plan)
		}
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
}
