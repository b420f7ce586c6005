package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svidgate/svidgate/internal/filelock"
)

// ErrUnsynced is returned for a change that was made, and that a crash of the
// machine may undo: the folder could not be synced. Run tries that again.
var ErrUnsynced = errors.New("the change is made, but a crash may undo it")

// A keeper makes the changes of one file, one at a time. What readers need is in
// view; they never wait for a change.
type keeper struct {
	view atomic.Pointer[view]
	wake chan struct{} // something has changed beside Run

	mu       sync.Mutex // held during a whole change, the making of keys included
	config   Config
	seen     sightings
	sync     func(path string) error // syncFolder
	unsynced bool                    // it failed for what is in view
}

func newKeeper(cfg Config) *keeper {
	return &keeper{config: cfg, wake: make(chan struct{}, 1), seen: newSightings(cfg.Now), sync: syncFolder}
}

// open is the first look at the file.
func (k *keeper) open() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	path := k.config.File
	d, file, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		d, file, err = k.create()
	}
	if err != nil {
		return err
	}
	if err := k.publish(d, file); err != nil {
		return err
	}
	if !k.due(d, k.config) {
		return nil
	}
	if _, err := k.change(context.Background(), k.config, nil); err != nil && d.lacks(k.config) {
		return err
	}
	return nil
}

// create writes the first key, unless another process was faster.
func (k *keeper) create() (*document, digest, error) {
	path := k.config.File
	unlock, err := filelock.Take(context.Background(), path+lockSuffix)
	if err != nil {
		return nil, digest{}, err
	}
	defer unlock()
	d, file, err := readFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, file, err
	}
	if d, err = begin(k.config, k.config.Now(), makeKey); err != nil {
		return nil, digest{}, err
	}
	if file, err = writeFile(path, d); err != nil {
		return nil, digest{}, err
	}
	if err := k.sync(path); err != nil {
		return nil, digest{}, err
	}
	k.report(steps(new(document), d))
	return d, file, nil
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
		c.Log.Error("the signing keys in use may not outlast a crash", "file", c.File, "error", err.Error())
	default:
		c.Log.Error("the signing keys were not changed", "file", c.File, "error", err.Error())
	}
	k.report(made)
	return made, err
}

func (k *keeper) rewrite(ctx context.Context, c Config, act func(*document, time.Time) error) ([]Step, error) {
	if act == nil { // where nothing is to be written, nobody need be kept away
		found, file, err := readFile(c.File)
		if err != nil {
			return nil, err
		}
		if !k.due(found, c) {
			return k.take(found, file)
		}
	}
	unlock, err := filelock.Take(ctx, c.File+lockSuffix)
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, file, err := readFile(c.File)
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
	if !next.same(found) {
		if file, err = writeFile(c.File, next); err != nil {
			return nil, err
		}
	}
	return k.take(next, file)
}

// take publishes what is in the file now, and makes it last: if another process
// wrote it, that may have stopped before it did so. Where this fails, what is in
// the file counts all the same, since others and the next start read it, and a key
// that was removed must not stay in use (KR-3). The error is ErrUnsynced then.
func (k *keeper) take(d *document, file digest) ([]Step, error) {
	unsynced := k.sync(k.config.File)
	before := k.view.Load().content
	if err := k.publish(d, file); err != nil {
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
func (k *keeper) publish(d *document, file digest) error {
	v, err := newView(d)
	if err != nil {
		return fmt.Errorf("%s: %w", k.config.File, err)
	}
	v.file = file
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
