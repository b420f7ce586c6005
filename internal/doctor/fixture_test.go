package doctor

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devenv"
	"github.com/svidgate/svidgate/oauth"
)

// healthy is an environment in which everything is in order, and how to look at it.
func healthy(t *testing.T) (*devenv.Environment, Config) {
	t.Helper()
	dir, err := os.MkdirTemp("", "doc") // short: a socket's name has its limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e, err := devenv.Start(t.Context(), devenv.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, Config{
		Issuer: e.Issuer, RootCAs: e.Roots, CAFile: e.CAFile, Socket: e.SocketAddr, Hint: "billing",
		AdminSocket: filepath.Join(dir, "svidgate-admin.sock"), StatusURL: e.StatusURL,
	}
}

// examine runs every check and gives the findings by their names. What holds for
// all of them is looked at here.
func examine(t *testing.T, c Config) map[string]Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := 0
	all, err := Examine(ctx, c, func(Finding) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(checks) || told != len(all) {
		t.Errorf("%d findings, %d told, of %d checks", len(all), told, len(checks))
	}
	by := map[string]Finding{}
	for _, f := range all {
		by[f.Check] = f
		if f.Found == "" || (f.Outcome == Failed) != (f.Next != "") {
			t.Errorf("%+v says not what was found, or what to do next", f)
		}
		for _, text := range []string{f.Found, f.Next} {
			if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) || text != oauth.Redact(text) {
				t.Errorf("%s: %q is not fit to print", f.Check, text)
			}
		}
	}
	return by
}

// wants compares one finding.
func wants(t *testing.T, by map[string]Finding, check string, outcome oauth.Outcome, found, next string) {
	t.Helper()
	f := by[check]
	if f.Outcome != outcome || !strings.Contains(f.Found, found) || !strings.Contains(f.Next, next) {
		t.Errorf("%s: %s, %q, next %q; want %s, %q, next %q", check, f.Outcome, f.Found, f.Next, outcome, found, next)
	}
}

// fails are the checks that failed, in their order.
func fails(by map[string]Finding) string {
	var ids []string
	for _, c := range checks {
		if by[c.id].Outcome == Failed {
			ids = append(ids, c.id)
		}
	}
	return strings.Join(ids, " ")
}

// A stranger is a TLS server that is no svidgate, with a CA of its own.
func stranger(t *testing.T, ca *devca.ServerCA, handler http.Handler, hosts ...string) (issuer string) {
	t.Helper()
	pair, err := ca.Certificate(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func newServerCA(t *testing.T, now func() time.Time) *devca.ServerCA {
	t.Helper()
	ca, err := devca.NewServerCA(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
