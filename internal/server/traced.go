package server

import (
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

// traced ends the trace of a request, if it has one, with what is proven of it or
// of a closed set. What a stranger claims is in the audit record only.
func (s *Server) traced(rec *record) {
	if rec.span == nil {
		return
	}
	e := &rec.event
	f := trace.Facts{
		RequestID: e.RequestID, Txn: e.Txn, Endpoint: e.Event, Outcome: e.Outcome, Reason: e.Reason, Rule: e.Rule, AuthMethod: e.AuthMethod,
	}
	if rec.authenticated {
		f.ClientID = e.ClientID
	}
	if s.metrics.configured(e.TrustDomain) {
		f.TrustDomain = e.TrustDomain
	}
	switch oauth.Reason(e.Reason) {
	case oauth.ReasonInternal, oauth.ReasonAuditUnavailable, oauth.ReasonStoreUnavailable, oauth.ReasonTDNotReady:
		f.Failed = e.Outcome != audit.Granted
	}
	rec.span.End(f)
}
