package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/oauth"
)

// Explain judges a credential as this server would now, by its own rules, and
// marks nothing as used. A key that is unknown may have its bundle fetched, as it
// would for a request.
func (d *Daemon) Explain(ctx context.Context, q explain.Question) (explain.Report, error) {
	g := d.current.Load()
	s := situation(g.config, g.authenticator.Clients.All(), d.now())
	s.By, s.Socket = explain.ByServer, d.AdminSocket()
	report, err := explained(ctx, g.authenticator, s, endpointsOf(g.config, d.mtlsURL), q)
	if err == nil && !report.Accepted {
		d.noteSource(&report)
	}
	return report, err
}

// noteSource adds why the bundle of the trust domain is what it is, where its
// source fails.
func (d *Daemon) noteSource(report *explain.Report) {
	id, err := spiffeid.FromString(report.SPIFFEID)
	if err != nil {
		return
	}
	for _, status := range d.bundles.Status() {
		if status.TrustDomain == id.TrustDomain() && status.LastError != "" {
			report.Notes = append(report.Notes, fmt.Sprintf("the bundle of %s could not be fetched (failures in a row: %d): %s", status.TrustDomain.Name(), status.Failures, status.LastError))
		}
	}
}

// Decision finds a decision in this server's audit record.
func (d *Daemon) Decision(ctx context.Context, requestID string) (explain.Decision, error) {
	g := d.current.Load()
	s := situation(g.config, g.authenticator.Clients.All(), d.now())
	s.By, s.Socket = explain.ByServer, d.AdminSocket()
	return decision(ctx, g.config.Audit.File, requestID, s)
}

// situation is a configuration and its clients as far as they help to explain.
func situation(cfg *config.Config, clients []registration.Client, now time.Time) explain.Situation {
	s := explain.Situation{
		By: explain.ByConfig, Now: now, Issuer: cfg.Issuer, Socket: cfg.Admin.Socket,
		Certificates: cfg.Listen.MTLS != "" || cfg.PublicClientCertificates,
		Covering:     func(id string) []string { return covering(clients, id) },
	}
	if len(cfg.Files) > 0 {
		s.ConfigFile = cfg.Files[0]
	}
	withoutWIT := map[spiffeid.TrustDomain]bool{}
	for _, td := range cfg.TrustDomains {
		s.TrustDomains = append(s.TrustDomains, explain.TrustDomain{Name: td.Name.Name(), Federated: td.WorkloadAPI.Address != "", WITOff: !td.EnableWIT})
		withoutWIT[td.Name] = !td.EnableWIT
	}
	for _, c := range clients {
		s.Clients = append(s.Clients, explain.Client{ID: c.ID(), SPIFFEID: c.Pattern().String(), Methods: c.Methods(), Permits: permits(c, s.Certificates, withoutWIT[c.Pattern().TrustDomain()])})
	}
	for _, r := range cfg.Resources {
		s.Resources = append(s.Resources, explain.Resource{Resource: r.Resource, Scopes: r.Scopes})
	}
	return s
}

// covering are the clients that a SPIFFE ID belongs to, in the order of the
// configuration.
func covering(clients []registration.Client, spiffeID string) (ids []string) {
	id, err := spiffeid.FromString(spiffeID)
	if err != nil {
		return nil
	}
	for _, c := range clients {
		if c.Pattern().Match(id) {
			ids = append(ids, c.ID())
		}
	}
	return ids
}

// permits are the methods that a client could have and authenticate by.
func permits(c registration.Client, certificates, withoutWIT bool) (methods []oauth.AuthMethod) {
	for _, m := range []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT} {
		switch {
		case m == oauth.MethodX509 && !certificates:
		case m == oauth.MethodWIT && (withoutWIT || !c.Profile().AllowsWIT()):
		case c.Pattern().Wildcard() && !c.Profile().AllowsWildcard(m):
		case c.Profile().ClientIDIsSPIFFEID(m) && c.ID() != c.Pattern().String(): // CX-3
		default:
			methods = append(methods, m)
		}
	}
	return methods
}

// explained reads the credential, has it judged and lays the findings out.
func explained(ctx context.Context, a *clientauth.Authenticator, s explain.Situation, endpoints endpoints, q explain.Question) (explain.Report, error) {
	shown, err := credential.Read([]byte(q.Credential))
	if err != nil {
		return explain.Report{}, err
	}
	if s.By != explain.ByBundle { // with a bundle alone, the audience said is the only one
		if s.EndpointURL, err = endpoints.called(q.Listener, len(shown.Certificates) > 0); err != nil {
			return explain.Report{}, err
		}
	}
	question := clientauth.Question{Assertion: shown.JWT, Certificates: shown.Certificates, EndpointURL: s.EndpointURL}
	if shown.WIT() {
		question.Assertion, question.Attestation, question.Proof = "", shown.JWT, shown.Proof
	}
	if q.ClientID != nil {
		question.ClientID, question.ClientIDSaid = *q.ClientID, true
	}
	answer := a.Explain(ctx, question)
	verdict := explain.Verdict{Explanation: answer.Explanation, ClientID: question.ClientID, ClientIDOpen: answer.ClientIDOpen}
	if answer.Client.Registered() {
		verdict.ClientID = answer.Client.ID()
	}
	if id, err := spiffeid.FromString(answer.Subject); err == nil {
		s.EndpointAudience = !a.Verifier.Profile(id.TrustDomain()).AcceptsIssuerAudience()
	}
	return explain.New(shown, verdict, s, q.Asked), nil
}

// decision finds a line in an audit file and says what it means.
func decision(ctx context.Context, file, requestID string, s explain.Situation) (explain.Decision, error) {
	const elsewhere = `look for "request_id":"%s" where it is collected, put that line into a file, and name that with --config and --audit`
	if file == "-" {
		return explain.Decision{}, fmt.Errorf("the audit record goes to standard output: "+elsewhere, oauth.Shown(requestID))
	}
	line, err := audit.FindIn(ctx, file, requestID)
	switch {
	case errors.Is(err, audit.ErrNoLine):
		return explain.Decision{}, fmt.Errorf("%w: %s in %s; if the file was moved away, name the older one with --config and --audit", err, oauth.Shown(requestID), file)
	case errors.Is(err, audit.ErrStream):
		return explain.Decision{}, fmt.Errorf("%w: "+elsewhere, err, oauth.Shown(requestID))
	}
	if err != nil {
		return explain.Decision{}, err
	}
	return explain.NewDecision(line, clientauth.Rules(), s)
}
