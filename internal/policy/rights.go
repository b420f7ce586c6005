package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// Rights are what an entry of the configuration gives.
type Rights struct {
	GrantTypes []oauth.GrantType
	Resources  []string
	Scope      []string
	Binding    BindingMode
	Lifetime   time.Duration // 0 says nothing
}

func (r Rights) equal(other Rights) bool {
	return r.Binding == other.Binding && slices.Equal(r.GrantTypes, other.GrantTypes) && slices.Equal(r.Resources, other.Resources) && slices.Equal(r.Scope, other.Scope)
}

// key is the same for the same rights of clients.
func (r Rights) key() string {
	return fmt.Sprintf("%q %q %q %q", r.GrantTypes, r.Resources, r.Scope, r.Binding)
}

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
	t.templates = make(map[string]Rights, len(templates))
	for _, of := range templates {
		t.templates[of.Name] = Rights{of.GrantTypes, of.Resources, of.Scope, of.Binding, of.Lifetime}
	}
}

// Rights are those of whoever a question is about, by its ClientID or its Template
// alone; false where there is no such entry. Those of a template that the
// table does not have are none: what a record says of its template gives nothing.
func (t *Table) Rights(q Question) (Rights, bool) {
	if q.Template != "" {
		of, ok := t.templates[q.Template]
		return of, ok
	}
	n, ok := t.clients.Find(q.ClientID)
	if !ok {
		return Rights{}, false
	}
	return t.rights[t.rightsOf[n]], true
}

// rule is the id of the entry that decides.
func (q Question) rule() string {
	if q.Template != "" {
		return "template " + q.Template
	}
	return "client " + q.ClientID
}
