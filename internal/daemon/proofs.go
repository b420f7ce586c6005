package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
// has them: no token left without its line. Where it cannot be read back, or the store
// says that this server wrote another one before, nobody knows, and proofs that may have been used then are refused: those that were made
// until a window after now.
func (d *Daemon) recallProofs(ctx context.Context, cfg *config.Config) error {
	d.proofs = replay.New(maxUsedProofs, d.now)
	now := d.now()
	recalled := 0
	err := audit.ProofsIn(ctx, cfg.Audit.File, now.Add(-proofLife), func(mark [32]byte, at time.Time) error {
		recalled++
		return d.proofs.Recall(mark, at.Add(proofLife))
	})
	if err == nil && cfg.Store.File != "" {
		err = d.sameRecord(ctx, cfg.Audit.File, now)
	}
	switch {
	case err == nil:
		if recalled > 0 {
			d.log.Info("used proofs of WIT-SVIDs recalled from the audit record", "proofs", recalled)
		}
	case errors.Is(err, audit.ErrStream), errors.Is(err, audit.ErrTooMuch), errors.Is(err, replay.ErrFull), errors.Is(err, errOtherRecord):
		d.proofsSince = now.Add(svidgate.ProofWindow)
		d.log.Warn("which proofs of WIT-SVIDs were used before cannot be read back: those made before a time are refused", "made_before", d.proofsSince.UTC().Format(time.RFC3339), "error", err.Error())
	default:
		return fmt.Errorf("daemon: used proofs of WIT-SVIDs: %w", err)
	}
	if cfg.Store.File == "" { // it knows of no start but this one
		return nil
	}
	if err := d.noteRecord(ctx, cfg.Audit.File, now); err != nil {
		return fmt.Errorf("daemon: used proofs of WIT-SVIDs: %w", err)
	}
	return nil
}

// errOtherRecord says that the record is not the one of the start before: it was
// moved, cut, or another one is configured.
var errOtherRecord = errors.New("the audit record is not the one that this server wrote before")

// A recordMark is what the store keeps of a start, so that the next one knows
// whether it has the record that this one wrote.
type recordMark struct {
	First   string    `json:"first"` // names the record; empty: it had no line yet
	Started time.Time `json:"started"`
	Since   time.Time `json:"since"` // from when on proofs were remembered; zero: always
}

// sameRecord is errOtherRecord unless the record is the one of the start before, or
// there was none. What that start did not know, this one does not know either.
func (d *Daemon) sameRecord(ctx context.Context, file string, now time.Time) error {
	content, version, err := d.store.UsedProofs().Read(ctx)
	if err != nil || version == 0 {
		return err
	}
	var before recordMark
	if err := json.Unmarshal(content, &before); err != nil {
		return fmt.Errorf("%w: %w", errOtherRecord, err)
	}
	first, at, err := audit.First(file)
	if err != nil {
		return err
	}
	same := first == before.First
	if before.First == "" { // that start has begun it
		same = first != "" && !at.Before(before.Started.Truncate(time.Microsecond))
	}
	if !same {
		return errOtherRecord
	}
	if before.Since.After(now.Add(-svidgate.ProofWindow)) {
		d.proofsSince = before.Since
	}
	return nil
}

// noteRecord keeps for the next start which record this one goes on with.
func (d *Daemon) noteRecord(ctx context.Context, file string, now time.Time) error {
	mark := recordMark{Started: now.Round(0), Since: d.proofsSince.Round(0)}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		if mark.First, _, err = audit.First(file); err != nil {
			return err
		}
	}
	content, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	document := d.store.UsedProofs()
	for range 3 { // another process may have the store open
		_, version, err := document.Read(ctx)
		if err != nil {
			return err
		}
		if replaced, err := document.Replace(ctx, version, content); replaced || err != nil {
			return err
		}
	}
	return errors.New("the store is written by others all the time")
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
