package policy_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

const (
	billing = "spiffe://example.org/billing"
	api     = "https://api.example.com/"
	ledger  = "https://ledger.example.com/"
	unused  = "https://unused.example.com/"
)

// config is a table that permits; rows change one thing.
func config() policy.Config {
	return policy.Config{
		Resources: []policy.Resource{
			{Resource: api, Scopes: []string{"read", "write", "admin"}},
			{Resource: ledger, Scopes: []string{"read", "post"}, Lifetime: time.Minute},
			{Resource: unused, Scopes: []string{"read"}},
		},
		Clients: []policy.Client{
			{ClientID: billing, GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api}, Scope: []string{"write", "read"}},
			{ClientID: "two", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api, ledger}, Scope: []string{"read", "post"}},
			{ClientID: "none", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}},
			{ClientID: "no grant", Resources: []string{api}, Scope: []string{"read"}},
			{ClientID: "stale", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{"https://gone.example.com/"}, Scope: []string{"read"}},
			{ClientID: "no scope", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api}},
		},
		Lifetime: 10 * time.Minute,
	}
}

func question(clientID string) policy.Question {
	return policy.Question{
		ClientID: clientID, TrustDomain: "example.org", Methods: []oauth.AuthMethod{oauth.MethodJWT}, GrantType: oauth.GrantClientCredentials,
	}
}

// A want is the outcome of a row: the zero value is acceptance.
type want struct {
	code   oauth.ErrorCode
	reason oauth.Reason
	rule   string
}

var accepted = want{}

func decide(t testing.TB, c policy.Config, q policy.Question, w want) policy.Decision {
	t.Helper()
	d, err := policy.New(c).Decide(q)
	if d.Permits() != (err == nil) {
		t.Errorf("Permits is %t beside %v", d.Permits(), err)
	}
	if w == accepted {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return d
	}
	if d.Resource() != "" || len(d.Scope()) > 0 || d.Binding() != "" || d.Lifetime() != 0 || d.Rule() != "" {
		t.Errorf("a refused decision holds %+v", d)
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("got %v, want %s by %s", err, w.reason, w.rule)
	}
	if refusal.Code != w.code || refusal.Reason != w.reason || refusal.Rule != w.rule {
		t.Errorf("refused with %s, %s by %s; want %s, %s by %s: %v", refusal.Code, refusal.Reason, refusal.Rule, w.code, w.reason, w.rule, err)
	}
	return d
}

func TestGrantTypes(t *testing.T) {
	denied := want{oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "TK-5"}
	other := question(billing)
	other.GrantType = "urn:ietf:params:oauth:grant-type:token-exchange"
	none := question(billing)
	none.GrantType = ""
	for _, row := range []struct {
		name string
		q    policy.Question
		want want
	}{
		{"TK-5 a grant the client has", question(billing), accepted},
		{"TK-5 a grant the client has not", other, denied},
		{"TK-5 no grant", none, denied},
		{"TK-5 a client without grants", question("no grant"), denied},
		{"PO-1 a client that no policy knows", question("nobody"), denied},
		{"GL-14 a client_id in another case", question(strings.ToUpper(billing)), denied},
	} {
		t.Run(row.name, func(t *testing.T) { decide(t, config(), row.q, row.want) })
	}
	decide(t, policy.Config{}, question(billing), denied)
}

// AT-4 BC-5 CC-4 A token is for one resource, which the client has.
func TestResources(t *testing.T) {
	target := func(reason oauth.Reason, rule string) want { return want{oauth.InvalidTarget, reason, rule} }
	for _, row := range []struct {
		name   string
		client string
		asked  []string
		got    string
		want   want
	}{
		{"CC-4 the only one by default", billing, nil, api, accepted},
		{"CC-4 the only one by name", billing, []string{api}, api, accepted},
		{"CC-4 several, none asked for", "two", nil, "", target(oauth.ReasonResourceMissing, "CC-4")},
		{"CC-4 several, the first", "two", []string{api}, api, accepted},
		{"CC-4 several, the second", "two", []string{ledger}, ledger, accepted},
		{"AT-4 two at once", "two", []string{api, ledger}, "", target(oauth.ReasonResourceMultiple, "AT-4")},
		{"AT-4 one twice", "two", []string{api, api}, "", target(oauth.ReasonResourceMultiple, "AT-4")},
		{"CC-4 none at all", "none", nil, "", target(oauth.ReasonResourceMissing, "CC-4")},
		{"CC-4 one by a client without any", "none", []string{api}, "", target(oauth.ReasonResourceDenied, "CC-4")},
		{"CC-4 one that nobody configured", billing, []string{"https://nowhere.example.com/"}, "", target(oauth.ReasonResourceUnknown, "CC-4")},
		{"CC-4 one of another client", billing, []string{ledger}, "", target(oauth.ReasonResourceDenied, "CC-4")},
		{"CC-4 one of nobody", billing, []string{unused}, "", target(oauth.ReasonResourceDenied, "CC-4")},
		{"CC-4 a default that is not configured", "stale", nil, "", target(oauth.ReasonResourceUnknown, "CC-4")},
		{"GL-14 without the slash at its end", billing, []string{"https://api.example.com"}, "", target(oauth.ReasonResourceUnknown, "CC-4")},
		{"GL-14 with the default port", billing, []string{"https://api.example.com:443/"}, "", target(oauth.ReasonResourceUnknown, "CC-4")},
		{"GL-14 in another case", billing, []string{"https://API.example.com/"}, "", target(oauth.ReasonResourceUnknown, "CC-4")},
		{"GL-5 an empty one is not the default", billing, []string{""}, "", target(oauth.ReasonResourceUnknown, "CC-4")},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := question(row.client)
			q.Resources = row.asked
			if d := decide(t, config(), q, row.want); d.Resource() != row.got {
				t.Errorf("for %q, want %q", d.Resource(), row.got)
			}
		})
	}
}

func TestScope(t *testing.T) {
	denied := want{oauth.InvalidScope, oauth.ReasonScopeDenied, "CC-4"}
	for _, row := range []struct {
		name     string
		client   string
		resource string
		asked    string
		got      string
		want     want
	}{
		{"CC-2 none asked for", billing, api, "", "write read", accepted},
		{"CC-4 less", billing, api, "read", "read", accepted},
		{"CC-4 all", billing, api, "read write", "read write", accepted},
		{"CC-4 one that the client has not", billing, api, "admin", "", denied},
		{"CC-4 one that the client has not, after one that it has", billing, api, "read admin", "", denied},
		{"CC-4 one that nobody has", billing, api, "fly", "", denied},
		{"CC-4 another case", billing, api, "Read", "", denied},
		{"CC-4 one of the client's at this resource", "two", ledger, "post", "post", accepted},
		{"CC-4 one of the client's at another resource", "two", api, "post", "", denied},
		{"CC-4 none asked for, cut to what the resource knows", "two", api, "", "read", accepted},
		{"CC-4 a client without scope", "no scope", api, "", "", accepted},
		{"CC-4 a client without scope asks for one", "no scope", api, "read", "", denied},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := question(row.client)
			q.Resources, q.Scope = []string{row.resource}, strings.Fields(row.asked)
			if d := decide(t, config(), q, row.want); strings.Join(d.Scope(), " ") != row.got {
				t.Errorf("granted %q, want %q", d.Scope(), row.got)
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	for _, row := range []struct {
		name        string
		table       time.Duration
		resource    time.Duration
		certificate bool
		want        time.Duration
	}{
		{"AT-6 the table's, bound", 10 * time.Minute, 0, true, 10 * time.Minute},
		{"AT-6 the resource's when shorter", 10 * time.Minute, time.Minute, true, time.Minute},
		{"AT-6 the resource's cannot be longer", 10 * time.Minute, time.Hour, true, 10 * time.Minute},
		{"CC-5 bearer: five minutes at most", 10 * time.Minute, 0, false, 5 * time.Minute},
		{"CC-5 bearer: five minutes at most, whatever the resource says", 10 * time.Minute, 9 * time.Minute, false, 5 * time.Minute},
		{"CC-5 bearer: less stays less", 2 * time.Minute, 0, false, 2 * time.Minute},
		{"CC-5 bearer: the resource's when shorter", 10 * time.Minute, time.Minute, false, time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config()
			c.Lifetime, c.Resources[0].Lifetime = row.table, row.resource
			q := question(billing)
			q.Certificate = row.certificate
			if d := decide(t, c, q, accepted); d.Lifetime() != row.want {
				t.Errorf("lives %s, want %s", d.Lifetime(), row.want)
			}
		})
	}
}

func TestDecisionNamesItsRule(t *testing.T) {
	if d := decide(t, config(), question(billing), accepted); d.Rule() != "client "+billing {
		t.Errorf("PO-1 decided by %q", d.Rule())
	}
	var zero policy.Decision
	if zero.Permits() {
		t.Error("the zero Decision permits something")
	}
}

// Whatever is asked of whatever table: a decision has a rule, one resource that
// table and client have, no scope that either lacks, and a binding; and without a
// rule there is no decision.
func TestNoDecisionWithoutARule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(oneIn int, from []string) []string {
		var some []string
		for _, s := range from {
			if r.IntN(oneIn) == 0 {
				some = append(some, s)
			}
		}
		return some
	}
	modes := []policy.BindingMode{"", policy.BindAuto, policy.BindRequired, policy.BindNone}
	mode := func() policy.BindingMode { return modes[r.IntN(len(modes))] }
	methods := [][]oauth.AuthMethod{nil, {oauth.MethodJWT}, {oauth.MethodX509}, {oauth.MethodJWT, oauth.MethodX509}}
	names, words := []string{"a", "b", "c"}, []string{"r", "w", "x"}
	permitted := 0
	const questions = 20_000
	for range questions {
		c := policy.Config{Binding: mode(), Lifetime: time.Duration(1+r.IntN(20)) * time.Minute, TrustDomains: map[string]policy.BindingMode{"example.org": mode()}}
		for _, name := range pick(2, names) {
			c.Resources = append(c.Resources, policy.Resource{Resource: name, Scopes: pick(2, words), Binding: mode(), Lifetime: time.Duration(r.IntN(8)) * time.Minute})
		}
		client := policy.Client{ClientID: "c", Resources: pick(2, names), Scope: pick(2, words), Binding: mode()}
		if r.IntN(8) > 0 {
			client.GrantTypes = []oauth.GrantType{oauth.GrantClientCredentials}
		}
		c.Clients = append(c.Clients, client)
		q := policy.Question{
			ClientID: []string{"c", "c", "c", "d", ""}[r.IntN(5)], TrustDomain: "example.org", Methods: methods[r.IntN(len(methods))],
			GrantType: oauth.GrantClientCredentials, Resources: pick(4, names), Scope: pick(4, words), Certificate: r.IntN(2) == 0,
		}
		d, err := policy.New(c).Decide(q)
		if d.Permits() != (err == nil) || d.Permits() != (d.Rule() != "") {
			t.Fatalf("PO-1 %+v decided %+v, %v", q, d, err)
		}
		if err != nil {
			continue
		}
		permitted++
		i := slices.IndexFunc(c.Resources, func(r policy.Resource) bool { return r.Resource == d.Resource() })
		switch {
		case q.ClientID != "c" || len(client.GrantTypes) == 0:
			t.Fatalf("PO-1 permitted for %q", q.ClientID)
		case i < 0 || !slices.Contains(client.Resources, d.Resource()) || len(q.Resources) == 1 && q.Resources[0] != d.Resource():
			t.Fatalf("CC-4 %+v decided for %q", q, d.Resource())
		case slices.ContainsFunc(d.Scope(), func(s string) bool {
			return !slices.Contains(client.Scope, s) || !slices.Contains(c.Resources[i].Scopes, s) || len(q.Scope) > 0 && !slices.Contains(q.Scope, s)
		}):
			t.Fatalf("CC-4 %+v was granted %v", q, d.Scope())
		case d.Binding() == oauth.BindingCertificate && !q.Certificate, d.Binding() != oauth.BindingCertificate && d.Binding() != oauth.BindingBearer:
			t.Fatalf("CC-5 %+v is bound by %q", q, d.Binding())
		case d.Lifetime() <= 0 || d.Lifetime() > c.Lifetime || d.Binding() == oauth.BindingBearer && d.Lifetime() > policy.BearerLifetime:
			t.Fatalf("AT-6 %+v lives %s", q, d.Lifetime())
		}
	}
	if permitted < 500 { // else the above has shown little
		t.Errorf("only %d of %d questions were permitted", permitted, questions)
	}
}
