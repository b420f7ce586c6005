package devenv

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// DP-6: a workload with a key-bound token is served by an API that has just begun: the
// first call is sent twice, the second time with the nonce, and the next ones once.
func TestAPIThatHasJustBegun(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := Start(t.Context(), Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	keys, err := resource.NewRemoteKeys(resource.RemoteKeysConfig{Issuer: e.Issuer, RootCAs: e.Roots, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { keys.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })

	var calls, served atomic.Int64
	var guarded http.Handler
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		guarded.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	begun := false
	now := func() time.Time {
		if !begun { // a minute ahead, so that its ten seconds are not over on the slowest machine
			begun = true
			return time.Now().Add(time.Minute)
		}
		return time.Now()
	}
	verifier, err := resource.New(resource.Config{Resource: e.Resource, Origins: []string{api.URL}, Issuers: []resource.KeySource{keys}, Now: now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	guarded = verifier.Require(Scope)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))

	source, err := workload.Open(t.Context(), workload.Config{Address: e.SocketAddr, SPIFFEID: Shipping})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	c, err := client.New(t.Context(), client.Config{Issuer: e.Issuer, Credentials: source.Credentials(), Method: oauth.MethodWIT, RootCAs: e.Roots})
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: c.Transport(api.Client().Transport, client.Request{Resource: e.Resource, Scope: Scope}, api.URL)}
	for n := range int64(3) {
		resp, err := hc.Get(api.URL + "/books?n=1")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || served.Load() != n+1 || calls.Load() != n+2 {
			t.Errorf("call %d: got %d, %d served of %d", n, resp.StatusCode, served.Load(), calls.Load())
		}
	}
}
