package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/mint"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

// A record is the one event of a request, filled as the pipeline learns, and
// written once at its end. Nothing is decided by it.
type record struct {
	event  audit.Event
	source netip.Addr
	scheme string // of an Authorization header
	shown  *tokenrequest.Request
	span   *trace.Request

	// inactive is why a token that was asked about is not active, though the request
	// is answered.
	inactive *oauth.Error

	authenticated bool
	signedIn      string // the subject of a person who has signed in
	remembered    bool   // the proof of the caller's identity
}

func (s *Server) newRecord(endpoint tokenrequest.Endpoint, r *http.Request, requestID string) *record {
	rec := &record{span: s.config.Tracer.Begin(r.Header)}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		rec.source = peer.Addr().Unmap()
	}
	rec.event = audit.Event{
		Event: endpoint.Name, RequestID: requestID, Endpoint: r.URL.Path,
		Source: rec.source.String(), Txn: rand.Text(),
	}
	return rec
}

// request notes what the peer said; none of it is proven.
func (rec *record) request(req *tokenrequest.Request) {
	rec.scheme = req.AuthorizationScheme()
	rec.shown = req
	e := &rec.event
	e.ClientID = req.ClientID()
	e.GrantType = string(req.GrantType())
	e.Scope = req.Scope()
	if len(req.Resources()) > 0 {
		e.Resource = strings.Join(req.Resources(), " ")
	}
}

func (rec *record) method(m oauth.AuthMethod) { rec.event.AuthMethod = string(m) }

// usedUp notes the proof that was used up, also by a caller that is refused after that:
// the next start reads it back (AK-10).
func (rec *record) usedUp(c clientauth.Caller) {
	if use, ok := c.Identity().ProofUse(); ok {
		rec.event.Proof = hexed(use.Mark)
	}
}

// caller notes who it is, which from here on is proven, unless the client is public.
func (rec *record) caller(c clientauth.Caller) {
	rec.authenticated, rec.remembered = c.Authenticated(), c.Identity().Remembered()
	if !c.Authenticated() {
		rec.cut()
	}
	e := &rec.event
	e.ClientID = c.Client().ID()
	if !c.Authenticated() {
		return
	}
	e.Proven = true
	id := c.Identity().SPIFFEID()
	e.SPIFFEID, e.TrustDomain = id.String(), id.TrustDomain().Name()
	e.SVIDDigest = hexed(c.Identity().Digest())
	e.SVIDKeyID, e.SVIDTokenID = c.Identity().KeyID(), c.Identity().TokenID()
	e.BundleSequence, e.HasBundleSequence = c.Identity().BundleSequence()
	e.ProfileLegacyUse = c.LegacyUse()
}

func (rec *record) minted(t mint.Token, d policy.Decision) {
	e := &rec.event
	e.Resource, e.Scope, e.Subject, e.JTI = t.Resource(), t.Scope(), t.Subject(), t.ID()
	e.KeyID, e.Binding, e.Expires, e.PolicyRule = t.KeyID(), string(t.Binding()), t.ExpiresAt(), d.Rule()
}

// person notes who has signed in, which counts as authenticated.
func (rec *record) person(subject string) {
	rec.authenticated, rec.signedIn, rec.event.Subject = true, subject, subject
}

// authorizes notes what is asked for in a person's name.
func (rec *record) authorizes(r authorization.Request) {
	e := &rec.event
	e.ClientID, e.Resource, e.Scope = r.ClientID(), r.Resource(), strings.Join(r.Scope(), " ")
}

// drawsOn notes which grant of a person the request draws on.
func (rec *record) drawsOn(g *authorization.Grant) {
	if g != nil {
		rec.event.GrantID = g.ID
	}
}

// refused notes why. What was minted, if anything, never left.
func (rec *record) refused(err *oauth.Error) {
	e := &rec.event
	e.Outcome = audit.Refused
	if e.SVIDDigest == "" {
		e.SVIDDigest = digestOf(rec.shown)
		e.SVIDKeyID, e.SVIDTokenID = err.KeyID, err.TokenID
		e.BundleSequence, e.HasBundleSequence = err.BundleSequence, err.HasBundleSequence
	}
	e.Reason, e.Rule, e.Expected, e.Presented = string(err.Reason), err.Rule, err.Expected, err.Presented
	e.Subject, e.JTI, e.KeyID, e.Binding, e.Expires, e.PolicyRule = rec.signedIn, "", "", "", time.Time{}, ""
	if err.Subject != "" && e.SPIFFEID == "" {
		if id, parseErr := spiffeid.FromString(err.Subject); parseErr == nil {
			e.SPIFFEID, e.TrustDomain = id.String(), id.TrustDomain().Name()
			e.Proven = err.SubjectProven
		}
	}
	if !rec.authenticated {
		rec.cut()
	}
}

// cut keeps a stranger's words from filling the disk.
func (rec *record) cut() {
	e := &rec.event
	for _, member := range []*string{&e.ClientID, &e.GrantType, &e.Resource, &e.Scope} {
		if len(*member) > maxClaimed+len(cutMark) { // not what was cut already
			*member = (*member)[:maxClaimed] + cutMark
		}
	}
}

// maxClaimed bounds what is kept of a parameter that nobody vouches for, in bytes
// before the mark.
const (
	maxClaimed = 256
	cutMark    = "…"
)

// digestOf names the credential of a request whose caller was not authenticated.
func digestOf(req *tokenrequest.Request) string {
	switch {
	case req == nil:
		return ""
	case req.Assertion() != "":
		return hexed(sha256.Sum256([]byte(req.Assertion())))
	case req.Attestation() != "":
		return hexed(sha256.Sum256([]byte(req.Attestation())))
	case len(req.Certificates()) > 0:
		return hexed(sha256.Sum256(req.Certificates()[0].Raw))
	}
	return ""
}

func hexed(digest [sha256.Size]byte) string {
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], digest[:])
	return string(text[:])
}

// record writes the event. What was decided is recorded even when the peer has
// gone.
func (s *Server) record(ctx context.Context, rec *record) error {
	began := s.config.Now()
	_, err := s.config.Audit.Record(context.WithoutCancel(ctx), rec.event)
	s.metrics.recording.Observe(s.config.Now().Sub(began).Seconds())
	return err
}

// attrs are the log attributes of the request, by the names the audit record
// has.
func (rec *record) attrs() []slog.Attr {
	e := &rec.event
	attrs := []slog.Attr{slog.String("request_id", e.RequestID), slog.String("event", e.Event), slog.String("source", e.Source)}
	for _, a := range [...]struct{ key, value string }{
		{"client_id", e.ClientID}, {"spiffe_id", e.SPIFFEID}, {"trust_domain", e.TrustDomain},
		{"auth_method", e.AuthMethod}, {"grant_type", e.GrantType}, {"resource", e.Resource}, {"scope", e.Scope},
		{"jti", e.JTI}, {"txn", e.Txn},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, oauth.Shown(a.value)))
		}
	}
	return attrs
}

// refusalAttrs are what an operator needs to understand and mend a refusal.
func refusalAttrs(e *oauth.Error) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("oauth_error", string(e.Code)), slog.String("reason", string(e.Reason)), slog.String("rule", e.Rule),
		slog.String("expected", e.Expected), slog.String("presented", e.Presented), slog.String("next", e.Reason.Next()),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", oauth.Shown(e.Err.Error())))
	}
	return attrs
}
