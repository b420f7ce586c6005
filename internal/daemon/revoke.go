package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/revocation"
)

// spare is given to clocks of other nodes, so that a token is revoked until it has
// ended by each of them.
const spare = time.Minute

// Revoke revokes what was issued up to now, for an operator (RV-4). An entry beside an
// error was kept, and something that goes with it was not done.
//
// A signing key is removed too, so that APIs that verify by themselves refuse what it
// signed as soon as they have fetched the keys again. Its tokens are dead here before
// that: another process that shares the keys may publish it for a minute more.
func (d *Daemon) Revoke(ctx context.Context, kind revocation.Kind, value, reason, by string) (revocation.Entry, error) {
	now := d.now()
	e := revocation.Entry{Kind: kind, Value: value, Before: now, Expires: now.Add(revocation.Life), Reason: reason, By: by}
	switch kind {
	case revocation.Grant:
		return d.revokeGrant(ctx, e)
	case revocation.TokenID:
		e.Expires = now.Add(d.keys.LongestToken() + spare)
	case revocation.Key:
		if !slices.ContainsFunc(d.keys.List(), func(k keys.Key) bool { return k.ID == value }) {
			return revocation.Entry{}, keys.ErrUnknownKey
		}
	}
	if err := d.revocations.Revoke(ctx, e); err != nil {
		return revocation.Entry{}, err
	}
	if kind != revocation.Key {
		return e, nil
	}
	if _, err := d.keys.Remove(value); err != nil && !errors.Is(err, keys.ErrUnknownKey) {
		return e, fmt.Errorf("what the key signed is revoked, but the key is still published: %w", err)
	}
	return e, nil
}

// revokeGrant ends what a person granted: its refresh tokens, and its access tokens
// wherever somebody asks about them.
func (d *Daemon) revokeGrant(ctx context.Context, e revocation.Entry) (revocation.Entry, error) {
	records := d.store.Authorizations()
	g, err := records.ByID(ctx, e.Value, e.Before)
	if errors.Is(err, authorization.ErrNotFound) {
		err = fmt.Errorf("%w: there is no such grant, or it has ended", revocation.ErrEntry)
	}
	if err == nil {
		err = records.Revoke(ctx, e.Value, e.Before)
	}
	if err != nil {
		return revocation.Entry{}, err
	}
	e.Expires = g.ExpiresAt
	return e, nil
}
