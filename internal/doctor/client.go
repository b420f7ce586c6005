package doctor

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

// clientMatch asks the server whose client the SPIFFE ID is, by each method at hand.
// It comes before the live tokens: a JWT-SVID that may be used once has not been
// used yet. That a client is registered for one of two methods is no fault, and an
// SVID that is refused before its client matters is none of this check where an
// earlier one has said why.
func clientMatch(ctx context.Context, p *patient) verdict {
	if p.AdminSocket == "" {
		return notJudged(noAdmin)
	}
	questions := p.questions()
	if len(questions) == 0 {
		return notJudged("there is no SVID to ask about")
	}
	by := map[match][]explain.Report{}
	var said []string
	for _, q := range questions {
		r, err := admin.Dial(p.AdminSocket).Explain(ctx, q)
		if refusal, ok := errors.AsType[*admin.Refusal](err); ok {
			return failed("see the whole of it with `svidgate explain`", "the server does not judge the SVID: %s", oauth.Shown(refusal.Why))
		} else if err != nil { // the check of the bundle says what to do about the socket
			return notJudged("%s", unreached(err))
		}
		m := matchOf(r)
		by[m] = append(by[m], r)
		said = append(said, matched(r))
	}
	found := strings.Join(said, "; ")
	switch {
	case len(by[otherClient]) > 0:
		r := easiest(by[otherClient])
		return failed(mending(r), "%s%s", found, nearest(r))
	case len(by[badSVID]) > 0 && p.faults > 0:
		return notJudged("%s; mend what the checks above found", found)
	case len(by[badSVID]) > 0:
		return failed(mending(by[badSVID][0]), "%s", found)
	case len(by[itsClient]) == 0:
		return failed(mending(by[otherMethod][0]), "%s", found)
	}
	return passed("%s", found)
}

// A match is what the server makes of an SVID.
type match int

const (
	itsClient   match = iota // it is accepted
	otherMethod              // its client is registered for another method
	otherClient              // it is no client's, or not this one's
	badSVID                  // it is refused for what it is
)

func matchOf(r explain.Report) match {
	if r.Accepted {
		return itsClient
	}
	if r.Reason == string(oauth.ReasonMethodNotAllowed) {
		return otherMethod
	}
	for _, rule := range r.Rules {
		if rule.OK == nil || *rule.OK {
			continue
		}
		switch rule.Reason {
		case oauth.ReasonClientNotFound, oauth.ReasonClientIDMismatch, oauth.ReasonClientIDMissing, oauth.ReasonClientAmbiguous:
			return otherClient
		}
	}
	return badSVID
}

// questions are the SVIDs at hand as a client shows them, which always sends
// client_id (CJ-11).
func (p *patient) questions() (all []explain.Question) {
	ask := func(method oauth.AuthMethod, id, credential, listener string) {
		if p.Method != "" && p.Method != method {
			return
		}
		if p.ClientID != "" {
			id = p.ClientID
		}
		all = append(all, explain.Question{Credential: credential, ClientID: &id, Listener: listener, Asked: p.Now()})
	}
	if p.jwt != nil {
		listener := ""
		if p.callsAlias() {
			listener = "mtls"
		}
		ask(oauth.MethodJWT, subjectOf(p.jwt), p.given, listener)
	}
	if p.x509 != nil {
		var chain strings.Builder
		for _, cert := range p.x509.Certificates {
			chain.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
		}
		ask(oauth.MethodX509, p.x509.ID.String(), chain.String(), "")
	}
	if p.wit != nil {
		ask(oauth.MethodWIT, subjectOf(p.wit), p.shown, "") // without a proof: whose it is matters here
	}
	return all
}

// matched is what became of one method, in words.
func matched(r explain.Report) string {
	if r.Accepted {
		return fmt.Sprintf("%s: %s is client %s", r.Method, oauth.Shown(r.SPIFFEID), oauth.Shown(r.ClientID))
	}
	what := oauth.Shown(r.SPIFFEID) + " would be refused"
	if matchOf(r) == otherMethod {
		what = "no method of client " + oauth.Shown(r.ClientID)
	}
	return fmt.Sprintf("%s: %s, %s (%s)", r.Method, what, oauth.Shown(r.Reason), oauth.Shown(r.Rule))
}

// nearest is the client that may have been meant.
func nearest(r explain.Report) string {
	near := r.Nearest.Client
	if near == nil || near.Difference == nil {
		return ""
	}
	return fmt.Sprintf("; the nearest client is %s, whose %s differs in %s", oauth.Shown(near.ClientID), oauth.Shown(near.Compared), near.Difference)
}

// easiest is the refusal to mend first: what the workload can do by itself goes before
// an edit of the configuration.
func easiest(all []explain.Report) explain.Report {
	return all[max(0, slices.IndexFunc(all, func(r explain.Report) bool { return r.Edit == nil }))]
}

// mending is the step that the server advises, in one line.
func mending(r explain.Report) string {
	var steps []string
	if r.Advice != "" {
		steps = append(steps, strings.TrimRight(r.Advice, ".:"))
	}
	if e := r.Edit; e != nil {
		steps = append(steps, fmt.Sprintf("write `%s` under %s in %s", e.Write, e.Under, cmp.Or(e.File, "the server's configuration")))
	}
	return strings.Join(append(steps, "run `"+r.Next+"`"), "; ")
}
