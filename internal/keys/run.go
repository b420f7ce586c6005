package keys

import (
	"context"
	"errors"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// Run makes the changes that are due until ctx ends; then it returns nil. It also
// takes over what another process did to the file. What fails is logged and tried
// again, within a minute.
func (r *Ring) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		timer := time.NewTimer(r.keeper.tend(ctx))
		select {
		case <-ctx.Done():
		case <-r.keeper.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// tend does what is due, and returns when to look again.
func (k *keeper) tend(ctx context.Context) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unsynced || k.foreign(ctx) || k.due(k.view.Load().content, k.config) {
		if _, err := k.change(ctx, k.config, nil); err != nil {
			return k.config.poll()
		}
	}
	if content := k.view.Load().content; content.full() && content.lacksNext(k.config, k.config.Now()) {
		k.config.Log.Error("the next signing key was not made", "file", k.place.String(), "error", errNoRoom.Error())
	}
	return k.wait()
}

// foreign reports whether the file is not what was read or written last. If it cannot
// be read, change tells what is wrong.
func (k *keeper) foreign(ctx context.Context) bool {
	return k.place.changed(ctx, k.view.Load().mark)
}

// due reports whether settle would change anything in a content.
func (k *keeper) due(content *document, c Config) bool {
	next := content.clone()
	errMaking := errors.New("a key is to be made")
	err := next.settle(c, c.Now(), k.seen.ripe, func(jose.Algorithm, time.Time) (key, error) {
		return key{}, errMaking
	})
	return err != nil || !next.same(content)
}

// wait is the time until the next change, and at most that until the file is
// looked at again. A clock may be set meanwhile and a machine may sleep.
func (k *keeper) wait() time.Duration {
	content := k.view.Load().content
	wait := k.config.poll()
	for _, one := range content.keys {
		if one.state != StateActive {
			wait = min(wait, k.seen.left(one))
		}
	}
	if k.config.RotateEvery > 0 && content.pending() == nil && !content.full() {
		wait = min(wait, content.rotation(k.config).Sub(k.config.Now()))
	}
	return max(wait, 10*time.Millisecond)
}
