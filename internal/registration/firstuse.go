package registration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// A Mode is what happens to a workload that no client of the configuration has.
type Mode string

const (
	OnFirstUse Mode = "first_use" // it is registered in its own first request
	OnApproval Mode = "approve"   // its first request asks, an operator answers
	OnPaper    Mode = "observe"   // it is refused, and noted what would have been
)

// FirstUse says who may register on first use in one trust domain (RU-2).
type FirstUse struct {
	TrustDomain spiffeid.TrustDomain
	Mode        Mode
	Deny        []svidgate.Pattern
	Templates   []Template // the first that fits counts
	Quota       Quota
}

// A Template is what such a client is registered with. What it may have is policy's,
// under the same name (RU-3).
type Template struct {
	Name    string // unique
	Allow   []svidgate.Pattern
	Methods []oauth.AuthMethod
	Digest  [32]byte // of all that it gives
}

// template is the one for an identity; nil is none.
func (f *FirstUse) template(id spiffeid.ID) *Template {
	if f == nil || id.TrustDomain() != f.TrustDomain || matches(f.Deny, id) {
		return nil
	}
	for i := range f.Templates {
		if matches(f.Templates[i].Allow, id) {
			return &f.Templates[i]
		}
	}
	return nil
}

func matches(patterns []svidgate.Pattern, id spiffeid.ID) bool {
	return slices.ContainsFunc(patterns, func(p svidgate.Pattern) bool { return p.Match(id) })
}

// WithFirstUse returns the registry with what may register on first use, and the
// ledger that has the records and the blocks; nil is that of a server that does not
// run. It reports every fault at once.
func (r *Registry) WithFirstUse(domains []FirstUse, ledger *Ledger) (*Registry, error) {
	with := *r
	with.ledger, with.firstUse, with.wide = ledger, make(map[spiffeid.TrustDomain]*FirstUse, len(domains)), nil
	var faults []error
	names := map[string]bool{}
	for i := range domains {
		d := domains[i]
		td := d.TrustDomain.Name()
		if with.firstUse[d.TrustDomain] != nil {
			faults = append(faults, fmt.Errorf("first use in %s is said twice", td))
		}
		if len(d.Templates) == 0 || d.Quota.MaxClients < 1 || d.Quota.Idle <= useEvery || d.Quota.NewClients > 0 && d.Quota.Per <= 0 {
			faults = append(faults, fmt.Errorf("first use in %s needs a template, a bound and a time longer than a day (RF-1, RU-5)", td))
		}
		if !slices.Contains([]Mode{OnFirstUse, OnApproval, OnPaper}, d.Mode) {
			faults = append(faults, fmt.Errorf("first use in %s has no mode (RF-1)", td))
		}
		for _, t := range d.Templates {
			if t.Name == "" || names[t.Name] || len(t.Allow) == 0 || len(t.Methods) == 0 {
				faults = append(faults, fmt.Errorf("a template of %s needs a name of its own, a pattern and a method (RU-3)", td))
			}
			names[t.Name] = true
			for _, p := range t.Allow {
				if p.TrustDomain() != d.TrustDomain {
					faults = append(faults, fmt.Errorf("the pattern %s is not of %s", p, td))
				}
			}
		}
		with.firstUse[d.TrustDomain] = &d
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	for i := range with.clients {
		if c := &with.clients[i]; c.pattern.Wildcard() && with.firstUse[c.pattern.TrustDomain()] != nil {
			if with.wide == nil {
				with.wide = map[string][]*Client{}
			}
			with.wide[c.pattern.String()] = append(with.wide[c.pattern.String()], c)
		}
	}
	return &with, nil
}

// taken reports whether a client of the configuration has the SPIFFE ID as its
// client_id, so that no workload may register under it.
func (r *Registry) taken(id spiffeid.ID) bool { return r.named(id.String()) != nil }

// blockOver is the block of a client of the configuration whose wildcard has the
// SPIFFE ID: it holds for the workload by whatever way it comes. Without blocks it
// costs nothing.
func (r *Registry) blockOver(id spiffeid.ID) (Block, bool) {
	if len(r.wide) == 0 || r.ledger == nil || !r.ledger.blocking() {
		return Block{}, false
	}
	text := id.String()
	for i := len(text) - 1; i > len(id.TrustDomain().IDString())-1; i-- {
		if text[i] != '/' {
			continue
		}
		for _, c := range r.wide[text[:i]+"/*"] {
			if !c.pattern.Match(id) {
				continue
			}
			if b, ok := r.ledger.blockOf(c.id, spiffeid.ID{}); ok {
				return b, true
			}
		}
	}
	return Block{}, false
}

// BlockOf is the block by which a client, or a workload of it, gets nothing: its own, or
// that of a client of the configuration which a workload on first use is under. The zero
// ID is no workload.
func (r *Registry) BlockOf(clientID string, id spiffeid.ID) (Block, bool) {
	if r.ledger == nil {
		return Block{}, false
	}
	if b, ok := r.ledger.blockOf(clientID, id); ok || id.IsZero() || clientID != id.String() || r.named(clientID) != nil {
		return b, ok
	}
	return r.blockOver(id)
}

// Ledger is the ledger of the registry, nil without one.
func (r *Registry) Ledger() *Ledger { return r.ledger }

// Template is the name of the template that the configuration in force has for an
// identity on first use, empty where it has none, and the mode.
func (r *Registry) Template(id spiffeid.ID) (name string, mode Mode) {
	domain := r.firstUse[id.TrustDomain()]
	if t := domain.template(id); t != nil && !r.taken(id) {
		return t.Name, domain.Mode
	}
	return "", ""
}

// TemplateMethods are those of a template by its name, none where it is not there.
func (r *Registry) TemplateMethods(name string) []oauth.AuthMethod {
	for _, d := range r.firstUse {
		for _, t := range d.Templates {
			if t.Name == name {
				return t.Methods
			}
		}
	}
	return nil
}

// Exactly are the clients of the configuration that have exactly this SPIFFE ID.
func (r *Registry) Exactly(id spiffeid.ID) (found []Client) {
	for _, c := range r.exactly(id) {
		found = append(found, *c)
	}
	return found
}

// mayBeNew reports whether client_id may be a workload's that no client of the
// configuration has, so that it is to be judged once the workload is proven.
func (r *Registry) mayBeNew(clientID string) bool {
	if r == nil || len(r.firstUse) == 0 { // explain asks even then
		return false
	}
	id, err := spiffeid.FromString(clientID)
	return err == nil && id.String() == clientID && r.firstUse[id.TrustDomain()] != nil
}

// The facts that the rules of first use build on.
const (
	factNew     judge.Fact = 1 << (iota + 8) // no client of the configuration is asked for, and first use is on
	factRecords                              // there is a ledger to ask
	factMay                                  // a template fits
)

// admission is what becomes of a candidate; explaining only looks.
type admission struct {
	judge    func(context.Context) (Record, error)
	record   Record
	err      error
	required State
}

// firstUseRules are asked of a workload that no client of the configuration has.
var firstUseRules = []judge.Rule[*association]{
	{
		ID: "RU-2", Source: "draft-kasselman-oauth-spiffe section 4", What: "a SPIFFE ID that registers on first use is allowed and not denied", Needs: factID | factNew,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if a.template = a.domain.template(a.id); a.template == nil {
				return oauth.ReasonFirstUseDenied
			}
			a.Facts |= factMay
			return ""
		},
		Expected: func(a *association) string {
			if a.domain == nil {
				return "a SPIFFE ID that may register on first use"
			}
			return oauth.Shown("a SPIFFE ID of " + a.domain.said())
		},
		Presented: func(a *association) string { return oauth.Shown(a.id.String()) },
	},
	{
		ID: "RF-12", Source: "draft-kasselman-oauth-spiffe section 3", What: "client_id, if there, is the SPIFFE ID that registers", Needs: factID | factNew | factSaid,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if a.claim.clientID != "" && a.claim.clientID != a.id.String() {
				return oauth.ReasonClientIDMismatch
			}
			return ""
		},
		Expected: func(a *association) string {
			if a.id.IsZero() {
				return "no client_id, or the SPIFFE ID"
			}
			return oauth.Shown("no client_id, or " + a.id.String())
		},
		Presented: func(a *association) string { return shownClientID(a.claim.clientID) },
	},
	{
		ID: "RU-3", Source: "draft-kasselman-oauth-spiffe section 4", What: "the template has the method", Needs: factMay,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if !slices.Contains(a.template.Methods, a.claim.method) {
				return oauth.ReasonMethodNotAllowed
			}
			return ""
		},
		Expected: func(a *association) string {
			if a.template == nil {
				return "a method of the template"
			}
			return fmt.Sprintf("one of %v", a.template.Methods)
		},
		Presented: func(a *association) string { return string(a.claim.method) },
	},
}

// blockRules are asked of every caller.
var blockRules = []judge.Rule[*association]{{
	ID: "RU-8", Source: "ours", What: "neither the client nor the workload is blocked", Needs: factID | factRecords,
	Judge: func(_ context.Context, a *association) oauth.Reason {
		b, ok := a.claim.registry.ledger.blockOf(a.clientID(), a.id)
		if !ok && a.client == nil {
			b, ok = a.claim.registry.blockOver(a.id)
		}
		if ok {
			a.block = b
			return oauth.ReasonClientBlocked
		}
		return ""
	},
	Expected: func(*association) string { return "a client and a SPIFFE ID that nobody blocked" },
	Presented: func(a *association) string {
		if a.block.Subject == "" {
			return oauth.Shown(a.id.String())
		}
		return oauth.Shown(a.block.shown("blocked"))
	},
}}

// admissionRules are the last that is asked of a workload that no client of the
// configuration has. Verifying, they register it.
var admissionRules = []judge.Rule[*association]{
	{
		ID: "RU-6", Source: "ours", What: "the SPIFFE ID was not deleted", Needs: factMay | factRecords,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if b, ok := a.claim.registry.ledger.tombstone(a.id); ok {
				a.block = b
				return oauth.ReasonFirstUseDenied
			}
			return ""
		},
		Expected: func(*association) string { return "a SPIFFE ID that nobody deleted" },
		Presented: func(a *association) string {
			if !a.block.Deleted {
				return oauth.Shown(a.id.String())
			}
			return oauth.Shown(a.block.shown("deleted"))
		},
	},
	{
		ID: "RU-5", Source: "ours", What: "the trust domain has room for a new client, and an operator has agreed where one has to", Needs: factMay | factRecords,
		Judge: func(ctx context.Context, a *association) oauth.Reason {
			return a.admission.reason(ctx)
		},
		Expected: func(a *association) string {
			switch {
			case errors.Is(a.admission.err, ErrNewClients):
				q := a.domain.Quota
				return fmt.Sprintf("no more than %d new clients of %s in %s", q.NewClients, a.domain.TrustDomain.Name(), q.Per)
			case unavailable(a.admission.err):
				return "an answer of the store before that of the request"
			case a.domain != nil && a.domain.Mode == OnApproval:
				return "a client that an operator has approved"
			case a.domain != nil:
				return fmt.Sprintf("no more than %d clients of %s", a.domain.Quota.MaxClients, a.domain.TrustDomain.Name())
			}
			return "room for a new client"
		},
		Presented: func(a *association) string {
			switch r := a.admission.record; {
			case errors.Is(a.admission.err, ErrMaxClients), errors.Is(a.admission.err, ErrNewClients):
				return oauth.Shown("one more, " + a.id.String())
			case unavailable(a.admission.err):
				return "none"
			case !r.Created.IsZero():
				return fmt.Sprintf("%s since %s", r.State, r.Created.UTC().Format(time.RFC3339))
			}
			return oauth.Shown(a.id.String() + ", which is new")
		},
	},
}

// unavailable reports whether the store gave no answer (GL-15).
func unavailable(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// reason registers, or looks, and says why not.
func (d *admission) reason(ctx context.Context) oauth.Reason {
	d.record, d.err = d.judge(ctx)
	switch {
	case errors.Is(d.err, ErrMaxClients), errors.Is(d.err, ErrNewClients):
		return oauth.ReasonFirstUseQuota
	case errors.Is(d.err, ErrBlocked):
		return oauth.ReasonClientBlocked
	case errors.Is(d.err, ErrDeleted):
		return oauth.ReasonFirstUseDenied
	case unavailable(d.err):
		return oauth.ReasonStoreUnavailable
	case d.err != nil:
		return oauth.ReasonInternal
	case d.record.State == Pending && d.required != Observed:
		return oauth.ReasonFirstUsePending
	case d.required == "" || d.required.Above(d.record.State): // never: it was asked for
		return oauth.ReasonInternal
	}
	return ""
}

// said are the patterns in words, the beginning of them.
func (f *FirstUse) said() string {
	var allow []string
	for _, t := range f.Templates {
		for _, p := range t.Allow {
			allow = append(allow, p.String())
		}
	}
	text := strings.Join(allow, ", ")
	if len(f.Deny) > 0 {
		var deny []string
		for _, p := range f.Deny {
			deny = append(deny, p.String())
		}
		text += " and not of " + strings.Join(deny, ", ")
	}
	return text
}

// shown is a block in words.
func (b Block) shown(done string) string {
	text := b.Subject + ", " + done + " " + b.At.UTC().Format(time.RFC3339)
	if b.Reason != "" {
		text += ": " + b.Reason
	}
	return text
}

// state is that of a record as the mode makes it.
func (m Mode) state() State {
	switch m {
	case OnFirstUse:
		return Active
	case OnApproval:
		return Pending
	}
	return Observed
}
