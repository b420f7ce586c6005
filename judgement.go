package svidgate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// judgement is the part of a state that all methods share: identifier, trust
// domain, bundle, clock.
type judgement struct {
	judge.Judgement
	v   *Verifier
	now time.Time

	idText    string
	id        spiffeid.ID
	settings  Settings
	snapshot  *bundle.Snapshot
	refreshed bool // a fetch on demand was tried

	afresh     bool // nothing is taken from memory
	remembered bool // the signature or path was taken from there
}

func newJudgement(v *Verifier) judgement {
	return judgement{v: v, now: v.now(), settings: v.settings}
}

func (j *judgement) shared() *judgement { return j }

// idRules are the rules on the identifier's bytes, for the list of a method.
// reason maps a rule's id to the method's reason code.
func idRules[S state](path strictid.Rule, reason func(id string) oauth.Reason) []judge.Rule[S] {
	var rules []judge.Rule[S]
	all := append(append([]strictid.Rule(nil), strictid.Rules...), path)
	for i, r := range all {
		rules = append(rules, judge.Rule[S]{
			ID: r.ID, Source: r.Source, What: idRuleTexts[r.ID], Needs: factIDText,
			Judge: func(_ context.Context, s S) oauth.Reason {
				j := s.shared()
				if i == 0 {
					j.readID()
				}
				if what := r.Broken(strictid.Cut(j.idText)); what != "" {
					j.Cause = errors.New(what)
					return reason(r.ID)
				}
				return ""
			},
			Expected:  func(S) string { return idRuleTexts[r.ID] },
			Presented: func(s S) string { return shownText(s.shared().idText) },
		})
	}
	return rules
}

var idRuleTexts = map[string]string{
	"SI-9":  "at most 2048 bytes",
	"SI-1":  "a URI that begins with spiffe://",
	"SI-10": "the scheme in lower case",
	"SI-2":  "no query and no fragment, not even an empty one",
	"SI-3":  "a trust domain without user information and port",
	"SI-4":  "a trust domain of a-z 0-9 . - _ only",
	"SI-6":  "a trust domain of at most 255 bytes",
	"SI-7":  "a path of segments of a-z A-Z 0-9 . - _, none empty, none a dot segment",
	"SI-12": "a path: a workload, not a trust domain",
	"XS-2":  "a path: a workload, not a trust domain",
}

// readID establishes the SPIFFE ID. What our rules on the bytes refuse is no
// ID here either; they refuse right after.
func (j *judgement) readID() {
	if id, err := strictid.Parse(j.idText); err == nil {
		j.id = id
		j.settings = j.v.Settings(id.TrustDomain())
		j.Facts |= factID
	}
}

// profileInForce is that of the client behind the identity, if ask knows one, or
// else that of its trust domain.
func (j *judgement) profileInForce(ask func(spiffeid.ID) Profile) Profile {
	if ask != nil {
		if p := ask(j.id); p != "" {
			return p
		}
	}
	return j.settings.Profile
}

// bundleRules are the rules on the trust domain and its bundle, for SVIDs that
// are verified with entries of this use.
func bundleRules[S state](use bundle.Use) []judge.Rule[S] {
	td := func(s S) string { return s.shared().id.TrustDomain().Name() }
	return []judge.Rule[S]{
		{
			ID: "JS-13", Source: "SPIFFE Workload API 6.3; draft section 6", What: "the trust domain is configured", Needs: factID,
			Judge: func(_ context.Context, s S) oauth.Reason {
				j := s.shared()
				snapshot, err := j.v.bundles.Bundle(j.id.TrustDomain())
				switch {
				case err == nil && !j.isOwn(snapshot):
					return oauth.ReasonInternal
				case err == nil:
					j.snapshot = snapshot
					j.Facts |= factConfigured | factBundle
				case errors.Is(err, bundle.ErrNotReady): // the next rule's affair
					j.Facts |= factConfigured
				default:
					j.Cause = err
					return oauth.ReasonTDUnknown
				}
				return ""
			},
			Expected:  func(S) string { return "a trust domain of the configuration" },
			Presented: td,
		},
		{
			ID: "GL-15", Source: "client-authentication section 14", What: "a bundle was obtained", Needs: factConfigured,
			Judge: func(_ context.Context, s S) oauth.Reason {
				if s.shared().Facts&factBundle == 0 {
					return oauth.ReasonTDNotReady
				}
				return ""
			},
			Expected: func(s S) string { return "a bundle of " + td(s) },
			Presented: func(s S) string {
				if s.shared().snapshot == nil {
					return "none was obtained yet"
				}
				return "generation " + fmt.Sprint(s.shared().snapshot.Generation())
			},
		},
		{
			ID: "BE-15", Source: "SPIFFE Federation 4.2", What: "the bundle is not too old", Needs: factBundle,
			Judge: func(_ context.Context, s S) oauth.Reason {
				j := s.shared()
				if j.snapshot.Age(j.now) > j.settings.MaxBundleAge {
					return oauth.ReasonBundleTooOld
				}
				return ""
			},
			Expected: func(s S) string {
				if limit := s.shared().settings.MaxBundleAge; limit != Unbounded {
					return "confirmed by its source within " + limit.String()
				}
				return "any age"
			},
			Presented: func(s S) string {
				j := s.shared()
				return j.snapshot.Age(j.now).Round(time.Second).String() + " old"
			},
		},
		{
			ID: "BU-12", Source: "JWT-SVID 6.2; X509-SVID 6.2; WIT-SVID 6.2", What: "the bundle verifies this kind of SVID", Needs: factBundle,
			Judge: func(_ context.Context, s S) oauth.Reason {
				if !s.shared().snapshot.Supports(use) {
					return oauth.ReasonBundleNoKeys
				}
				return ""
			},
			Expected: func(S) string { return "an entry with use " + string(use) },
			Presented: func(s S) string {
				b := s.shared().snapshot
				return fmt.Sprintf("%d x509-svid, %d jwt-svid, %d wit-svid", len(b.Anchors()), len(b.Keys(bundle.UseJWT)), len(b.Keys(bundle.UseWIT)))
			},
		},
	}
}

// fetchAgain asks for a newer bundle once per credential, and reports whether
// another one came (JS-15, BE-17).
func (j *judgement) fetchAgain(ctx context.Context) bool {
	if j.v.refresh == nil || j.refreshed {
		return false
	}
	j.refreshed = true
	before := j.snapshot
	snapshot, err := j.v.refresh(ctx, j.id.TrustDomain())
	if err != nil || !j.isOwn(snapshot) {
		return false
	}
	j.snapshot = snapshot
	return !snapshot.Same(before) // else all would be judged twice for nothing
}

// isOwn is the second half of MT-9: the trust domain that chose the bundle is
// the one the bundle is of, whatever whoever keeps the bundles believes.
func (j *judgement) isOwn(s *bundle.Snapshot) bool {
	return s != nil && s.TrustDomain() == j.id.TrustDomain()
}
