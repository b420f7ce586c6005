package sqlite

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/svidgate/svidgate/internal/store"
)

// A probe is one look at the store, which whoever asks meanwhile waits for too: on a
// disk that hangs there is one that hangs.
type probe struct {
	done chan struct{}
	err  error // after done
}

// Check is nil when the store can be read and, as far as it is known, written: after
// a write that failed it tries one, and a commit that has not come to its end in five
// seconds is a failure. It is for readiness, and waits no longer than ctx.
func (s *Store) Check(ctx context.Context) error {
	s.probing.Lock()
	p := s.probe
	if p == nil {
		p = &probe{done: make(chan struct{})}
		s.probe = p
		go func() {
			p.err = s.look()
			s.tell(p.err)
			s.probing.Lock()
			s.probe = nil
			s.probing.Unlock()
			close(p.done)
		}()
	}
	s.probing.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("store: %w: it does not answer: %w", store.ErrUnavailable, ctx.Err())
	}
}

// tell logs that readiness has come or gone.
func (s *Store) tell(err error) {
	if was := s.figures.unready.Swap(err != nil); was != (err != nil) {
		if err != nil {
			s.config.Log.Error("the store is not ready", "error", err.Error())
		} else {
			s.config.Log.Info("the store is ready again")
		}
	}
}

func (s *Store) look() error {
	ctx := context.Background()
	if s.path != "" {
		now, err := os.Stat(s.path)
		if err != nil {
			return fmt.Errorf("store: %w: %w", store.ErrUnavailable, err)
		}
		if !os.SameFile(s.file, now) {
			return fmt.Errorf("store: %w: %s is not the file that was opened", store.ErrUnavailable, s.path)
		}
	}
	if begun := s.figures.begun.Load(); begun != nil && time.Since(*begun) >= patience {
		return errLate
	}
	if s.figures.failing.Load() {
		return s.write(ctx, func(w *writing) error {
			_, err := w.exec(`UPDATE store_probe SET at = ?`, stamp(s.config.Now()))
			return err
		})
	}
	return s.read(ctx, func(r *reading) error {
		var n int64
		return r.row(`SELECT count(*) FROM store_probe`, nil, &n)
	})
}
