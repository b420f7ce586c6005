package policy_test

import (
	"fmt"
	"testing"

	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

var (
	onlyJWT  = []oauth.AuthMethod{oauth.MethodJWT}
	onlyX509 = []oauth.AuthMethod{oauth.MethodX509}
	both     = []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}
)

// What each word means, for a client of each kind with and without a
// certificate. refused stands for binding_required.
const refused oauth.Binding = "refused"

type outcome struct{ with, without oauth.Binding }

var meanings = []struct {
	mode    policy.BindingMode
	methods []oauth.AuthMethod
	outcome outcome
}{
	{policy.BindAuto, onlyJWT, outcome{oauth.BindingCertificate, oauth.BindingBearer}},
	{policy.BindAuto, onlyX509, outcome{oauth.BindingCertificate, refused}},
	{policy.BindAuto, both, outcome{oauth.BindingCertificate, refused}}, // a thief of the JWT-SVID must not shed the key
	{policy.BindAuto, []oauth.AuthMethod{oauth.MethodWIT}, outcome{oauth.BindingCertificate, refused}},
	{policy.BindAuto, nil, outcome{oauth.BindingCertificate, refused}},
	{policy.BindRequired, onlyJWT, outcome{oauth.BindingCertificate, refused}},
	{policy.BindRequired, onlyX509, outcome{oauth.BindingCertificate, refused}},
	{policy.BindRequired, both, outcome{oauth.BindingCertificate, refused}},
	{policy.BindNone, onlyJWT, outcome{oauth.BindingBearer, oauth.BindingBearer}},
	{policy.BindNone, onlyX509, outcome{oauth.BindingBearer, oauth.BindingBearer}},
	{policy.BindNone, both, outcome{oauth.BindingBearer, oauth.BindingBearer}},
}

func meaning(t *testing.T, mode policy.BindingMode, methods []oauth.AuthMethod) outcome {
	t.Helper()
	for _, m := range meanings {
		if m.mode == mode && fmt.Sprint(m.methods) == fmt.Sprint(methods) {
			return m.outcome
		}
	}
	t.Fatalf("no meaning of %s for %v", mode, methods)
	return outcome{}
}

// strictest is which of four words counts: required before none before auto.
func strictest(words ...policy.BindingMode) policy.BindingMode {
	for _, mode := range []policy.BindingMode{policy.BindRequired, policy.BindNone} {
		for _, w := range words {
			if w == mode {
				return mode
			}
		}
	}
	return policy.BindAuto
}

func bind(t *testing.T, c policy.Config, methods []oauth.AuthMethod, certificate bool, want oauth.Binding) {
	t.Helper()
	q := question(billing)
	q.Methods, q.Certificate = methods, certificate
	if want == refused {
		decide(t, c, q, wantBinding)
		return
	}
	if d := decide(t, c, q, accepted); d.Binding() != want {
		t.Errorf("CC-5 bound by %q, want %q", d.Binding(), want)
	}
}

var wantBinding = want{oauth.InvalidRequest, oauth.ReasonBindingRequired, "CC-5"}

// TestBindingWords has one row for each word, kind of client and connection, with
// the word said where most words are said: at the server.
func TestBindingWords(t *testing.T) {
	for _, m := range meanings {
		for _, certificate := range []bool{true, false} {
			t.Run(fmt.Sprintf("CC-5 %s, %v, certificate %t", m.mode, m.methods, certificate), func(t *testing.T) {
				c := config()
				c.Binding = m.mode
				want := m.outcome.without
				if certificate {
					want = m.outcome.with
				}
				bind(t, c, m.methods, certificate, want)
			})
		}
	}
}

// TestBindingMatrix says every combination of words at client, resource, trust
// domain and server, for every kind of client and connection (CC-5, CX-9).
func TestBindingMatrix(t *testing.T) {
	words := []policy.BindingMode{"", policy.BindAuto, policy.BindRequired, policy.BindNone}
	for _, client := range words {
		for _, resource := range words {
			for _, trustDomain := range words {
				for _, server := range words {
					t.Run(fmt.Sprintf("CC-5 client %q, resource %q, trust domain %q, server %q", client, resource, trustDomain, server), func(t *testing.T) {
						c := config()
						c.Clients[0].Binding, c.Resources[0].Binding, c.Binding = client, resource, server
						c.TrustDomains = map[string]policy.BindingMode{"example.org": trustDomain, "other.test": policy.BindRequired}
						c.Clients[1].Binding, c.Resources[1].Binding = policy.BindRequired, policy.BindRequired // nobody's business here
						for _, methods := range [][]oauth.AuthMethod{onlyJWT, onlyX509, both} {
							want := meaning(t, strictest(client, resource, trustDomain, server), methods)
							bind(t, c, methods, true, want.with)
							bind(t, c, methods, false, want.without)
						}
					})
				}
			}
		}
	}
}

// A proven key takes the place of a certificate, and goes before it.
func TestBindingByKey(t *testing.T) {
	for _, m := range meanings {
		for _, certificate := range []bool{true, false} {
			t.Run(fmt.Sprintf("CC-5 %s, %v, certificate %t", m.mode, m.methods, certificate), func(t *testing.T) {
				c := config()
				c.Binding = m.mode
				want := oauth.BindingKey
				if m.mode == policy.BindNone {
					want = oauth.BindingBearer
				}
				q := question(billing)
				q.Methods, q.Certificate, q.Key = m.methods, certificate, true
				if d := decide(t, c, q, accepted); d.Binding() != want {
					t.Errorf("CC-5 bound by %q, want %q", d.Binding(), want)
				}
			})
		}
	}
}
