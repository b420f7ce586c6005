package audit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// closePatience is how long Close waits for a write that does not return.
const closePatience = 5 * time.Second

// Close refuses further events, syncs a regular file and closes it. A second
// call does nothing.
func (l *Log) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	var faults []error
	if err := l.take(ctx); err != nil {
		// The file is closed under the writer: that ends a write to a FIFO
		// that nobody reads.
		faults = append(faults, errors.New("the last write did not return"))
	} else {
		defer l.release()
		if l.closed {
			return nil
		}
		l.closed = true
	}
	l.stop()
	if len(faults) == 0 {
		<-l.tended
		if l.regular {
			faults = append(faults, l.file.Sync())
		}
	}
	faults = append(faults, l.file.Close())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("audit: close: %w", err)
	}
	return nil
}
