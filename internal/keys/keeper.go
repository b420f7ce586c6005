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

// A keeper makes the changes of one file, one at a time. What readers need is in
// view; they never wait for a change.
type keeper struct {
	view atomic.Pointer[view]
	wake chan struct{} // something has changed beside Run

	mu     sync.Mutex // held during a whole change, the making of keys included
	config Config
	seen   sightings
}

func newKeeper(cfg Config) *keeper {
	return &keeper{config: cfg, wake: make(chan struct{}, 1), seen: newSightings(cfg.Now)}
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
	if !k.due() {
		return nil
	}
	if _, err := k.change(context.Background(), k.config, nil); err != nil && k.view.Load().content.lacks(k.config) {
		return err
	}
	return nil
}

// create writes the first key, unless another process was faster.
func (k *keeper) create() (*document, digest, error) {
	path := k.config.File
	unlock, err := lockFolder(context.Background(), path)
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
// those of act, writes and publishes. Whatever fails, nobody sees a change. k.mu
// is held.
func (k *keeper) change(ctx context.Context, c Config, act func(*document, time.Time) error) ([]Step, error) {
	made, err := k.rewrite(ctx, c, act)
	if err != nil && !errors.Is(err, ErrUnknownKey) && ctx.Err() == nil {
		c.Log.Error("the signing keys were not changed", "file", c.File, "error", err.Error())
	}
	k.report(made)
	return made, err
}

func (k *keeper) rewrite(ctx context.Context, c Config, act func(*document, time.Time) error) ([]Step, error) {
	unlock, err := lockFolder(ctx, c.File)
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, file, err := readFile(c.File)
	if err != nil {
		return nil, err
	}
	now := c.Now()
	k.seen.note(found)
	next := found.clone()
	if err := next.settle(c, now, k.seen.ripe, makeKey); err != nil {
		return nil, err
	}
	if act != nil {
		if err := act(next, now); err != nil {
			return nil, err
		}
	}
	if next.same(found) {
		// Another process may have stopped between the rename and this.
		if err = syncFolder(c.File); err != nil {
			return nil, err
		}
	} else if file, err = writeFile(c.File, next); err != nil {
		return nil, err
	}
	before := k.view.Load().content
	if err := k.publish(next, file); err != nil {
		return nil, err
	}
	return steps(before, next), nil
}

// publish shows everybody a content that is on disk.
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
