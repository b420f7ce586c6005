package policy

import (
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// A Template is what each client may have that registered by it on first use
// (RU-3).
type Template struct {
	Name       string
	GrantTypes []oauth.GrantType
	Resources  []string
	Scope      []string
	Binding    BindingMode   // empty says nothing
	Lifetime   time.Duration // longest life of a token; 0 is the table's
}

func (t *Table) addTemplates(templates []Template) {
	t.templates = make(map[string]terms, len(templates))
	for _, of := range templates {
		t.templates[of.Name] = terms{of.GrantTypes, of.Resources, of.Scope, of.Binding, of.Lifetime}
	}
}

// client are the terms of whoever a question is about. Those of a template that the
// table does not have are none: what a record says of its template gives nothing.
func (t *Table) client(q Question) (terms, bool) {
	if q.Template != "" {
		of, ok := t.templates[q.Template]
		return of, ok
	}
	n, ok := t.clients.Find(q.ClientID)
	if !ok {
		return terms{}, false
	}
	return t.terms[t.termsOf[n]], true
}

// rule is the id of the entry that decides.
func (q Question) rule() string {
	if q.Template != "" {
		return "template " + q.Template
	}
	return "client " + q.ClientID
}

// Rights are what an entry of the configuration gives.
type Rights struct {
	GrantTypes []oauth.GrantType
	Resources  []string
	Scope      []string
	Binding    BindingMode
	Lifetime   time.Duration // 0 says nothing
}

// Rights are those of whoever a question is about, by its ClientID or its Template
// alone; false where there is no such entry.
func (t *Table) Rights(q Question) (Rights, bool) {
	of, ok := t.client(q)
	return Rights{of.grantTypes, of.resources, of.scope, of.binding, of.lifetime}, ok
}
