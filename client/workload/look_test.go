package workload_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	svids "github.com/svidgate/svidgate/client/workload"
)

func TestLook(t *testing.T) {
	path := socketPath(t)
	d := newDomain(t, path)
	start(t, d)
	v, err := svids.Look(t.Context(), d.SocketAddr(), "https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	td := spiffeid.RequireTrustDomainFromString("example.org")
	if len(v.X509SVIDs) != 2 || v.X509SVIDs[0].ID.Path() != "/billing" || v.X509SVIDs[1].Hint != "external" ||
		len(v.JWTSVIDs) != 2 || !v.X509Bundles.Has(td) || !v.JWTBundles.Has(td) || v.Address != d.SocketAddr() {
		t.Errorf("%+v", v)
	}
	var printed strings.Builder
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("x", "view", v)
	fmt.Fprintf(&printed, "%v %+v %#v %s", v, *v, v, v)
	if strings.Contains(printed.String(), "eyJ") || strings.Contains(printed.String(), "PrivateKey") || !strings.Contains(printed.String(), "2 X.509-SVIDs, 2 JWT-SVIDs") {
		t.Errorf("AU-2 printed as %s", printed.String())
	}
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", d.SocketAddr())
	if v, err := svids.Look(t.Context(), "", ""); err != nil || len(v.X509SVIDs) != 2 || v.JWTSVIDs != nil {
		t.Errorf("CL-1 from the environment, without an audience: %+v, %v", v, err)
	}
}

// Each way to have nothing says which one it is, and at once.
func TestLookFinds(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	denied := socketPath(t)
	deny(t, denied, codes.PermissionDenied)
	silent := socketPath(t)
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, row := range []struct {
		name, address string
		want          error
		says          string
	}{
		{"no address", "", svids.ErrNoAddress, "SPIFFE_ENDPOINT_SOCKET"},
		{"no socket", "unix://" + filepath.Join(t.TempDir(), "none"), svids.ErrUnreachable, "is the agent running"},
		{"no identity", "unix://" + denied, svids.ErrNoIdentity, "is the workload registered"},
		{"an address that is none", "unix:relative", nil, "CL-1"},
		{"an agent that says nothing", "unix://" + silent, context.DeadlineExceeded, silent},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			v, err := svids.Look(ctx, row.address, "")
			if err == nil || v != nil || row.want != nil && !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want %v and %q", err, row.want, row.says)
			}
		})
	}
	if _, err := os.Stat(silent); err != nil {
		t.Error(err)
	}
}

// deny runs a Workload API that answers every question with one status.
func deny(t *testing.T, path string, code codes.Code) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, &refusing{code: code})
	go server.Serve(l)
	t.Cleanup(server.Stop)
}

// A Workload API without X.509-SVIDs is no error: it may have others (CL-3, CL-6).
func TestLookWithoutProfiles(t *testing.T) {
	path := socketPath(t)
	deny(t, path, codes.Unimplemented)
	v, err := svids.Look(t.Context(), "unix://"+path, "")
	if err != nil || v.X509SVIDs != nil || v.X509Bundles != nil || v.JWTBundles != nil {
		t.Errorf("%+v, %v", v, err)
	}
}
