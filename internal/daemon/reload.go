package daemon

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/config"
)

var (
	errStopping = errors.New("the server is stopping")
	errNoFile   = errors.New("this server was not started from a configuration file")
)

// Reload reads the configuration again and puts it into force: all of it, or,
// with an error, nothing. The error is config.Faults where the file is at fault.
// Requests that are being answered end by the configuration they began with.
//
// What was counted, remembered and fetched before goes on: the limits, the
// assertions that were used, the bundles of trust domains that stay. The log and
// the metrics tell how it ended; why says who asked.
func (d *Daemon) Reload(why string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	err := d.reload()
	d.tell(why, err)
	return err
}

// tell logs how a reload ended; its caller holds changing. What failed as it did
// before is said once.
func (d *Daemon) tell(why string, err error) {
	d.current.Load().server.FileRefused(err != nil)
	if err == nil {
		d.notLoaded = ""
		d.log.Info("configuration reloaded", "why", why)
		return
	}
	if text := err.Error(); text != d.notLoaded {
		d.notLoaded = text
		for line := range strings.Lines(text) {
			d.log.Error("configuration not reloaded, the one in force stays", "why", why, "error", strings.TrimSuffix(line, "\n"))
		}
	}
}

// reload is Reload; its caller holds changing.
func (d *Daemon) reload() error {
	if d.stopped {
		return errStopping
	}
	if d.options.Load == nil {
		return errNoFile
	}
	running := d.current.Load()
	next, err := d.options.Load()
	if err != nil {
		return err
	}
	if faults := running.config.NeedsRestart(next); len(faults) > 0 {
		return config.Faults(faults)
	}
	domains, sources, err := d.trustDomains(next)
	if err != nil {
		return err
	}
	generation, err := d.generation(next, running)
	if err != nil {
		return err
	}
	if err := d.keys.Configure(d.keysConfig(next)); err != nil {
		return err
	}
	if err := d.bundles.Replace(domains); err != nil {
		return errors.Join(err, d.keys.Configure(d.keysConfig(running.config)))
	}
	d.closeSources(sources)
	d.sources = sources
	d.current.Store(generation)
	if d.options.Level != nil {
		d.options.Level.Set(next.LogLevel)
	}
	d.logWarnings(next)
	return nil
}

// closeSources ends what those sources hold that are not kept; its caller holds
// changing, or is alone.
func (d *Daemon) closeSources(kept map[spiffeid.TrustDomain]sourceInUse) {
	for name, before := range d.sources {
		if closer, ok := before.source.(io.Closer); ok && kept[name].source != before.source {
			closer.Close()
		}
	}
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
			if d.Reload("a file changed") != nil {
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
