package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnsynced is returned for a change that was made, and that a crash of the
// machine may undo: the folder could not be synced. Run tries that again.
var ErrUnsynced = errors.New("the change is made, but a crash may undo it")

// maxOvertaken is how often a change is tried again that another process was faster
// than.
const maxOvertaken = 10

// A keeper makes the changes of one file, one at a time. What readers need is in
// view; they never wait for a change.
type keeper struct {
	view atomic.Pointer[view]
	wake chan struct{} // something has changed beside Run

	mu       sync.Mutex // held during a whole change, the making of keys included
	config   Config
	place    place
	seen     sightings
	sync     func(path string) error // syncFolder
	unsynced bool                    // it failed for what is in view
}

func newKeeper(cfg Config) *keeper {
	k := &keeper{config: cfg, place: cfg.place(), wake: make(chan struct{}, 1), seen: newSightings(cfg.Now), sync: syncFolder}
	if cfg.Document != nil { // what it answers is for good
		k.sync = func(string) error { return nil }
	}
	return k
}

// open is the first look at the file.
func (k *keeper) open() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx := context.Background()
	d, at, err := k.place.read(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		d, at, err = k.create(ctx)
	}
	if err != nil {
		return err
	}
	if err := k.publish(d, at); err != nil {
		return err
	}
	// What another key encrypted is written anew here and nowhere else, or two
	// processes with other first keys would do so in turn.
	if !k.due(d, k.config) && !at.stale {
		return nil
	}
	var asked func(*document, time.Time) error
	if at.stale {
		asked = func(*document, time.Time) error { return nil }
	}
	if _, err := k.change(ctx, k.config, asked); err != nil && d.lacks(k.config) {
		return err
	}
	return nil
}

// create writes the first key, unless another process was faster.
func (k *keeper) create(ctx context.Context) (*document, mark, error) {
	unlock, err := k.place.lock(ctx)
	if err != nil {
		return nil, mark{}, err
	}
	defer unlock()
	d, at, err := k.place.read(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, at, err
	}
	taken := false
	if d, taken, err = k.first(); err != nil {
		return nil, mark{}, err
	}
	if at, err = k.place.write(ctx, mark{}, d); errors.Is(err, errOvertaken) {
		return k.place.read(ctx)
	}
	if err != nil {
		return nil, mark{}, err
	}
	if err := k.sync(k.config.File); err != nil {
		return nil, mark{}, err
	}
	if taken {
		k.config.Log.Warn("the signing keys of the file are in the store now, encrypted; the file is used no more and still has them: delete it when nothing else needs it", "file", k.config.File)
	}
	k.report(steps(new(document), d))
	return d, at, nil
}

// first is what a new place begins with: what the file has, so that tokens which are
// out stay valid, or else a new key.
func (k *keeper) first() (d *document, taken bool, err error) {
	if k.config.Document != nil && k.config.File != "" {
		if d, _, err = readFile(k.config.File); !errors.Is(err, fs.ErrNotExist) {
			return d, true, err
		}
	}
	d, err = begin(k.config, k.config.Now(), makeKey)
	return d, false, err
}

// operate is a call from outside of Run, which looks again afterwards.
func (k *keeper) operate(call func(Config) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := call(k.config); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	select {
	case k.wake <- struct{}{}:
	default: // Run has not looked since the last call
	}
	return nil
}

// change reads the file again, makes the changes that are due under c and then
// those of act, writes and publishes. When it fails nobody sees a change, but for
// ErrUnsynced: then the change is made. k.mu is held.
func (k *keeper) change(ctx context.Context, c Config, act func(*document, time.Time) error) ([]Step, error) {
	made, err := k.rewrite(ctx, c, act)
	switch {
	case err == nil, errors.Is(err, ErrUnknownKey), ctx.Err() != nil:
	case errors.Is(err, ErrUnsynced):
		c.Log.Error("the signing keys in use may not outlast a crash", "file", k.place.String(), "error", err.Error())
	default:
		c.Log.Error("the signing keys were not changed", "file", k.place.String(), "error", err.Error())
	}
	k.report(made)
	return made, err
}

func (k *keeper) rewrite(ctx context.Context, c Config, act func(*document, time.Time) error) ([]Step, error) {
	if act == nil { // where nothing is to be written, nobody need be kept away
		found, at, err := k.place.read(ctx)
		if err != nil {
			return nil, err
		}
		if !k.due(found, c) {
			return k.take(found, at)
		}
	}
	unlock, err := k.place.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for range maxOvertaken {
		made, err := k.once(ctx, c, act)
		if !errors.Is(err, errOvertaken) {
			return made, err
		}
	}
	return nil, errOvertaken
}

// once is one try of a change.
func (k *keeper) once(ctx context.Context, c Config, act func(*document, time.Time) error) ([]Step, error) {
	found, at, err := k.place.read(ctx)
	if err != nil {
		return nil, err
	}
	now := c.Now()
	next := found.clone()
	if err := next.settle(c, now, k.seen.ripe, makeKey); err != nil {
		return nil, err
	}
	if act != nil {
		if err := act(next, now); err != nil {
			return nil, err
		}
	}
	if !next.same(found) || at.stale && act != nil {
		if at, err = k.place.write(ctx, at, next); err != nil {
			return nil, err
		}
	}
	return k.take(next, at)
}

// take publishes what is in the file now, and makes it last: if another process
// wrote it, that may have stopped before it did so. Where this fails, what is in
// the file counts all the same, since others and the next start read it, and a key
// that was removed must not stay in use (KR-3). The error is ErrUnsynced then.
func (k *keeper) take(d *document, at mark) ([]Step, error) {
	unsynced := k.sync(k.config.File)
	before := k.view.Load().content
	if err := k.publish(d, at); err != nil {
		return nil, err
	}
	k.unsynced = unsynced != nil
	if k.unsynced {
		return steps(before, d), fmt.Errorf("%w: %w", ErrUnsynced, unsynced)
	}
	return steps(before, d), nil
}

// publish shows everybody a content that is in the file. Only then it counts as
// seen: until then this process signs and answers as before.
func (k *keeper) publish(d *document, at mark) error {
	v, err := newView(d)
	if err != nil {
		return fmt.Errorf("%s: %w", k.place, err)
	}
	v.mark = at
	k.view.Store(v)
	k.seen.note(d)
	return nil
}

func (k *keeper) report(made []Step) {
	for _, s := range made {
		attrs := []any{"key_id", s.KeyID, "alg", string(s.Algorithm), "from", string(s.From), "to", string(s.To)}
		if !s.Until.IsZero() {
			attrs = append(attrs, "until", s.Until)
		}
		k.config.Log.Info("signing key", attrs...)
	}
}
