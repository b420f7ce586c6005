package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// trustDomain is the workload's; empty when there is no SVID.
func (p *patient) trustDomain() string {
	id := ""
	switch {
	case p.x509 != nil:
		id = p.x509.ID.String()
	case p.wit != nil:
		id = subjectOf(p.wit)
	case p.jwt != nil:
		id = subjectOf(p.jwt)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
	return name
}

// subjectOf is the sub of a token; empty where it is no text.
func subjectOf(token *jose.Compact) string {
	v, _ := token.Payload.Get("sub")
	sub, _ := v.Text()
	return sub
}

const noAdmin = "there is no --admin-socket and no SVIDGATE_SOCKET: run it beside the server, as the server's user, with what the log line 'ready' has as admin"

const mendAdmin = "give as --admin-socket what the server's log line 'ready' has as admin, and run as the server's user"

// unreached is why the server did not answer. What to do about it names a flag that
// is another socket's here.
func unreached(err error) string {
	if none, ok := errors.AsType[*admin.Unreachable](err); ok {
		return oauth.Shown(none.Why)
	}
	return oauth.Shown(err.Error())
}

// serverBundle looks at what the server verifies this workload's SVIDs with.
func serverBundle(ctx context.Context, p *patient) verdict {
	if p.AdminSocket == "" {
		return notJudged(noAdmin)
	}
	server := admin.Dial(p.AdminSocket)
	all, err := server.Bundles(ctx)
	if err != nil {
		return failed(mendAdmin, "%s", unreached(err))
	}
	td := p.trustDomain()
	if td == "" {
		return p.allBundles(all)
	}
	i := slices.IndexFunc(all, func(b admin.Bundle) bool { return b.TrustDomain == td })
	if i < 0 {
		return failed("add "+oauth.Shown(td)+" under trust_domains of the server's configuration", "the server does not know the trust domain %s (td_unknown)", oauth.Shown(td))
	}
	if v, bad := faulty(all[i]); bad {
		return v
	}
	b := all[i]
	if use := p.keyless(b); use != "" {
		return failed("check what "+b.Source+" publishes", "the bundle of %s has no %s key, so no such SVID is accepted (bundle_no_keys)", b.TrustDomain, use)
	}
	if b, err = server.Bundle(ctx, td); err != nil {
		return failed("run `svidgate bundle status "+td+"`", "%s", oauth.Shown(err.Error()))
	}
	if why := p.unverifiable(b); why != "" {
		return failed("run `svidgate bundle refresh "+b.TrustDomain+"`, and check that "+b.Source+" is the trust domain's own",
			"the bundle of %s, confirmed %s ago, does not verify this workload: %s", b.TrustDomain, span(b.AgeSeconds), why)
	}
	return passed("%s, confirmed %s ago (%s at most), %s, %s", b.TrustDomain, span(b.AgeSeconds), oldest(b), spoken.Count(b.Keys["x509-svid"], "X.509 anchor"), spoken.Count(b.Keys["jwt-svid"], "JWT key"))
}

// keyless is the use of which the bundle has no key though the workload has an SVID
// of it; empty where there is none.
func (p *patient) keyless(b admin.Bundle) string {
	for _, kind := range []struct {
		use  string
		held bool
	}{{"x509-svid", p.x509 != nil}, {"jwt-svid", p.jwt != nil}, {"wit-svid", p.wit != nil}} {
		if kind.held && b.Keys[kind.use] == 0 {
			return kind.use
		}
	}
	return ""
}

// unverifiable compares what the workload has with the entries of the server's
// bundle: the kid of its JWT-SVID and of its WIT-SVID, and the anchors that its own
// Workload API trusts.
func (p *patient) unverifiable(b admin.Bundle) string {
	has := func(use string, fits func(admin.Entry) bool) bool {
		return slices.ContainsFunc(b.Entries, func(e admin.Entry) bool { return e.Use == use && fits(e) })
	}
	for _, held := range []struct {
		token     *jose.Compact
		use, name string
	}{{p.jwt, "jwt-svid", "JWT-SVID"}, {p.wit, "wit-svid", "WIT-SVID"}} {
		if held.token == nil {
			continue
		}
		kid, _, _ := held.token.Text("kid")
		if kid != "" && !has(held.use, func(e admin.Entry) bool { return e.KeyID == kid }) {
			return "it has not the key " + oauth.Shown(kid) + " of the " + held.name + " (kid_unknown_after_refresh)"
		}
	}
	if len(p.anchors) > 0 && !has("x509-svid", func(e admin.Entry) bool { return slices.Contains(p.anchors, e.Fingerprint) }) {
		return "it has none of the anchors that the Workload API has (cert_chain_bad)"
	}
	return ""
}

// allBundles is for a place without a workload.
func (p *patient) allBundles(all []admin.Bundle) verdict {
	var names []string
	for _, b := range all {
		if v, bad := faulty(b); bad {
			return v
		}
		names = append(names, b.TrustDomain)
	}
	if len(names) == 0 {
		return failed("add one under trust_domains of the server's configuration", "the server knows no trust domain")
	}
	return passed("all are ready: %s", oauth.Shown(strings.Join(names, ", ")))
}

// faulty says what is wrong with a bundle: that it is not there or too old, or what
// the server itself raises an alarm for.
func faulty(b admin.Bundle) (v verdict, bad bool) {
	next := "run `svidgate bundle status " + b.TrustDomain + "`, and mend its source: " + b.Source
	why := b.LastError
	if why == "" {
		why = "its source has not answered"
	}
	switch {
	case b.Generation == 0:
		return failed(next, "the server never got the bundle of %s (td_not_ready): %s", b.TrustDomain, oauth.Shown(why)), true
	case !b.Ready:
		return failed(next, "the bundle of %s was confirmed %s ago, %s at most (bundle_too_old): %s", b.TrustDomain, span(b.AgeSeconds), oldest(b), oauth.Shown(why)), true
	case len(b.Alarms) > 0:
		return failed(next, "the server raises an alarm for %s: %s", b.TrustDomain, oauth.Shown(b.Alarms[0])), true
	}
	return verdict{}, false
}

func span(seconds int64) string { return spoken.Duration(time.Duration(seconds) * time.Second) }

func oldest(b admin.Bundle) string {
	if b.MaxAgeSeconds == 0 {
		return "any age"
	}
	return span(b.MaxAgeSeconds)
}

// signingKeys compares what the server signs with and what it is seen to publish:
// they part where a cache or another server answers at the issuer's address.
func signingKeys(ctx context.Context, p *patient) verdict {
	if p.AdminSocket == "" {
		return notJudged(noAdmin)
	}
	all, err := admin.Dial(p.AdminSocket).Keys(ctx)
	if err != nil {
		return failed(mendAdmin, "%s", unreached(err))
	}
	i := slices.IndexFunc(all, func(k keys.Key) bool { return k.State == keys.StateActive })
	if i < 0 {
		return failed("run `svidgate keys rotate --now`", "no key signs")
	}
	kid := all[i].ID
	if p.keys != nil && !slices.Contains(p.keys.KeyIDs(), kid) {
		return failed("check for a cache or another server behind the issuer's address", "the key that signs, kid %s, is not among those at %s", kid, oauth.Shown(p.document.jwksURI))
	}
	return passed("%s, the one that signs has kid %s", spoken.Count(len(all), "key"), kid)
}
