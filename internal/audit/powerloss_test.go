package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/powerloss"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/oauth"
)

// A promise is what was decided, written, recorded and then answered: from then on it
// holds, whatever happens to the power.
type promise struct {
	id       string // of the request in the audit record
	position int    // of the disk when it was answered
	holds    func(context.Context, *sqlite.Store) error
}

// A clerk decides as requests do, on a store and an audit record: first uses, blocks,
// codes, refresh tokens and revocations.
type clerk struct {
	store *sqlite.Store
	log   *audit.Log
	file  string // of log
	disk  *powerloss.Disk
	now   time.Time

	mu       sync.Mutex
	promises []promise // guarded by mu
}

// decide writes, records, and only then answers.
func (c *clerk) decide(id, event string, write func(context.Context) error, holds func(context.Context, *sqlite.Store) error) error {
	ctx := context.Background()
	if err := write(ctx); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if _, err := c.log.Record(ctx, audit.Event{Event: event, Outcome: audit.Granted, RequestID: id}); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	position := c.disk.Position()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.promises = append(c.promises, promise{id, position, holds})
	return nil
}

// Stages of a grant: what comes later includes what was before.
const (
	granted = iota
	redeemed
	rotated // and so many more times
	revoked = 1000
)

func stageOf(g authorization.Grant, id string) int {
	if g.Revoked {
		return revoked
	}
	if !g.Code.Redeemed {
		return granted
	}
	for n := range 10 {
		if g.Refresh.Current == refreshDigest(id, n) {
			return redeemed + n
		}
	}
	return -1
}

func refreshDigest(id string, n int) authorization.Digest {
	return sha256.Sum256(fmt.Appendf(nil, "refresh token %d of %s", n, id))
}

func (c *clerk) atLeast(id string, stage int) func(context.Context, *sqlite.Store) error {
	return func(ctx context.Context, s *sqlite.Store) error {
		g, err := s.Authorizations().ByID(ctx, id, c.now)
		if err == nil && stageOf(g, id) < stage {
			err = fmt.Errorf("its stage is %d, and was %d", stageOf(g, id), stage)
		}
		return err
	}
}

// work is one client's: it registers, is granted something, redeems the code, refreshes
// some times, perhaps revokes it, and perhaps is blocked.
func (c *clerk) work(name string, chance *rand.Rand) error {
	quota := registration.Quota{MaxClients: 100_000, Idle: registration.DefaultIdle}
	workload := spiffeid.RequireFromString("spiffe://lab.test/" + name)
	record := registration.Record{
		Kind: registration.FirstUseKind, State: registration.Active, ClientID: workload.String(), SPIFFEID: workload,
		Methods: registration.MethodsOf(oauth.MethodJWT), Created: c.now, Used: c.now,
		Provenance: registration.Provenance{Credential: oauth.MethodJWT, Template: "lab.test[0]"},
	}
	err := c.decide(name+"/register", audit.EventRegister, func(ctx context.Context) error {
		_, _, err := c.store.RegisterClient(ctx, record, quota)
		return err
	}, func(ctx context.Context, s *sqlite.Store) error {
		_, err := s.ClientRecord(ctx, registration.FirstUseKind, workload.String(), workload.String())
		return err
	})
	if err != nil {
		return err
	}
	end := c.now.Add(24 * time.Hour)
	err = c.decide(name+"/grant", audit.EventAuthorize, func(ctx context.Context) error {
		session := login.Session{Digest: sha256.Sum256([]byte("session of " + name)), Person: login.Person{Subject: "corp:" + name, Provider: "corp", AuthTime: c.now}, Started: c.now, Seen: c.now}
		if err := c.store.People().StartSession(ctx, session, session.Digest); err != nil {
			return err
		}
		return c.store.Authorizations().Create(ctx, authorization.Grant{
			ID: name, ClientID: workload.String(), Subject: authorization.Subject{User: session.Subject, AuthTime: c.now}, Scope: []string{"read"}, Resource: "https://api.example.com/",
			IssuedAt: c.now, ExpiresAt: end, Code: authorization.Code{Digest: sha256.Sum256([]byte("code of " + name)), RedirectURI: "https://app.example.com/cb", Challenge: "c", ExpiresAt: end},
		}, authorization.Permission{Session: authorization.Digest(session.Digest)}, authorization.Digest{}, c.now)
	}, c.atLeast(name, granted))
	if err != nil {
		return err
	}
	err = c.decide(name+"/redeem", audit.EventToken, func(ctx context.Context) error {
		return c.store.Authorizations().Redeem(ctx, authorization.Redemption{
			GrantID: name, SPIFFEID: workload.String(), Now: c.now, ExpiresAt: end,
			Refresh: authorization.RefreshState{Family: sha256.Sum256([]byte("family of " + name)), Current: refreshDigest(name, 0), IdleAt: end, ExpiresAt: end},
		})
	}, c.atLeast(name, redeemed))
	if err != nil {
		return err
	}
	for n := range chance.IntN(4) {
		err = c.decide(fmt.Sprintf("%s/refresh-%d", name, n), audit.EventToken, func(ctx context.Context) error {
			_, err := c.store.Authorizations().Rotate(ctx, authorization.Rotation{
				GrantID: name, From: refreshDigest(name, n), To: refreshDigest(name, n+1), Now: c.now, IdleAt: end, ExpiresAt: end,
			})
			return err
		}, c.atLeast(name, rotated+n))
		if err != nil {
			return err
		}
	}
	if chance.IntN(3) == 0 {
		err = c.decide(name+"/revoke", audit.EventRevoke, func(ctx context.Context) error {
			return c.store.Authorizations().Revoke(ctx, name, c.now)
		}, c.atLeast(name, revoked))
		if err != nil {
			return err
		}
	}
	if chance.IntN(3) > 0 {
		return nil
	}
	return c.decide(name+"/block", audit.EventClientBlock, func(ctx context.Context) error {
		return c.store.SetBlock(ctx, registration.Block{Subject: workload.String(), Reason: "r", By: "b", At: c.now})
	}, func(ctx context.Context, s *sqlite.Store) error {
		blocks, err := s.BlocksOf(ctx, workload.String())
		if err == nil && len(blocks) == 0 {
			err = errors.New("it is not blocked")
		}
		return err
	})
}

// AU-6, GL-15: TestPowerLossOfDecisions cuts the power at a random moment of first uses,
// blocks, codes, refresh tokens and revocations, with the store and the audit record
// (fsync: every) on one disk that loses of both what was not synced: both open each
// time, what was answered holds and is in the record, and the chain of the record is
// whole.
func TestPowerLossOfDecisions(t *testing.T) {
	runs := 200
	if testing.Short() {
		runs = 10
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	folder, held, atStake := t.TempDir(), []promise{}, 0
	for run := range runs {
		if run%10 == 0 { // also a store that is just made
			folder, held = t.TempDir(), nil
		}
		folder, held = cutOff(t, chance, folder, held, run, now)
		if t.Failed() {
			t.Fatalf("run %d", run)
		}
		atStake = max(atStake, len(held))
	}
	t.Logf("up to %d promises held over a cut", atStake)
	if atStake < 50 {
		t.Error("hardly anything was at stake")
	}
}

// cutOff opens what a folder holds, holds it to its promises, goes on deciding, and
// cuts the power. It returns what the cut left and what that must hold.
func cutOff(t *testing.T, chance *rand.Rand, folder string, held []promise, run int, now time.Time) (after string, promises []promise) {
	disk, err := powerloss.New()
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	c := &clerk{disk: disk, file: filepath.Join(folder, "audit.jsonl"), now: now}
	c.store, err = sqlite.Open(t.Context(), sqlite.Config{
		Address: "sqlite:" + filepath.Join(folder, "svidgate.db"), Version: "test", Now: func() time.Time { return now }, VFS: disk.VFS(),
	})
	if err != nil {
		t.Fatalf("it does not open: %v", err)
	}
	c.log, err = audit.OpenOn(audit.Config{File: c.file, Fsync: audit.FsyncEvery, Now: func() time.Time { return now }}, func(f *os.File) (audit.File, error) { return disk.File(f) })
	if err != nil {
		t.Fatalf("the audit record does not open: %v", err)
	}
	c.keeps(t, held)

	var deciding sync.WaitGroup
	for i := range 8 {
		r := rand.New(rand.NewPCG(chance.Uint64(), uint64(i)))
		deciding.Go(func() {
			for n := range 2 {
				if err := c.work(fmt.Sprintf("%d/%d/%d", run, i, n), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	deciding.Wait()
	if err := errors.Join(c.log.Close(), c.store.Close()); err != nil {
		t.Fatal(err)
	}

	at := chance.IntN(disk.Position() + 1)
	after = t.TempDir()
	if err := disk.Cut(at, chance, after); err != nil {
		t.Fatal(err)
	}
	promises = held
	for _, p := range c.promises {
		if p.position <= at {
			promises = append(promises, p)
		}
	}
	return after, promises
}

// keeps holds store and record to what was promised.
func (c *clerk) keeps(t *testing.T, promises []promise) {
	t.Helper()
	record, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(bytes.NewReader(record)); err != nil {
		t.Errorf("the audit record: %v", err)
	}
	for _, p := range promises {
		if err := p.holds(t.Context(), c.store); err != nil {
			t.Errorf("%s was answered, and after the cut: %v", p.id, err)
		}
		if !bytes.Contains(record, []byte(`"`+p.id+`"`)) {
			t.Errorf("%s was answered and is not in the audit record", p.id)
		}
	}
}
