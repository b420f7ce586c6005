package resource

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultRefresh is how often keys are fetched.
	DefaultRefresh = 5 * time.Minute
	// MinRefresh and MaxRefresh bound RemoteKeysConfig.Refresh (AM-9, LD-3).
	MinRefresh = time.Minute
	MaxRefresh = time.Hour
	// leastKept is how long keys are kept at least, however short a time the
	// server allows. Longer than what it allows, and keys could be missed that
	// are published for a few seconds only before they sign (KR-2).
	leastKept = time.Second

	// StaleAfter is the age from which keys are still used and said to be stale
	// (LD-3).
	StaleAfter = time.Hour
	// DefaultExpireAfter is the age from which keys are not used (LD-3).
	DefaultExpireAfter = 72 * time.Hour
	// MaxExpireAfter bounds RemoteKeysConfig.ExpireAfter: without an end, whoever
	// cuts the line could keep a withdrawn key alive (AK-32).
	MaxExpireAfter = 30 * 24 * time.Hour

	// demandEvery is how often tokens with unknown keys may cause a fetch (KR-6).
	demandEvery = time.Minute
	// demandWait is how long one of them waits for it.
	demandWait = 2 * time.Second
	// fetchTime bounds a fetch, metadata and keys together (FX-1).
	fetchTime = 5 * time.Second
)

// RemoteKeysConfig configures RemoteKeys. Only Issuer has no default.
type RemoteKeysConfig struct {
	// Issuer is the issuer identifier, https. Its metadata (RFC 8414) must name
	// exactly it (AM-2) and says where the keys are.
	Issuer string
	// JWKSURL is where the keys are, for an issuer without metadata; https.
	JWKSURL string
	// RootCAs verify the server's certificate; nil is the system's store.
	RootCAs *x509.CertPool
	// Refresh is the time between fetches, shortened by up to a fifth at random
	// so that many servers do not ask at once; 0 is DefaultRefresh. A server that
	// allows its keys to be kept for a shorter time (Cache-Control, max-age) is
	// asked in that time: it may rotate them faster (KR-2).
	Refresh time.Duration
	// ExpireAfter is the age from which keys are not used any more, so that
	// every token is refused; 0 is DefaultExpireAfter. At least Refresh and at
	// most MaxExpireAfter.
	ExpireAfter time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is told of failed fetches, entries left out and stale keys; nil is
	// silent.
	Log *slog.Logger
}

// RemoteKeys keep the keys of one authorization server: fetched in the
// background by Run, read without a lock. A failed fetch changes nothing, a good
// one replaces all (LD-4).
type RemoteKeys struct {
	issuer      string
	jwksURL     string
	refresh     time.Duration
	expireAfter time.Duration
	now         func() time.Time
	log         *slog.Logger
	http        *http.Client
	// For tests to replace: sleep waits or returns early with the context's error.
	sleep      func(context.Context, time.Duration) error
	fetchTime  time.Duration
	demandWait time.Duration

	started atomic.Bool
	current atomic.Pointer[KeySet]

	mu         sync.Mutex // guards what follows; never held during a fetch
	flight     *flight    // the fetch under way, or nil
	lastDemand time.Time
	lastErr    error
	lastBody   [32]byte      // of the set in current
	keep       time.Duration // how long the server allows that set to be kept; 0 when it does not say
}

// A flight is one fetch, which any number of goroutines may wait for.
type flight struct {
	done chan struct{}
	err  error // to be read after done
}

// NewRemoteKeys checks the whole configuration and reports every fault at once.
// It fetches nothing: Run does.
func NewRemoteKeys(c RemoteKeysConfig) (*RemoteKeys, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("resource: remote keys: "+format, args...))
	}
	k := &RemoteKeys{
		issuer: c.Issuer, jwksURL: c.JWKSURL, refresh: c.Refresh, expireAfter: c.ExpireAfter,
		now: c.Now, log: c.Log, sleep: sleep, fetchTime: fetchTime, demandWait: demandWait,
	}
	if err := checkIssuer(c.Issuer); err != nil {
		fault("the issuer %w", err)
	}
	if c.JWKSURL != "" {
		if err := checkURL(c.JWKSURL); err != nil {
			fault("the JWKS URL %w (FX-1)", err)
		}
	}
	if k.refresh == 0 {
		k.refresh = DefaultRefresh
	}
	if k.refresh < MinRefresh || k.refresh > MaxRefresh {
		fault("refresh must lie between %v and %v (AM-9)", MinRefresh, MaxRefresh)
	}
	if k.expireAfter == 0 {
		k.expireAfter = DefaultExpireAfter
	}
	if k.expireAfter < max(k.refresh, MinRefresh) || k.expireAfter > MaxExpireAfter {
		fault("expire-after must lie between refresh and %v (LD-3)", MaxExpireAfter)
	}
	if k.now == nil {
		k.now = time.Now
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	k.http = newHTTPClient(c.RootCAs, k.now)
	return k, nil
}

// Issuer is the issuer identifier.
func (k *RemoteKeys) Issuer() string { return k.issuer }

// KeySet implements KeySource. A set that has kid is returned at once (LD-1). For
// another kid, or without a usable set, it may wait up to 2 s for a fetch, of
// which there is one at a time and at most one a minute beside those of Run
// (KR-6).
//
// Before Run was called it always returns ErrKeysUnavailable: keys that nobody
// refreshes would outlive their withdrawal.
func (k *RemoteKeys) KeySet(ctx context.Context, kid string) (*KeySet, error) {
	if !k.started.Load() {
		return nil, fmt.Errorf("resource: %w: Run was not called", ErrKeysUnavailable)
	}
	set := k.current.Load()
	if k.usable(set) && (kid == "" || set.byID[kid] != nil) {
		return set, nil
	}
	k.demand(ctx)
	if set = k.current.Load(); k.usable(set) {
		return set, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.lastErr
	if err == nil {
		err = errors.New("the first fetch has not ended")
	}
	return nil, fmt.Errorf("resource: %w: %w", ErrKeysUnavailable, err)
}

func (k *RemoteKeys) usable(set *KeySet) bool {
	return set != nil && k.now().Sub(set.fetchedAt) < k.expireAfter
}

// demand waits for a fetch, and begins one where KR-6 allows it.
func (k *RemoteKeys) demand(ctx context.Context) {
	k.mu.Lock()
	f := k.flight
	if f == nil {
		now := k.now()
		// A clock that was set back must not put off the next one for longer.
		if since := now.Sub(k.lastDemand); !k.lastDemand.IsZero() && since >= 0 && since < demandEvery {
			k.mu.Unlock()
			return
		}
		k.lastDemand = now
		f = k.begin(ctx)
	}
	k.mu.Unlock()
	timer := time.NewTimer(k.demandWait)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Run fetches the keys now and from then on at every interval, until ctx ends;
// then it returns nil. It must be called once.
//
// After a failed fetch the next one comes at the usual time (LD-8), or after a
// minute while there are no keys to use.
func (k *RemoteKeys) Run(ctx context.Context) error {
	if !k.started.CompareAndSwap(false, true) {
		return errors.New("resource: remote keys: Run was called twice")
	}
	for {
		k.mu.Lock()
		f := k.flight
		if f == nil {
			f = k.begin(ctx)
		}
		k.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil
		}
		if k.sleep(ctx, k.interval()) != nil {
			return nil
		}
	}
}

// interval is the time until the next fetch.
func (k *RemoteKeys) interval() time.Duration {
	if !k.usable(k.current.Load()) {
		return MinRefresh
	}
	k.mu.Lock()
	keep := k.keep
	k.mu.Unlock()
	every := k.refresh
	if keep > 0 {
		every = min(every, max(keep, leastKept))
	}
	return every - rand.N(every/5)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
