package e2e

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/daemon"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A clock can be put forward. A process of its own could not be told, so what
// takes a day runs in this one, from the same configuration file.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func startAt(t *testing.T, c *clock, configuration string, domains ...*domain) *server {
	t.Helper()
	s := prepare(t, configuration, domains...)
	s.stdout, s.stderr, s.ended = s.file(t, "stdout"), s.file(t, "stderr"), make(chan struct{})
	s.log = &tail{path: s.stderr.Name()}
	close(s.ended)
	cfg, err := config.Load(filepath.Join(s.dir, "svidgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(s.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d, err := daemon.Start(t.Context(), cfg, daemon.Options{Log: log, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	s.addresses = d.Addresses()
	t.Cleanup(func() {
		s.lastLook(t)
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		s.inspect(t)
	})
	return s
}

// BE-15: the last good bundle serves for a day of silence and no longer, and
// readiness tells; when the source is back, so is the trust domain.
func TestBundleTooOld(t *testing.T) {
	t.Parallel()
	c := &clock{}
	td := newDomain(t, "example.org", devca.Options{Now: c.now})
	s := startAt(t, c, worldConfig, td)
	ask := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
	s.granted(t, ask())
	td.status.Store(&answers{http.StatusServiceUnavailable})
	before := td.fetches.Load()
	until(t, "a failed poll", func() bool { return td.fetches.Load() > before })
	c.forward(23 * time.Hour)
	s.granted(t, ask())
	s.granted(t, s.ordersOf(t, td))
	c.forward(2 * time.Hour)
	tooOld := refusal{"invalid_client", oauth.ReasonBundleTooOld, "BE-15"}
	s.refused(t, ask(), tooOld)
	s.refused(t, s.ordersOf(t, td), tooOld)
	if resp, body := s.status(t, "/readyz"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "bundle_too_old") {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}
	td.status.Store(nil)
	until(t, "readiness on", func() bool {
		resp, _ := s.status(t, "/readyz")
		return resp.StatusCode == http.StatusOK
	})
	s.granted(t, ask())
}

// JS-10, XS-22: the boundaries of time, to the second. SVIDs get a leeway of a
// minute, certificates none.
func TestBoundariesOfTime(t *testing.T) {
	c := &clock{}
	td := newDomain(t, "example.org", devca.Options{Now: c.now})
	td.more = ", max_stale: 0"
	s := startAt(t, c, worldConfig, td)
	assertion, cert := td.jwt(t, "/billing", issuer), td.svid(t, "/orders")
	jwt := withJWT(td.id("/billing"), assertion)
	orders := call{cert: cert, form: form("client_id", td.id("/orders"))}
	s.granted(t, jwt)
	c.forward(5*time.Minute + 50*time.Second) // exp was after 5 minutes
	s.granted(t, jwt)
	c.forward(11 * time.Second)
	s.refused(t, jwt, refusal{"invalid_client", oauth.ReasonExpired, "CJ-5"})
	s.granted(t, orders)
	c.forward(time.Hour - 6*time.Minute - 20*time.Second)
	if g := s.granted(t, orders); g.number("exp") != cert.Leaf.NotAfter.Unix() {
		t.Errorf("MT-4 exp %d, the certificate's end %d", g.number("exp"), cert.Leaf.NotAfter.Unix())
	}
	c.forward(25 * time.Second)
	s.refused(t, orders, refusal{"invalid_client", oauth.ReasonExpired, "XS-22"})
}
