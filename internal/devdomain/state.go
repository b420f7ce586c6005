package devdomain

import (
	"context"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

// A state is what is handed out at one moment. It never changes; a newer one
// takes its place, and every stream is told.
type state struct {
	issuer  *devca.Issuer
	svids   []devca.SVID // one for each identity, in order
	x509Due time.Time    // half of the SVIDs' life

	witKey string // kid that signed wits
	wits   []witSVID
	witDue time.Time

	own       *trustBundle
	federated []*trustBundle // by name
}

type witSVID struct {
	token string
	jwk   string // the holder's private key
}

// current is the newest state, and a channel that is closed when there is a
// newer one.
func (d *Domain) current() (*state, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state, d.updated
}

// Reissue makes every X.509-SVID and WIT-SVID anew, each with a new key, under
// the same authority.
func (d *Domain) Reissue() error {
	if err := d.refresh(true); err != nil {
		return fmt.Errorf("devdomain: reissue: %w", err)
	}
	return nil
}

// Rotate gives the authority new keys of every kind and makes all SVIDs anew
// under them. The old keys stay in the bundle until whatever they signed has
// expired (BU-22).
func (d *Domain) Rotate() error {
	if err := d.rotate(); err != nil {
		return fmt.Errorf("devdomain: rotate: %w", err)
	}
	return nil
}

func (d *Domain) rotate() error {
	a := d.authority
	if err := a.RotateX509(); err != nil {
		return err
	}
	if _, err := a.RotateJWTKey(); err != nil {
		return err
	}
	if d.config.CA.WIT {
		if _, err := a.RotateWITKey(); err != nil {
			return err
		}
	}
	x509SVID, jwtSVID := a.Lifetimes()
	d.mu.Lock()
	// Another rotation before that moment pushes it back for everything old.
	d.retireAt = a.Now().Add(max(x509SVID, jwtSVID) + leeway)
	d.mu.Unlock()
	d.config.Log.Info("rotated the keys of the trust domain",
		"trust_domain", a.TrustDomain().Name(), "sequence", a.Sequence())
	return d.refresh(true)
}

// refresh brings the state up to date: SVIDs that are half through their life or
// come from a CA that signs no more are made anew, all of them when every is
// true, and the bundles are read again.
func (d *Domain) refresh(every bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, now := d.authority, d.authority.Now()
	if !d.retireAt.IsZero() && !now.Before(d.retireAt) {
		if err := a.RemoveOld(); err != nil {
			return err
		}
		d.retireAt = time.Time{}
	}
	next := state{}
	if d.state != nil {
		next = *d.state
	}
	if issuer := a.Issuer(); every || issuer != next.issuer || !now.Before(next.x509Due) {
		svids := make([]devca.SVID, 0, len(d.identities))
		for _, identity := range d.identities {
			svid, err := issuer.X509SVID(identity.path)
			if err != nil {
				return err
			}
			svids = append(svids, svid)
		}
		next.issuer, next.svids = issuer, svids
		next.x509Due = now.Add(svids[0].Leaf().NotAfter.Sub(now) / 2)
	}
	if kid, _, _ := a.WITKey(); kid != "" && (every || kid != next.witKey || !now.Before(next.witDue)) {
		wits := make([]witSVID, 0, len(d.identities))
		for _, identity := range d.identities {
			wit, err := newWIT(a, identity.path)
			if err != nil {
				return err
			}
			wits = append(wits, wit)
		}
		_, lifetime := a.Lifetimes()
		next.witKey, next.wits, next.witDue = kid, wits, now.Add(lifetime/2)
	}
	// After the SVIDs, so that what signed them is in it.
	next.own = &trustBundle{a.TrustDomain(), a.Roots(), a.JWTKeys(), a.WITKeys()}
	next.federated = d.sortedFederated()

	d.state = &next
	close(d.updated)
	d.updated = make(chan struct{})
	return nil
}

const (
	// longestNap bounds how long an SVID may be overdue after the machine slept:
	// timers stand still meanwhile, the clock does not.
	longestNap = 30 * time.Second
	// shortestNap keeps a failing refresh from spinning.
	shortestNap = 100 * time.Millisecond
)

// follow keeps the state up to date until ctx ends.
func (d *Domain) follow(ctx context.Context) {
	for {
		changed := d.authority.Changed() // first, so that no change is missed
		if err := d.refresh(false); err != nil {
			d.config.Log.Error("cannot issue SVIDs", "trust_domain", d.authority.TrustDomain().Name(), "error", err)
		}
		timer := time.NewTimer(min(max(d.nextDue().Sub(d.authority.Now()), shortestNap), longestNap))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (d *Domain) nextDue() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := d.state.x509Due
	for _, other := range []time.Time{d.state.witDue, d.retireAt} {
		if !other.IsZero() && other.Before(due) {
			due = other
		}
	}
	return due
}
