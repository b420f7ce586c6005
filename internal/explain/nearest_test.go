package explain

import "testing"

func TestNearestClient(t *testing.T) {
	clients := []Client{
		{ID: "spiffe://example.org/billing", SPIFFEID: "spiffe://example.org/billing"},
		{ID: "fleet", SPIFFEID: "spiffe://example.org/ns/ci/*"},
		{ID: "spiffe://example.org/ns/prod/orders", SPIFFEID: "spiffe://example.org/ns/prod/orders"},
	}
	for _, c := range []struct{ name, named, id, client, where string }{
		{"another case", "", "spiffe://example.org/Billing", "spiffe://example.org/billing", "case of segment 1"},
		{"one letter", "", "spiffe://example.org/biling", "spiffe://example.org/billing", "segment 1"},
		{"another namespace", "", "spiffe://example.org/ns/test/orders", "spiffe://example.org/ns/prod/orders", "segment 2"},
		{"beside a wildcard", "", "spiffe://example.org/ns/cI/job/7", "fleet", "case of segment 2"},
		{"deeper than a wildcard allows", "fleet", "spiffe://example.org/ns/ci/a/b", "fleet", "depth below spiffe://example.org/ns/ci"},
		{"the one named, though another is nearer", "fleet", "spiffe://example.org/billing", "fleet", "segment 1"},
		{"another trust domain", "", "spiffe://example.com/billing", "spiffe://example.org/billing", "trust domain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := nearClient(clients, nil, c.named, c.id)
			if n == nil || n.ClientID != c.client || n.Difference == nil || n.Difference.Where != c.where {
				t.Errorf("%+v", n)
			}
		})
	}
	if nearClient(nil, nil, "", "spiffe://example.org/a") != nil || nearClient(clients, nil, "", "") != nil {
		t.Error("a nearest of nothing")
	}
	if n := nearClientID(clients, nil, "Fleet"); n == nil || n.ClientID != "fleet" || n.Difference.Where != "case of name" {
		t.Errorf("%+v", n)
	}
	if n := nearTrustDomain([]TrustDomain{{Name: "prod.example.org"}, {Name: "example.org"}}, "example.com"); n == nil || n.Configured != "example.org" || n.Difference.Where != "trust domain" {
		t.Errorf("%+v", n)
	}
}
