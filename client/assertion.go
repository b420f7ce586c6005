package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// svidTimeout bounds one question to the source. It is below five seconds, so
	// that a stalled agent delays nobody for long (F39).
	svidTimeout = 4 * time.Second

	maxAssertion = 16 << 10 // GL-8: the server refuses a longer one

	// CL-7: renewed at half of its life or this long before its end, and not used
	// in the last seconds, which the way to the server may take.
	renewBeforeEnd = 30 * time.Second
	unusedAtEnd    = 10 * time.Second

	// refetchAfter keeps a source that goes on returning an old JWT-SVID from being
	// asked at every token request (F40).
	refetchAfter = 5 * time.Second

	maxAudiences = 8

	// maxSent is how many JWT-SVIDs are remembered as sent. The one that counts is
	// the present one, or one of those that requests under way carry.
	maxSent = 64
)

// An assertion is a JWT-SVID that is fit to be sent.
type assertion struct {
	token string
	id    spiffeid.ID
}

// assertions keeps one JWT-SVID per audience (F40).
type assertions struct {
	source JWTSource
	now    func() time.Time
	log    *slog.Logger

	mu         sync.Mutex
	byAudience map[string]*kept[assertion]
	sent       []sending // the oldest first
}

// A sending counts how often one JWT-SVID went out. The digest does instead of the
// token, which need not lie in memory for longer.
type sending struct {
	digest [sha256.Size]byte
	times  int
}

func newAssertions(source JWTSource, now func() time.Time, log *slog.Logger) *assertions {
	return &assertions{source: source, now: now, log: log, byAudience: map[string]*kept[assertion]{}}
}

func (a *assertions) get(ctx context.Context, audience string) (assertion, error) {
	return a.of(audience).get(ctx)
}

// drop forgets the JWT-SVID that the server has just refused: it may be signed
// with a withdrawn key, and the source may have a better one by now.
func (a *assertions) drop(audience string, refused assertion) {
	a.of(audience).drop(func(kept assertion) bool { return kept == refused })
}

// another asks the source for a JWT-SVID other than old; false when it has none.
// The new one is for the caller alone: where JWT-SVIDs count once (CJ-13), callers
// who shared it would be refused again.
func (a *assertions) another(ctx context.Context, audience string, old assertion) (assertion, bool) {
	l, err := a.fetch(ctx, audience)
	if err != nil {
		a.log.Warn("no new JWT-SVID could be had", "audience", audience, "error", err)
		return assertion{}, false
	}
	return l.value, l.value.token != old.token
}

// sending notes that the JWT-SVID goes out now.
func (a *assertions) sending(out assertion) {
	digest := sha256.Sum256([]byte(out.token))
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.sent {
		if a.sent[i].digest == digest {
			a.sent[i].times++
			return
		}
	}
	if len(a.sent) == maxSent {
		a.sent = slices.Delete(a.sent, 0, 1)
	}
	a.sent = append(a.sent, sending{digest, 1})
}

// reused reports whether the JWT-SVID went out more than once. It is asked after
// the answer, because of two requests at the same time the server may have read
// the later one first.
func (a *assertions) reused(old assertion) bool {
	digest := sha256.Sum256([]byte(old.token))
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.sent, func(s sending) bool { return s.digest == digest && s.times > 1 })
}

func (a *assertions) of(audience string) *kept[assertion] {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.byAudience[audience]
	if k == nil {
		// There is one audience, or two with EndpointAudience. More than a few means
		// that the server's endpoints keep changing.
		if len(a.byAudience) == maxAudiences {
			clear(a.byAudience)
		}
		k = &kept[assertion]{
			now:   a.now,
			fetch: func(ctx context.Context) (lease[assertion], error) { return a.fetch(ctx, audience) },
			failed: func(err error) {
				a.log.Warn("no new JWT-SVID could be had", "audience", audience, "error", err)
			},
		}
		a.byAudience[audience] = k
	}
	return k
}

func (a *assertions) fetch(ctx context.Context, audience string) (lease[assertion], error) {
	ctx, cancel := context.WithTimeout(ctx, svidTimeout)
	defer cancel()
	token, err := a.source.FetchJWTSVID(ctx, audience)
	if err != nil {
		return lease[assertion]{}, fmt.Errorf("get a JWT-SVID: %w", err)
	}
	l, err := parseAssertion(token, audience, a.now())
	if err != nil {
		return lease[assertion]{}, fmt.Errorf("the JWT-SVID from the source: %w", err)
	}
	return l, nil
}

// parseAssertion looks at what the server will look at, so that a wrong JWT-SVID
// is explained here and not by one word of a stranger: size, form, one audience,
// sub, exp. It does not check the signature or the header. No error repeats the
// token.
func parseAssertion(token, audience string, now time.Time) (lease[assertion], error) {
	var none lease[assertion]
	if token == "" {
		return none, errors.New("is empty")
	}
	if len(token) > maxAssertion {
		return none, fmt.Errorf("is longer than %d bytes", maxAssertion)
	}
	parts, err := jose.ParseCompact(token)
	if err != nil {
		return none, err
	}
	claims := parts.Payload
	sub, _, err := text(claims, "sub")
	if err != nil {
		return none, err
	}
	id, err := strictid.Workload(sub)
	if err != nil {
		return none, fmt.Errorf("sub %q is not the SPIFFE ID of a workload: %w", oauth.Shown(sub), err)
	}
	if err := checkAudience(claims, audience); err != nil {
		return none, err
	}
	v, _ := claims.Get("exp")
	exp, ok := v.NumericDate()
	if !ok {
		return none, errors.New("exp is missing or malformed")
	}
	end := exp.Add(-unusedAtEnd)
	if !now.Before(end) {
		return none, fmt.Errorf("expires at %s and it is %s now; is the clock of this host right, does the source still renew?",
			exp.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	start := now
	if v, ok := claims.Get("iat"); ok {
		if iat, ok := v.NumericDate(); ok && iat.Before(now) {
			start = iat
		}
	}
	renewAt := start.Add(exp.Sub(start) / 2)
	if early := exp.Add(-renewBeforeEnd); early.Before(renewAt) {
		renewAt = early
	}
	if soonest := now.Add(refetchAfter); renewAt.Before(soonest) {
		renewAt = soonest
	}
	return lease[assertion]{value: assertion{token, id}, renewAt: renewAt, waitAt: end, end: end}, nil
}

// checkAudience holds CJ-6: one audience and no other.
func checkAudience(claims strictjson.Members, audience string) error {
	v, _ := claims.Get("aud")
	list, ok := v.Audience()
	if !ok || len(list) == 0 {
		return errors.New("aud is missing or malformed")
	}
	if len(list) > 1 {
		return fmt.Errorf("has %d audiences, the server accepts exactly one (CJ-6)", len(list))
	}
	if list[0] != audience {
		return fmt.Errorf("is for audience %q, the server accepts %q (CJ-6); whatever fetches the SVID must ask for that", oauth.Shown(list[0]), audience)
	}
	return nil
}
