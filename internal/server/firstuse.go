package server

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/oauth"
)

// firstUse notes what first use made of a caller, whether or not it was refused in
// the end. A registration gets a line of its own before the request gets its answer;
// one that cannot be recorded is taken back.
func (s *Server) firstUse(ctx context.Context, rec *record, caller clientauth.Caller, refused error) error {
	admission := caller.Admission()
	if a, ok := errors.AsType[registration.Admission](refused); ok {
		admission = a
	}
	if admission.Outcome == "" {
		return nil
	}
	rec.firstUse(caller, admission)
	if admission.Untold {
		return s.lateRegister(ctx, rec, caller, admission)
	}
	if !admission.New && admission.Outcome != registration.WouldRegister && admission.Outcome != registration.WouldRefuse {
		return nil
	}
	if td := refusedDomain(caller, refused); s.metrics.configured(td) {
		s.metrics.registrations.WithLabelValues(td, string(admission.Outcome)).Inc()
	}
	if !admission.New {
		return nil
	}
	e := rec.registers(admission.Record)
	e.SVIDDigest = hexed(caller.Identity().Digest())
	e.SVIDKeyID, e.SVIDTokenID = caller.Identity().KeyID(), caller.Identity().TokenID()
	e.BundleSequence, e.HasBundleSequence = caller.Identity().BundleSequence()
	if refused != nil {
		r := oauth.AsError(refused)
		e.Outcome, e.Reason, e.Rule, e.Expected, e.Presented = audit.Refused, string(r.Reason), r.Rule, r.Expected, r.Presented
	}
	if _, err := s.config.Audit.Record(context.WithoutCancel(ctx), e); err != nil {
		if undo := caller.Withdraw(ctx); undo != nil {
			s.config.Log.ErrorContext(ctx, "a registration could neither be recorded nor taken back", "request_id", e.RequestID, "client_id", oauth.Shown(e.ClientID), "error", undo.Error())
		}
		return err
	}
	caller.Told(true)
	return nil
}

// lateRegister writes the line of a registration that a server made and did not live
// to record.
func (s *Server) lateRegister(ctx context.Context, rec *record, caller clientauth.Caller, a registration.Admission) error {
	e, r := rec.registers(a.Record), a.Record
	e.SVIDDigest, e.BundleSequence, e.HasBundleSequence = hexed(r.CredentialDigest), r.BundleSequence, r.HasBundleSequence
	e.Template, e.TemplateDigest = r.Template, hexed(r.TemplateDigest) // what it was made by
	e.Note = "made " + r.Created.UTC().Format(time.RFC3339) + ", recorded late"
	_, err := s.config.Audit.Record(context.WithoutCancel(ctx), e)
	caller.Told(err == nil)
	return err
}

// registers is the event of a registration that belongs to the request.
func (rec *record) registers(r registration.Record) audit.Event {
	e := rec.event
	e.Event, e.Outcome = audit.EventRegister, audit.Granted
	e.GrantType, e.Resource, e.Scope, e.Proof = "", "", "", "" // what is asked for is not what is registered
	e.ClientID, e.Proven = r.ClientID, true
	e.SPIFFEID, e.TrustDomain = r.SPIFFEID.String(), r.SPIFFEID.TrustDomain().Name()
	return e
}

// refusedDomain is the trust domain of a proven caller.
func refusedDomain(caller clientauth.Caller, refused error) string {
	if caller.Identity().Proven() {
		return caller.Identity().SPIFFEID().TrustDomain().Name()
	}
	if refused == nil {
		return ""
	}
	id, err := spiffeid.FromString(oauth.AsError(refused).Subject)
	if err != nil {
		return ""
	}
	return id.TrustDomain().Name()
}

// firstUse notes what the record of the client is.
func (rec *record) firstUse(caller clientauth.Caller, a registration.Admission) {
	e := &rec.event
	e.FirstUse, e.FirstUseReason, e.Template = string(a.Outcome), string(a.Reason), a.Record.Template
	if template := caller.Client().Template(); template != "" { // that of the configuration in force decides
		e.Template, e.TemplateDigest = template, hexed(caller.Client().TemplateDigest())
	} else if a.Record.Template != "" {
		e.TemplateDigest = hexed(a.Record.TemplateDigest)
	}
}

// clientState reports how many clients registered on first use there are.
type clientState struct {
	ledger     *registration.Ledger
	configured func(name string) bool
}

var clientsDesc = prometheus.NewDesc("svidgate_clients", "Clients that registered on first use, by state, and workloads of configured clients with a wildcard (member).", []string{"trust_domain", "state"}, nil)

func (clientState) Describe(ch chan<- *prometheus.Desc) { ch <- clientsDesc }

func (c clientState) Collect(ch chan<- prometheus.Metric) {
	for name, n := range c.ledger.Counts() {
		if !c.configured(name) {
			continue
		}
		for state, value := range map[string]int{
			string(registration.Active): n.Active, string(registration.Pending): n.Pending, string(registration.Observed): n.Observed, string(registration.MemberKind): n.Members,
		} {
			ch <- prometheus.MustNewConstMetric(clientsDesc, prometheus.GaugeValue, float64(value), name, state)
		}
	}
}
