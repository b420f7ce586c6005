package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/daemon"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/oauth"
)

const (
	length     = 24 * time.Hour
	fullDay    = 864_000
	workers    = 8 // connections
	known      = 2_000
	withWIT    = 80
	mostSteps  = int(length / (10 * time.Second))
	leastBatch = 16 // tokens of a step
)

// marks are the hours at which it is looked at.
var marks = []int{1, 6, 12, 18, 24}

// A day is one run.
type day struct {
	clock  *clock
	world  *world.World
	state  string
	daemon *daemon.Daemon
	node   *sqlite.Store // the store as another server process of it has it open
	person atomic.Pointer[world.Person]
	public netip.AddrPort

	tokens  int // of the day
	workers []*worker
	serial  atomic.Uint64
	came    atomic.Int64 // newcomers so far
	due     int64        // newcomers by now
	looks   []look
	seen    func(look)
}

// begin starts the daemon.
func begin(ctx context.Context, dir string, tokens int) (_ *day, err error) {
	d := &day{clock: newClock(), state: filepath.Join(dir, "state"), tokens: tokens, seen: func(look) {}}
	defer func() {
		if err != nil {
			d.end()
		}
	}()
	if d.world, err = world.Make(filepath.Join(dir, "world"), 1); err != nil {
		return nil, err
	}
	d.world.Now = d.clock.Now
	cfg, err := d.config()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if d.node, err = sqlite.Open(ctx, sqlite.Config{Address: cfg.Store.Address(), Now: d.clock.Now, Log: log}); err != nil {
		return nil, err
	}
	if err := world.AddPerson(ctx, d.node.People(), d.clock.Now); err != nil {
		return nil, err
	}
	if d.daemon, err = daemon.Start(ctx, cfg, daemon.Options{Log: log, Now: d.clock.Now}); err != nil {
		return nil, err
	}
	if d.public, err = load.Target(d.daemon.Addresses()[daemon.Public]); err != nil {
		return nil, err
	}
	mtls, err := load.Target(d.daemon.Addresses()[daemon.MTLS])
	if err != nil {
		return nil, err
	}
	for n := range workers {
		d.workers = append(d.workers, newWorker(d, n, d.dialer(d.public, d.world.TLS()), d.dialer(mtls, d.world.MutualTLS(n))))
	}
	return d, nil
}

func (d *day) dialer(target netip.AddrPort, config *tls.Config) load.Dialer {
	config.Time, config.ServerName, config.NextProtos = d.clock.Now, target.Addr().String(), []string{"http/1.1"}
	return load.Dialer{Target: target, TLS: config, Timeout: time.Minute}
}

func (d *day) config() (*config.Config, error) {
	s := world.Anywhere
	s.OnDisk, s.FirstUse, s.People = true, true, true
	s.More = "refresh_token: {idle: 30m, lifetime: 1h}"
	cfg, err := d.world.Config(d.state, known, 1, s)
	if err != nil {
		return nil, err
	}
	for n := range withWIT {
		c := cfg.Clients[n]
		c.ClientID = d.world.JWTClient(known + n)
		if c.SPIFFEID, err = svidgate.ParsePattern(c.ClientID); err != nil {
			return nil, err
		}
		c.Methods = []oauth.AuthMethod{oauth.MethodWIT}
		cfg.Clients = append(cfg.Clients, c)
	}
	cfg.Listen.Status = "127.0.0.1:0"
	// Bundle files are read again by the time that really passes.
	cfg.TrustDomains[0].MaxStale = 2 * length
	return cfg, nil
}

func (d *day) end() {
	for _, w := range d.workers {
		w.close()
	}
	if p := d.person.Load(); p != nil {
		p.Close()
	}
	if d.daemon != nil {
		d.daemon.Stop()
	}
	if d.node != nil {
		d.node.Close()
	}
}

// live lets the day pass.
func (d *day) live(ctx context.Context) error {
	steps := max(1, min(mostSteps, d.tokens/leastBatch))
	for step := range steps {
		before := d.clock.elapsed()
		now := length * time.Duration(step+1) / time.Duration(steps)
		d.clock.set(now)
		d.due = d.newcomersBy(now)
		if step == 0 || before.Truncate(time.Hour) != now.Truncate(time.Hour) && now < length {
			if err := d.signIn(ctx); err != nil {
				return err
			}
		}
		// The daemon does it each minute that really passes, which is hours of this day.
		if before.Truncate(time.Minute) != now.Truncate(time.Minute) {
			if err := d.node.Expire(ctx); err != nil {
				return err
			}
		}
		if err := d.work(ctx, float64(step+1)/float64(steps)); err != nil {
			return fmt.Errorf("after %s: %w", now.Round(time.Second), err)
		}
		for _, hour := range marks {
			if at := time.Duration(hour) * time.Hour; before < at && at <= now {
				l, err := d.look(ctx, hour)
				if err != nil {
					return err
				}
				d.looks = append(d.looks, l)
				d.seen(l)
			}
		}
	}
	return nil
}

// signIn begins a session in another browser.
func (d *day) signIn(ctx context.Context) error {
	p := d.world.Person(d.public)
	if err := p.SignIn(ctx); err != nil {
		return err
	}
	before := d.person.Swap(p)
	if before == nil { // it is the first one
		return p.Agree(ctx)
	}
	before.Close()
	return nil
}

// work has all workers do their part up to that share of the day.
func (d *day) work(ctx context.Context, share float64) error {
	var working sync.WaitGroup
	errs := make([]error, len(d.workers))
	for n, w := range d.workers {
		working.Go(func() { errs[n] = w.until(ctx, int(share*float64(d.tokens)/workers)) })
	}
	working.Wait()
	return errors.Join(errs...)
}

// newcomersBy is how many workloads have come that register on first use: 4,000 in
// the first five hours, which is a roll-out, and then ten an hour. Clients that
// registered do not end within a day, so there are that many more records.
func (d *day) newcomersBy(now time.Duration) int64 {
	const rollout = 5 * time.Hour
	n := 4000*min(1, now.Hours()/rollout.Hours()) + 10*max(0, (now-rollout).Hours())
	return int64(n * min(1, float64(d.tokens)/fullDay*4))
}

// newcomers is how many there have been.
func (d *day) newcomers() int { return int(d.came.Load()) }

// sum says what was done.
func (d *day) sum() string {
	var all [kinds]int
	tokens := 0
	for _, w := range d.workers {
		tokens += w.tokens
		for k, n := range w.done {
			all[k] += n
		}
	}
	text := fmt.Sprintf("%d tokens in 24 simulated hours", tokens)
	for k, n := range all {
		text += fmt.Sprintf(", %d %s", n, kindNames[k])
	}
	return text
}

// hourly is the look at an hour.
func hourly(looks []look, hour int) (look, bool) {
	i := slices.IndexFunc(looks, func(l look) bool { return l.hour == hour })
	if i < 0 {
		return look{}, false
	}
	return looks[i], true
}
