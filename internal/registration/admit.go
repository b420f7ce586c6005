package registration

import (
	"context"
	"slices"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// An Outcome is what first use made of a caller.
type Outcome string

const (
	Known         Outcome = "known"          // it was registered before
	Registered    Outcome = "registered"     // by this request
	Waits         Outcome = "pending"        // for an operator
	WouldRegister Outcome = "would_register" // mode observe
	WouldRefuse   Outcome = "would_refuse"   // mode observe
)

// An Admission says what first use made of a caller; the zero value is that of a
// client of the configuration. It is the cause of a refusal that has to do with it.
type Admission struct {
	Outcome Outcome
	Record  Record
	New     bool         // the record was made by this request
	Untold  bool         // it was made before, and no line tells of it: Told is to be called
	Reason  oauth.Reason // with WouldRefuse
}

func (a Admission) Error() string {
	text := "first use: " + string(a.Outcome)
	if a.Reason != "" {
		text += ", " + string(a.Reason)
	}
	return text
}

// newcomer is a workload for which there is a template so far, which has all the
// metadata that a request does not carry (RF-4). It is nobody before it is admitted.
func (a *association) newcomer() Client {
	pattern, err := svidgate.ParsePattern(a.id.String())
	if err != nil { // a proven identity is a workload's
		return Client{}
	}
	return Client{id: a.id.String(), pattern: pattern, methods: a.template.Methods, template: a.template}
}

// observed turns what would have become of a workload into the refusal that it
// gets without registration (mode observe). Nil is that it would have been
// registered.
func (a *association) observed(would *oauth.Error, record Record) *oauth.Error {
	admission := Admission{Outcome: WouldRegister, Record: record}
	if would != nil {
		admission.Outcome, admission.Reason = WouldRefuse, would.Reason
	}
	presented := a.id.String()
	if a.claim.clientID != "" {
		presented = "client_id " + a.claim.clientID
	}
	return a.Refusal(oauth.ReasonClientNotFound, "CJ-10", "a client of the configuration: first use is only observed", oauth.Shown(presented)).Because(admission)
}

// Admit makes a client of a workload that Associate found a template for, and
// notes the use of every workload that is not registered by itself. It is to be
// called when nothing else stands against the request (RU-2). The error is an
// *oauth.Error.
func (c Claim) Admit(ctx context.Context, client Client, identity svidgate.Identity) (Client, Admission, error) {
	if client.id == "" || !identity.Proven() || c.registry == nil || !client.pattern.Match(identity.SPIFFEID()) {
		return Client{}, Admission{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a client and its proven identity", "none")
	}
	ledger := c.registry.ledger
	if client.template == nil {
		if ledger != nil && client.pattern.Wildcard() {
			ledger.noteMember(client.id, identity.SPIFFEID(), identity.Method())
		}
		return client, Admission{}, nil
	}
	a := newAssociation(c, identity.SPIFFEID())
	if a.domain = c.registry.firstUse[a.id.TrustDomain()]; a.domain == nil || ledger == nil {
		return Client{}, Admission{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a template and a ledger", "none")
	}
	a.template = client.template
	a.Facts |= factMay | factRecords
	want := Record{
		Kind: FirstUseKind, State: a.domain.Mode.state(), ClientID: client.id, SPIFFEID: a.id, Methods: MethodsOf(identity.Method()),
		Provenance: Provenance{Credential: identity.Method(), CredentialDigest: identity.Digest(), Template: a.template.Name, TemplateDigest: a.template.Digest},
	}
	want.BundleSequence, want.HasBundleSequence = identity.BundleSequence()
	made := false
	a.admission.required = want.State
	a.admission.judge = func(ctx context.Context) (record Record, err error) {
		record, made, err = ledger.admit(ctx, want, a.domain.Quota)
		a.Cause = err
		return record, err
	}
	refusal := judge.FirstRefusal(ctx, admissionRules, a)
	record := a.admission.record
	if a.domain.Mode == OnPaper {
		return Client{}, Admission{}, a.observed(refusal, record)
	}
	waits := refusal != nil && refusal.Reason == oauth.ReasonFirstUsePending
	if refusal != nil && !waits {
		return Client{}, Admission{}, refusal
	}
	admission := Admission{Outcome: Known, Record: record, New: made, Untold: !made && ledger.untold(ctx, record, ledger.now())}
	switch {
	case waits:
		admission.Outcome = Waits
		return Client{}, admission, refusal.Because(admission)
	case made:
		admission.Outcome = Registered
	}
	// What it has shown once it is held to: a client that has a key must not be able
	// to shed it (CC-5).
	client.admitted, client.methods = true, nil
	for _, m := range (record.Methods | want.Methods).List() {
		if slices.Contains(client.template.Methods, m) {
			client.methods = append(client.methods, m)
		}
	}
	return client, admission, nil
}

// PublicBlocked refuses a public client that an operator blocked: it has no workload
// that would be associated. The error is an *oauth.Error.
func (c Claim) PublicBlocked() error {
	if c.registry.ledger == nil {
		return nil
	}
	a := &association{claim: c, client: c.client}
	a.Facts = factID | factRecords // the zero ID is blocked for nobody
	if e := judge.FirstRefusal(context.Background(), blockRules, a); e != nil {
		return e
	}
	return nil
}

// Told says whether the line of a registration was written; it is to be called for
// one that is New or Untold.
func (c Claim) Told(a Admission, written bool) { c.registry.ledger.told(a.Record, written) }

// Withdraw takes back what Admit made just now, because it could not be recorded.
func (c Claim) Withdraw(ctx context.Context, a Admission) error {
	return c.registry.ledger.withdraw(ctx, a.Record)
}
