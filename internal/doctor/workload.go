package doctor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/inspect"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// x509SVID asks what this process is.
func x509SVID(ctx context.Context, p *patient) verdict {
	if p.elsewhere() {
		p.facts |= factWorkload
		if p.X509Source == nil {
			return notJudged("there is no file with one")
		}
		svid, err := p.X509Source.GetX509SVID()
		if err != nil {
			return failed("look at what writes the files", "%s", shownError(err))
		}
		return p.judgeX509(svid, "look at what writes the files: it should have renewed the SVID at half of its life")
	}
	view, err := workload.Look(ctx, p.Socket, "")
	if err != nil {
		next := "look at the agent's log"
		if errors.Is(err, workload.ErrNoIdentity) {
			next = "register this workload with the trust domain (the agent goes by its user, container or pod), and run doctor as the workload runs"
		}
		return failed(next, "%s", shownError(err))
	}
	if v, bad := p.notOffered(view); bad {
		return v
	}
	source, err := workload.Open(ctx, workload.Config{Address: p.Socket, SPIFFEID: p.SPIFFEID, Hint: p.Hint})
	if err != nil {
		return failed("run `svidgate whoami` to see the identities there are", "%s", shownError(err))
	}
	p.source = source
	p.facts |= factWorkload
	svid, err := source.GetX509SVID()
	if err != nil {
		return notJudged("this Workload API has no X.509-SVIDs")
	}
	if view.X509Bundles != nil {
		if own, err := view.X509Bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain()); err == nil {
			for _, anchor := range own.X509Authorities() {
				p.anchors = append(p.anchors, fmt.Sprintf("%x", sha256.Sum256(anchor.Raw)))
			}
		}
	}
	return p.judgeX509(svid, "look at the agent's log: it should have renewed the SVID at half of its life")
}

// judgeX509 takes the SVID into use and says what is wrong with it; late is what to
// do about one that is about to end.
func (p *patient) judgeX509(svid *x509svid.SVID, late string) verdict {
	p.x509 = svid
	p.facts |= factX509
	leaf := svid.Certificates[0]
	who := svid.ID.String()
	if r, err := inspect.Inspect(chainOf(svid), p.Now()); err == nil {
		if v, bad := odd(who, r.Remarks, "have the trust domain issue SVIDs without this fault"); bad {
			return v
		}
	}
	left := leaf.NotAfter.Sub(p.Now())
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if left < life/10 {
		return failed(late, "%s ends in %s, of a life of %s", who, spoken.Duration(left), spoken.Duration(life))
	}
	return passed("%s, expires in %s", who, spoken.Duration(left))
}

// notOffered fails at once where opening a source would wait for an identity that
// may come yet.
func (p *patient) notOffered(view *workload.View) (v verdict, bad bool) {
	var names []string
	for _, svid := range view.X509SVIDs {
		if (p.SPIFFEID == "" || svid.ID.String() == p.SPIFFEID) && (p.Hint == "" || svid.Hint == p.Hint) {
			return verdict{}, false
		}
		names = append(names, svid.ID.String())
	}
	if len(names) == 0 { // no profile for X.509-SVIDs
		return verdict{}, false
	}
	return failed("register the workload for it, or choose one that `svidgate whoami` shows",
		"the Workload API offers %s, and not the one asked for", oauth.Shown(strings.Join(names, ", "))), true
}

func chainOf(svid *x509svid.SVID) (der []byte) {
	for _, cert := range svid.Certificates {
		der = append(der, cert.Raw...)
	}
	return der
}

// odd fails on the first remark of package inspect.
func odd(what string, remarks []inspect.Remark, next string) (v verdict, bad bool) {
	if len(remarks) == 0 {
		return verdict{}, false
	}
	m := remarks[0]
	code := m.Rule
	if m.Reason != "" {
		code = string(m.Reason) + ", " + m.Rule
	}
	return failed(next, "%s: %s (%s)", what, m.Text, code), true
}

// jwtSVID asks for what the client would send.
func jwtSVID(ctx context.Context, p *patient) verdict {
	audience := p.Issuer
	switch {
	case p.Method != "" && p.Method != oauth.MethodJWT:
		return p.notAsked()
	case p.Issuer == "":
		return notJudged("there is no --issuer to ask it for")
	case p.EndpointAudience && p.document.tokenEndpoint == "":
		return notJudged("the token endpoint, which is to be its audience (--endpoint-audience), is not known")
	case p.EndpointAudience:
		audience = p.endpoint()
	}
	var source client.JWTSource = p.source
	next := "look at the agent's log, and whether the workload is registered for JWT-SVIDs"
	if p.elsewhere() {
		if source = p.JWTSource; source == nil {
			return notJudged("there is no file with one")
		}
		next = "have the file written with a JWT-SVID for the audience " + oauth.Shown(audience)
	}
	raw, err := source.FetchJWTSVID(ctx, audience)
	if err != nil {
		return failed(next, "%s", shownError(err))
	}
	r, err := inspect.Inspect([]byte(raw), p.Now())
	if err != nil {
		return failed(next, "what is there is no JWT-SVID: %s", oauth.Shown(err.Error()))
	}
	token, err := jose.ParseCompact(raw)
	if err != nil { // cannot be: inspect has read it
		return failed(next, "%s", oauth.Shown(err.Error()))
	}
	p.jwt, p.given = token, raw
	p.facts |= factJWT
	sub := subjectOf(p.jwt)
	if v, bad := odd(oauth.Shown(sub), r.Remarks, "have the trust domain issue SVIDs without this fault, and compare the clocks"); bad {
		return v
	}
	if p.x509 != nil && sub != p.x509.ID.String() {
		return failed("show SVIDs of one identity; --spiffe-id chooses one of a Workload API's", "the JWT-SVID is of %s, the X.509-SVID of %s (TK-3)", oauth.Shown(sub), p.x509.ID)
	}
	exp, _ := p.claim("exp").NumericDate()
	return passed("%s, audience %s, expires in %s", oauth.Shown(sub), oauth.Shown(p.audience()), spoken.Duration(exp.Sub(p.Now())))
}

// witSVID looks at the WIT-SVID, if there is one. Most Workload APIs have none.
func witSVID(_ context.Context, p *patient) verdict {
	if p.Method != "" && p.Method != oauth.MethodWIT {
		return p.notAsked()
	}
	var source client.WITSource = p.source
	next := "look at the agent's log: it should have renewed the WIT-SVID at half of its life"
	if p.elsewhere() {
		if source = p.WITSource; source == nil {
			return notJudged("there is no file with one")
		}
		next = "look at what writes the files: it should have renewed the WIT-SVID at half of its life"
	}
	raw, _, err := source.GetWITSVID()
	switch {
	case err != nil && p.elsewhere():
		return failed("look at what writes the files", "%s", shownError(err))
	case err != nil:
		return notJudged("the Workload API gives none, as is usual")
	}
	r, err := inspect.Inspect([]byte(raw), p.Now())
	if err != nil {
		return failed(next, "what is there is no WIT-SVID: %s", oauth.Shown(err.Error()))
	}
	token, err := jose.ParseCompact(raw)
	if err != nil { // cannot be: inspect has read it
		return failed(next, "%s", oauth.Shown(err.Error()))
	}
	p.wit, p.shown = token, raw
	p.facts |= factWIT
	sub := subjectOf(p.wit)
	if v, bad := odd(oauth.Shown(sub), r.Remarks, "have the trust domain issue SVIDs without this fault, and compare the clocks"); bad {
		return v
	}
	v, _ := token.Payload.Get("exp")
	exp, _ := v.NumericDate()
	return passed("%s, expires in %s", oauth.Shown(sub), spoken.Duration(exp.Sub(p.Now())))
}
