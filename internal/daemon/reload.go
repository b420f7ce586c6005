package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/config"
)

var (
	errStopping = errors.New("the server is stopping")
	errNoFile   = errors.New("this server was not started from a configuration file")
	errMoving   = errors.New("the configuration changes all the time")
)

// Who asks for a reload, for log and audit record.
const (
	byHangup = "SIGHUP"
	byWatch  = "a file changed"
)

// Reload reads the configuration again and puts it into force: all of it, or,
// with an error, nothing. The error is config.Faults where the file is at fault.
// Requests that are being answered end by the configuration they began with.
//
// What was counted, remembered and fetched before goes on: the limits, the
// assertions that were used, the bundles of trust domains that stay. A trust
// domain that gets another source begins with that source's bundle; a source that
// gives none is a reason to refuse, because the one in force is a good one. The
// certificate of the listeners is read again, too.
//
// Log, metrics and audit record tell how it ended; why says who asked.
func (d *Daemon) Reload(why string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	err := d.reload()
	d.tell(why, err)
	if err != nil {
		return err
	}
	return d.recordReload(why)
}

// tell logs how a reload ended; its caller holds changing. What failed as it did
// before, and nobody asked for, is said once.
func (d *Daemon) tell(why string, err error) {
	d.current.Load().server.FileRefused(err != nil)
	if err == nil {
		d.notLoaded = ""
		d.log.Info("configuration reloaded", "why", why)
		return
	}
	text := err.Error()
	if text == d.notLoaded && why == byWatch {
		return
	}
	d.notLoaded = text
	for line := range strings.Lines(text) {
		d.log.Error("configuration not reloaded, the one in force stays", "why", why, "error", strings.TrimSuffix(line, "\n"))
	}
}

// recordReload keeps in the audit record that other rules are in force. They are
// already: that it could not be recorded is an error for whoever asked.
func (d *Daemon) recordReload(why string) error {
	_, err := d.audit.Record(context.Background(), audit.Event{Event: audit.EventReload, Outcome: audit.Granted, RequestID: rand.Text(), Source: why})
	if err != nil {
		d.log.Error("the reload could not be recorded", "error", err.Error())
		return fmt.Errorf("the configuration is in force, but that could not be recorded: %w", err)
	}
	return nil
}

// reload is Reload; its caller holds changing.
func (d *Daemon) reload() error {
	if d.stopping.Load() {
		return errStopping
	}
	if d.options.Load == nil {
		return errNoFile
	}
	running := d.current.Load()
	next, err := d.load()
	if err != nil {
		return err
	}
	if faults := running.config.NeedsRestart(next); len(faults) > 0 {
		return faults
	}
	pair, err := d.certificate.read()
	if err != nil {
		return err
	}
	domains, sources, err := d.trustDomains(next)
	if err != nil {
		return err
	}
	if err := d.firstBundles(domains, sources); err != nil {
		return err
	}
	generation, err := d.generation(next, running)
	if err != nil {
		return err
	}
	// From here on what is in force changes; only the first step can fail. Keys
	// that stay as they are are not touched: whatever is wrong with their file must
	// not keep a client from being cut off.
	if before, after := keysOf(running.config), keysOf(next); before != after {
		if err := d.keys.Configure(d.keysConfig(next)); err != nil {
			return err
		}
	}
	if err := d.bundles.Replace(domains); err != nil {
		return errors.Join(err, d.keys.Configure(d.keysConfig(running.config)))
	}
	d.useSources(sources)
	d.sightings.Expect(trustDomainNames(next))
	d.ledger.Expect(idleTimes(next))
	d.certificate.use(pair)
	d.current.Store(generation)
	if d.options.Level != nil {
		d.options.Level.Set(next.LogLevel)
	}
	d.logWarnings(next)
	return nil
}

// load reads the configuration, all of its files in one state: a change in the
// middle could mix two configurations.
func (d *Daemon) load() (*config.Config, error) {
	for range 3 {
		next, err := d.options.Load()
		if err != nil {
			return nil, err
		}
		if _, changed := next.Changed(); !changed {
			return next, nil
		}
	}
	return nil, errMoving
}

// keySettings are what of a configuration concerns the signing keys.
type keySettings struct {
	keys    config.Keys
	token   config.AccessToken
	longest time.Duration
}

func keysOf(cfg *config.Config) keySettings {
	return keySettings{cfg.Keys, cfg.AccessToken, longestToken(cfg)}
}

// firstBundles asks each source that takes the place of another one.
func (d *Daemon) firstBundles(domains []bundle.TrustDomain, sources map[spiffeid.TrustDomain]sourceInUse) error {
	ctx, cancel := context.WithTimeout(context.Background(), firstFetch)
	defer cancel()
	var (
		asked  sync.WaitGroup
		faults = make([]error, len(domains))
	)
	for i := range domains {
		td := &domains[i]
		before, ok := d.sources[td.Name]
		if !ok || before.source.Origin() == sources[td.Name].source.Origin() {
			continue
		}
		asked.Go(func() {
			started := d.now()
			document, err := d.bundles.Ask(ctx, td.Name, td.Source)
			if err == nil {
				td.First, err = bundle.Parse(td.Name, document.Bytes, started)
			}
			log := d.log.With("trust_domain", td.Name.Name(), "origin", td.Source.Origin(), "redirects", document.Redirects) // BE-18
			if err == nil {
				sequence, _ := td.First.Sequence()
				log.Info("new source of a bundle asked", "sequence", sequence, "outcome", "taken")
			} else {
				log.Warn("new source of a bundle asked", "error", err.Error(), "outcome", "refused")
				faults[i] = fmt.Errorf("trust domain %s: its new source gives no bundle: %w", td.Name.Name(), err)
			}
		})
	}
	asked.Wait()
	return errors.Join(faults...)
}

// useSources takes over other sources; its caller holds changing, or is alone.
func (d *Daemon) useSources(next map[spiffeid.TrustDomain]sourceInUse) {
	for name, before := range d.sources {
		if closer, ok := before.source.(io.Closer); ok && next[name].source != before.source {
			closer.Close()
		}
	}
	for name, s := range next {
		if d.sources[name].source != s.source {
			d.log.Info("trust domain", "trust_domain", name.Name(), "source", s.kind, "origin", s.source.Origin())
		}
	}
	d.sources = next
}

const (
	watchEvery = time.Second     // how often the files of the configuration are looked at
	tryAgain   = 5 * time.Second // how long a file that did not load rests before it is read again
)

// watch reloads when a file of the configuration has changed and then stayed the
// same for a moment, so that half a file is not read.
func (d *Daemon) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var (
		seen, failed string // what the files were, at the look before and when they did not load
		next         time.Time
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch now, changed := d.current.Load().config.Changed(); {
		case !changed:
			seen, failed = "", ""
			d.forget()
		case now != seen:
			seen = now
		case now == failed && time.Now().Before(next):
		default: // also again: what was missing may have come, in a file that is not known yet
			if d.Reload(byWatch) != nil {
				failed, next = now, time.Now().Add(tryAgain)
			}
		}
	}
}

// forget ends the alarm of a file that did not load and was put back.
func (d *Daemon) forget() {
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.notLoaded != "" {
		d.notLoaded = ""
		d.current.Load().server.FileRefused(false)
		d.log.Info("configuration is again the one in force")
	}
}
