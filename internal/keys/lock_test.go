package keys

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svidgate/svidgate/internal/filelock"
	"github.com/svidgate/svidgate/internal/jose"
)

// KR-3: anybody who may read the folder may lock it, and keeps no leaked key in
// use by that.
func TestKR3ALockedFolderHoldsUpNothing(t *testing.T) {
	path := keyFile(t)
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	ring := open(t, path, "")
	leaked := ring.Signer().KeyID
	if _, err := ring.Remove(leaked); err != nil || ring.Signer().KeyID == leaked {
		t.Errorf("%v, %v", ring, err)
	}
	if _, err := Open(Config{File: path, LongestToken: 48 * time.Hour}); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(path + ".lock"); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file that is locked is %v, %v", info, err)
	}
}

// Whoever has put a lock file there that others can lock is named, and no change
// goes on without a lock.
func TestALockFileOfOthersIsRefused(t *testing.T) {
	path := keyFile(t)
	ring := open(t, path, "")
	before := ring.Signer().KeyID
	if err := os.Chmod(path+".lock", 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Rotate(true); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path+".lock") || ring.Signer().KeyID != before {
		t.Errorf("%v, %v", ring, err)
	}
	if err := os.Chmod(path+".lock", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Rotate(true); err != nil || ring.Signer().KeyID == before {
		t.Errorf("%v, %v", ring, err)
	}
}

// A change waits for the lock ten seconds. What needs no change does not wait: a
// start, a configuration that changes nothing, and what another process did.
func TestKR3ReadingNeedsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 30 * time.Second}
		ring, stop := running(t, cfg)
		other, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		leaked := ring.Signer().KeyID
		if _, err := other.Remove(leaked); err != nil {
			t.Fatal(err)
		}
		unlock, err := filelock.Take(t.Context(), cfg.File+".lock")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := Open(cfg); err != nil {
			t.Error(err)
		}
		if err := other.Configure(cfg); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it waited %v", waited)
		}
		time.Sleep(ring.CacheFor())
		synctest.Wait()
		if ring.Signer().KeyID != other.Signer().KeyID || bytes.Contains(ring.JWKS(), []byte(leaked)) {
			t.Errorf("%v, not %v", ring, other)
		}
		start = time.Now()
		if _, err := other.Rotate(false); err == nil || !strings.Contains(err.Error(), cfg.File+".lock: another process has locked it") {
			t.Errorf("the error is %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("it waited %v", waited)
		}
		unlock()
		if _, err := other.Rotate(false); err != nil {
			t.Error(err)
		}
		stop()
	})
}

// KR-3: a change that is in the file, though its folder cannot be synced, is in
// use, and the caller knows that a crash may undo it.
func TestKR3TheFolderCannotBeSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 30 * time.Second, LongestToken: 5 * time.Minute}
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		errDisk, syncs := errors.New("the disk is broken"), 0
		broken := func(string) error { syncs++; return errDisk }
		ring.keeper.sync = broken
		for what, call := range map[string]func(leaked string) (Change, error){
			"Rotate": func(string) (Change, error) { return ring.Rotate(true) },
			"Remove": func(leaked string) (Change, error) { return ring.Remove(leaked) },
		} {
			before := ring.Signer().KeyID
			c, err := call(before)
			if !errors.Is(err, ErrUnsynced) || !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "keys: the change is made, but") {
				t.Errorf("%s: the error is %v", what, err)
			}
			if ring.Signer().KeyID == before || c.Key.ID == "" || len(c.Steps) != 2 {
				t.Errorf("%s: %v, %+v", what, ring, c)
			}
			onDisk, err := Open(cfg)
			if err != nil || !bytes.Equal(onDisk.JWKS(), ring.JWKS()) {
				t.Errorf("%s: on disk is %v, %v", what, onDisk, err)
			}
		}
		// A configuration is not in force before it is on disk for good.
		longer := cfg
		longer.LongestToken = time.Hour
		if err := ring.Configure(longer); !errors.Is(err, ErrUnsynced) || ring.keeper.config.LongestToken != cfg.LongestToken {
			t.Errorf("the error is %v", err)
		}
		// It is tried again until it is done, and then no more.
		stop := run(t, ring)
		time.Sleep(time.Minute)
		synctest.Wait()
		if syncs < 7 {
			t.Errorf("%d times", syncs)
		}
		stop()
		mended := 0
		ring.keeper.sync = func(path string) error { mended++; return syncFolder(path) }
		stop = run(t, ring)
		time.Sleep(time.Minute)
		synctest.Wait()
		if mended != 1 || ring.keeper.unsynced {
			t.Errorf("%d times", mended)
		}
		if err := ring.Configure(longer); err != nil {
			t.Error(err)
		}
		stop()
	})
}

// Rotation that finds no room holds up nothing that was asked for, and goes on
// when there is room.
func TestKR2ThereIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &output{line: make(chan struct{})}
		cfg := Config{File: keyFile(t), Algorithm: jose.EdDSA, Log: slog.New(slog.NewTextHandler(log, nil))}
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		d := ring.keeper.view.Load().content.clone()
		for len(d.keys) < maxKeys {
			old, err := makeKey(jose.EdDSA, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			old.state, old.longest = StateRetiring, 24*time.Hour
			old.due = old.end(time.Now())
			d.keys = append(d.keys, old)
		}
		if _, err := writeFile(cfg.File, d); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		cfg.RotateEvery, cfg.LongestToken = 2*time.Hour, 36*time.Hour // due for an hour
		if err := ring.Configure(cfg); err != nil || ring.keeper.config.RotateEvery != cfg.RotateEvery || len(ring.List()) != maxKeys {
			t.Fatalf("%d keys, %v", len(ring.List()), err)
		}
		if _, _, err := readFile(cfg.File); err != nil {
			t.Error(err)
		}
		asked := cfg
		asked.Algorithm = jose.ES256
		if err := ring.Configure(asked); !errors.Is(err, errNoRoom) || ring.keeper.config.Algorithm != jose.EdDSA {
			t.Errorf("another algorithm: the error is %v", err)
		}
		if _, err := ring.Rotate(false); !errors.Is(err, errNoRoom) || len(ring.List()) != maxKeys {
			t.Errorf("another key: %d, %v", len(ring.List()), err)
		}
		stop := run(t, ring)
		before := strings.Count(log.String(), "the next signing key was not made")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if lines := strings.Count(log.String(), "the next signing key was not made") - before; lines < 9 || lines > 12 {
			t.Errorf("it is said %d times in ten minutes", lines)
		}
		if _, err := ring.Remove(ring.List()[maxKeys-1].ID); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if list := ring.List(); len(list) != maxKeys || list[1].State != StatePending {
			t.Errorf("%d keys", len(list))
		}
		stop()
	})
}
