package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/replay"
)

// proofLife is how long after it was used a proof may still be good by its time:
// it may have been made a window ahead, and is good for a window after that.
const proofLife = 2*svidgate.ProofWindow + time.Second

// recallProofs fills the memory of used proofs with those that were used before
// this start, so that none can be used again after it (AK-10). The audit record
// has them: no token left without its line. Where it cannot be read back, nobody
// knows, and proofs that may have been used then are refused: those that were made
// until a window after now.
func (d *Daemon) recallProofs(ctx context.Context, cfg *config.Config) error {
	d.proofs = replay.New(maxUsedProofs, d.now)
	now := d.now()
	recalled := 0
	err := audit.ProofsIn(ctx, cfg.Audit.File, now.Add(-proofLife), func(mark [32]byte, at time.Time) error {
		recalled++
		return d.proofs.Recall(mark, at.Add(proofLife))
	})
	switch {
	case err == nil:
		if recalled > 0 {
			d.log.Info("used proofs of WIT-SVIDs recalled from the audit record", "proofs", recalled)
		}
	case errors.Is(err, audit.ErrStream), errors.Is(err, audit.ErrTooMuch), errors.Is(err, replay.ErrFull):
		d.proofsSince = now.Add(svidgate.ProofWindow)
		d.log.Warn("which proofs of WIT-SVIDs were used before cannot be read back: those made before a time are refused", "made_before", d.proofsSince.UTC().Format(time.RFC3339), "error", err.Error())
	default:
		return fmt.Errorf("daemon: used proofs of WIT-SVIDs: %w", err)
	}
	return nil
}

// newChallenges makes a key for challenges. It lives as long as the process: a
// challenge from before a restart is answered with a fresh one.
func (d *Daemon) newChallenges() error {
	var key [challenge.KeySize]byte
	if _, err := rand.Read(key[:]); err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	d.challenges = challenge.New(key, d.now)
	return nil
}
