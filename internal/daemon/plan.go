package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/oauth"
)

// maxPlanned is how many clients of each change a plan names.
const maxPlanned = 1000

// A side is a configuration as far as it says what clients get.
type side struct {
	clients *registration.Registry
	table   *policy.Table
}

// Plan compares the configuration in force with the one in a file, for every client
// of either and for every record.
func (c clientDesk) Plan(ctx context.Context, file string) (admin.Plan, error) {
	next, err := config.Load(file)
	if err != nil {
		return admin.Plan{}, err
	}
	authenticator, err := newAuthenticator(next, svidgate.Config{Bundles: &bundlesOnDisk{}})
	if err != nil {
		return admin.Plan{}, err
	}
	table, _ := policyTable(next)
	p := planner{now: c.d.current.Load().side(), next: side{authenticator.Clients, table}, named: map[string]int{}}
	p.plan.Clients = []admin.PlannedClient{}
	p.configured()
	for after := (registration.Cursor{}); ; {
		records, err := c.d.ledger.List(ctx, registration.Filter{}, after, maxPlanned)
		if err != nil {
			return admin.Plan{}, storeError(err)
		}
		for _, r := range records {
			p.record(r)
			after = registration.CursorOf(r)
		}
		if len(records) < maxPlanned {
			break
		}
	}
	order := []string{admin.PlanCutOff, admin.PlanLoses, admin.PlanChanges, admin.PlanGains}
	slices.SortStableFunc(p.plan.Clients, func(a, b admin.PlannedClient) int {
		return slices.Index(order, a.Change) - slices.Index(order, b.Change)
	})
	return p.plan, nil
}

func (g *generation) side() side { return side{g.authenticator.Clients, g.table} }

// A planner goes through clients one by one.
type planner struct {
	now, next side
	plan      admin.Plan
	named     map[string]int // how many of each change are named
}

func (p *planner) add(one admin.PlannedClient) {
	switch one.Change {
	case admin.PlanCutOff:
		p.plan.CutOff++
	case admin.PlanLoses:
		p.plan.Loses++
	case admin.PlanGains:
		p.plan.Gains++
	case admin.PlanChanges:
		p.plan.Changes++
	default:
		p.plan.Same++
		return
	}
	if p.named[one.Change] >= maxPlanned {
		p.plan.Partial = true
		return
	}
	p.named[one.Change]++
	p.plan.Clients = append(p.plan.Clients, one)
}

// A standing is what somebody gets under a configuration; nil is nothing.
type standing struct {
	as      string // whose entry it is
	id      string // client_id of the tokens
	pattern svidgate.Pattern
	methods []oauth.AuthMethod
	rights  policy.Rights
}

// client is the standing of a client of the configuration.
func (s side) client(id string) *standing {
	c := s.clients.Named(id)
	if !c.Registered() {
		return nil
	}
	rights, _ := s.table.Rights(policy.Question{ClientID: id})
	return &standing{"client " + id, id, c.Pattern(), c.Methods(), rights}
}

// configured compares the clients of both configurations.
func (p *planner) configured() {
	for _, c := range p.now.clients.All() {
		now, next := p.now.client(c.ID()), p.next.client(c.ID())
		one := compare(now, next)
		// One that is called as its workload is may still register.
		if id, err := spiffeid.FromString(c.ID()); err == nil && next == nil && c.Pattern().String() == c.ID() && len(p.next.clients.Exactly(id)) == 0 {
			if name, mode := p.next.clients.Template(id); mode == registration.OnFirstUse {
				one = compare(now, p.next.template(name, id.String()))
			}
		}
		one.Kind, one.ClientID, one.SPIFFEID = "configured", c.ID(), c.Pattern().String()
		p.add(one)
	}
	for _, c := range p.next.clients.All() {
		if p.now.client(c.ID()) == nil {
			one := compare(nil, p.next.client(c.ID()))
			one.Kind, one.ClientID, one.SPIFFEID = "configured", c.ID(), c.Pattern().String()
			p.add(one)
		}
	}
}

// template is the standing of a client that registered by it.
func (s side) template(name, spiffeID string) *standing {
	rights, ok := s.table.Rights(policy.Question{Template: name})
	if !ok {
		return nil
	}
	pattern, err := svidgate.ParsePattern(spiffeID)
	if err != nil { // a record is of a workload
		return nil
	}
	return &standing{"template " + name, spiffeID, pattern, s.clients.TemplateMethods(name), rights}
}

// holder is the standing of the workload of a record.
func (s side) holder(r registration.Record) *standing {
	if r.Kind == registration.MemberKind {
		c := s.clients.Named(r.ClientID)
		if !c.Registered() || !c.Pattern().Match(r.SPIFFEID) {
			return nil
		}
		return s.client(r.ClientID)
	}
	if exact := s.clients.Exactly(r.SPIFFEID); len(exact) > 0 {
		return s.client(exact[0].ID())
	}
	name, mode := s.clients.Template(r.SPIFFEID)
	switch {
	case name == "" || mode == registration.OnPaper:
		return nil
	case r.State == registration.Active || mode == registration.OnFirstUse:
		return s.template(name, r.SPIFFEID.String())
	}
	return nil // it waits
}

// record compares what the workload of a record gets.
func (p *planner) record(r registration.Record) {
	now, next := p.now.holder(r), p.next.holder(r)
	if now == nil && next == nil {
		return
	}
	one := compare(now, next)
	one.Kind, one.ClientID, one.SPIFFEID, one.State = string(r.Kind), r.ClientID, r.SPIFFEID.String(), string(r.State)
	if r.Kind == registration.MemberKind && next != nil && now != nil {
		return // its client has a line of its own, which says the same
	}
	p.add(one)
}

// compare says what becomes of somebody.
func compare(now, next *standing) admin.PlannedClient {
	switch {
	case now == nil && next == nil:
		return admin.PlannedClient{}
	case next == nil:
		return admin.PlannedClient{Change: admin.PlanCutOff, Why: []string{now.as + " has no entry that would take its place"}}
	case now == nil:
		return admin.PlannedClient{Change: admin.PlanGains, Why: []string{next.as + " is new for it"}}
	}
	var lost, gained, other []string
	if now.as != next.as {
		other = append(other, now.as+" becomes "+next.as)
	}
	if now.id != next.id {
		other = append(other, "client_id "+now.id+" becomes "+next.id)
	}
	if now, next := now.pattern.String(), next.pattern.String(); now != next {
		other = append(other, "spiffe_id "+now+" becomes "+next)
	}
	for _, list := range []struct {
		what      string
		now, next []string
	}{
		{"method", texts(now.methods), texts(next.methods)},
		{"grant", texts(now.rights.GrantTypes), texts(next.rights.GrantTypes)},
		{"resource", now.rights.Resources, next.rights.Resources},
		{"scope", now.rights.Scope, next.rights.Scope},
	} {
		for _, one := range list.now {
			if !slices.Contains(list.next, one) {
				lost = append(lost, "loses "+list.what+" "+one)
			}
		}
		for _, one := range list.next {
			if !slices.Contains(list.now, one) {
				gained = append(gained, "gains "+list.what+" "+one)
			}
		}
	}
	if now.rights.Binding != next.rights.Binding {
		other = append(other, fmt.Sprintf("binding %q becomes %q", now.rights.Binding, next.rights.Binding))
	}
	if now.rights.Lifetime != next.rights.Lifetime {
		other = append(other, fmt.Sprintf("lifetime %s becomes %s", now.rights.Lifetime, next.rights.Lifetime))
	}
	p := admin.PlannedClient{Why: slices.Concat(lost, gained, other)}
	switch {
	case len(now.rights.Resources) > 0 && len(next.rights.Resources) == 0, now.alone(next):
		p.Change = admin.PlanCutOff
	case len(lost) > 0 && len(gained) == 0:
		p.Change = admin.PlanLoses
	case len(gained) > 0 && len(lost) == 0:
		p.Change = admin.PlanGains
	case len(p.Why) > 0:
		p.Change = admin.PlanChanges
	}
	return p
}

// alone reports whether a client has one workload, and next has another.
func (s *standing) alone(next *standing) bool {
	id, err := spiffeid.FromString(s.pattern.String())
	return err == nil && !s.pattern.Wildcard() && !next.pattern.Match(id)
}

func texts[T ~string](list []T) []string {
	return strings.Fields(strings.Trim(fmt.Sprint(list), "[]"))
}
