package policy_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

// CC-4 What a client may have is said before there is a connection to bind to, and in
// the same words.
func TestAllows(t *testing.T) {
	c := config()
	c.Binding = policy.BindRequired
	table := policy.New(c)
	for _, row := range []struct {
		name     string
		edit     func(*policy.Question)
		resource string
		scope    []string
		reason   oauth.Reason
	}{
		{"all that it may have", func(*policy.Question) {}, api, []string{"write", "read"}, ""},
		{"some of it", func(q *policy.Question) { q.Scope = []string{"read"} }, api, []string{"read"}, ""},
		{"none of it, as was granted", func(q *policy.Question) { q.Settled = true }, api, nil, ""},
		{"some of it, as was granted", func(q *policy.Question) { q.Settled, q.Scope = true, []string{"read"} }, api, []string{"read"}, ""},
		{"what was granted and is no longer to be had", func(q *policy.Question) { q.Settled, q.Scope = true, []string{"admin"} }, "", nil, oauth.ReasonScopeDenied},
		{"more", func(q *policy.Question) { q.Scope = []string{"read", "admin"} }, "", nil, oauth.ReasonScopeDenied},
		{"another resource", func(q *policy.Question) { q.Resources = []string{ledger} }, "", nil, oauth.ReasonResourceDenied},
		{"another grant", func(q *policy.Question) { q.GrantType = oauth.GrantAuthorizationCode }, "", nil, oauth.ReasonGrantDenied},
		{"another client", func(q *policy.Question) { q.ClientID = "nobody" }, "", nil, oauth.ReasonGrantDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := question(billing)
			row.edit(&q)
			resource, scope, err := table.Allows(q)
			if resource != row.resource || !slices.Equal(scope, row.scope) || (err == nil) != (row.reason == "") || err != nil && !errors.Is(err, row.reason) {
				t.Errorf("allowed %v at %q, %v", scope, resource, err)
			}
			q.Certificate = true
			decision, decided := table.Decide(q)
			if (decided == nil) != (err == nil) || err != nil && decided.Error() != err.Error() || !slices.Equal(decision.Scope(), scope) {
				t.Errorf("decided otherwise: %v, %v", decision.Scope(), decided)
			}
		})
	}
}

func TestOffers(t *testing.T) {
	table := policy.New(config())
	for _, row := range []struct {
		client string
		grant  oauth.GrantType
		want   bool
	}{
		{billing, oauth.GrantClientCredentials, true}, {billing, oauth.GrantRefreshToken, false}, {"no grant", oauth.GrantClientCredentials, false}, {"nobody", oauth.GrantClientCredentials, false},
	} {
		if table.Offers(row.client, row.grant) != row.want {
			t.Errorf("%s has %s: %t", row.client, row.grant, !row.want)
		}
	}
}

// CC-5 A public client has no key to shed, and so gets a bearer token, unless binding
// is required.
func TestBindingOfPublicClients(t *testing.T) {
	q := question(billing)
	q.Methods, q.TrustDomain = []oauth.AuthMethod{oauth.MethodNone}, ""
	if d, err := policy.New(config()).Decide(q); err != nil || d.Binding() != oauth.BindingBearer || d.Lifetime() > policy.BearerLifetime {
		t.Errorf("bound by %q, %v", d.Binding(), err)
	}
	c := config()
	c.Binding = policy.BindRequired
	if _, err := policy.New(c).Decide(q); !errors.Is(err, oauth.ReasonBindingRequired) {
		t.Errorf("required, and answered %v", err)
	}
}
