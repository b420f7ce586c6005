package bundle

import (
	"context"
	"errors"
	"fmt"
)

// errEnded is what becomes of an attempt whose trust domain or source is not
// configured any more (BE-16).
var errEnded = errors.New("bundle: the trust domain was taken out, or given another source, meanwhile (BE-16)")

// turn waits until the source may be asked. The context it returns ends after
// fetchTimeout, and with the life of the domain; done must be called.
func (d *domain) turn(ctx context.Context) (limited context.Context, done func(), err error) {
	select {
	case d.fetching <- struct{}{}:
	case <-d.ended:
		return nil, nil, errEnded
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("bundle: %w", ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, fetchTimeout)
	done = func() {
		cancel()
		<-d.fetching
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.isEnded():
		err = errEnded
	case ctx.Err() != nil:
		err = fmt.Errorf("bundle: %w", ctx.Err())
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	d.cancel = cancel
	return limited, done, nil
}

// isEnded is for callers who hold mu: the answer stays true until they let go.
func (d *domain) isEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// end is the end of the domain's life: nothing is stored after it, and whoever
// waits gets an answer (BE-16). Its caller holds mu.
func (d *domain) end() {
	close(d.ended)
	if d.cancel != nil {
		d.cancel()
	}
}
