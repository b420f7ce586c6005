package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/devenv"
	"github.com/svidgate/svidgate/oauth"
)

// developer is what `dev --json` prints once everything is up.
type developer struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	MTLSURL       string   `json:"mtls_url"`
	Resource      string   `json:"resource"`
	Scope         string   `json:"scope"`
	Socket        string   `json:"socket"`
	Bundle        string   `json:"spiffe_bundle_endpoint"`
	TrustDomain   string   `json:"trust_domain"`
	Workloads     []string `json:"workloads"`
	CAFile        string   `json:"ca_file"`
	Config        string   `json:"config"`
	Audit         string   `json:"audit"`
	Status        string   `json:"status"`
	Admin         string   `json:"admin"`
}

func newDev() *cobra.Command {
	var dir string
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Try it out: a development trust domain, the server and an API that stay up",
		Long:    "Start a development trust domain with a real Workload API, the authorization\nserver and a protected API on free loopback ports, and print what to paste. Any\nSPIFFE client can use the socket. It runs until interrupted; keys, configuration\nand audit record lie in --dir, or in a folder that is removed at the end.\n\nLogs are JSON lines on standard error.",
		Example: "  svidgate dev\n  svidgate dev --dir ./svidgate-dev --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			// The end of the terminal is an interruption too: what lies in a
			// temporary folder must not stay there.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			return runDev(ctx, cmd.OutOrStdout(), newLogger(cmd.ErrOrStderr(), level), dir, asJSON)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder for keys, configuration and audit record (default: one that is removed at the end)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the addresses as one JSON object")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every decision, granted ones too")
	cmd.MarkFlagDirname("dir")
	return cmd
}

func runDev(ctx context.Context, out io.Writer, log *slog.Logger, dir string, asJSON bool) error {
	if dir != "" {
		var err error
		if dir, err = filepath.Abs(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	env, err := devenv.Start(ctx, devenv.Options{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	d := developer{
		Issuer: env.Issuer, TokenEndpoint: env.Issuer + oauth.PathToken, MTLSURL: env.Daemon.MTLSURL(),
		Resource: env.Resource, Scope: devenv.Scope, Socket: env.SocketAddr, Bundle: env.BundleURL,
		TrustDomain: devenv.TrustDomain, Workloads: []string{devenv.Billing, devenv.Orders, devenv.Shipping},
		CAFile: env.CAFile, Config: env.ConfigFile, Audit: env.AuditFile, Status: env.StatusURL, Admin: env.Daemon.AdminSocket(),
	}
	if asJSON {
		err = json.NewEncoder(out).Encode(d)
	} else {
		_, err = io.WriteString(out, d.text(self()))
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-env.Daemon.Failed():
		}
	}
	if closeErr := env.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (d developer) text(self string) string {
	token := func(id, method string) string {
		return fmt.Sprintf("%s token --issuer %s --ca-file %s --socket %s --spiffe-id %s --method %s", self, d.Issuer, d.CAFile, d.Socket, id, method)
	}
	return fmt.Sprintf(`Everything is up; interrupt to stop it.

  authorization server  %s  (mutual TLS at %s)
  protected API         %s  (scope %s)
  trust domain          %s, bundle at %s
  Workload API          %s
  status                %s/readyz  %s/metrics
  configuration         %s
  audit record          %s
  administration        %s

Look at a token that was got with a JWT-SVID:

  %s --print-claims

Call the API with one:

  curl --cacert %s -H "Authorization: Bearer $(%s)" %s

Look at a token that was got with an X.509-SVID, and is bound to its certificate:

  %s --print-claims

Call the API with a token that was got with a WIT-SVID, and is bound to its key:

  curl --cacert %s -H @<(%s --headers-for %s) %s

Use the socket with any SPIFFE client:

  export SPIFFE_ENDPOINT_SOCKET=%s

Check a workload's whole way to a token:

  %s doctor --issuer %s --ca-file %s --socket %s --spiffe-id %s --admin-socket %s --status %s

See what was decided:

  tail -f %s

See the state of the bundles and the signing keys, and change the configuration while it runs:

  export SVIDGATE_SOCKET=%s
  %s bundle status
  %s keys list
`, d.Issuer, d.MTLSURL, d.Resource, d.Scope, d.TrustDomain, d.Bundle, d.Socket, d.Status, d.Status, d.Config, d.Audit, d.Admin,
		token(devenv.Billing, string(oauth.MethodJWT)), d.CAFile, token(devenv.Billing, string(oauth.MethodJWT)), d.Resource,
		token(devenv.Orders, string(oauth.MethodX509)),
		d.CAFile, token(devenv.Shipping, string(oauth.MethodWIT)), d.Resource, d.Resource, d.Socket,
		self, d.Issuer, d.CAFile, d.Socket, devenv.Billing, d.Admin, d.Status, d.Audit, d.Admin, self, self)
}

// self is how this program was called, for commands to paste: `go run` leaves a
// binary in a temporary folder that is gone afterwards.
func self() string {
	exe, err := os.Executable()
	if err != nil || strings.Contains(exe, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/svidgate"
	}
	if strings.ContainsRune(os.Args[0], filepath.Separator) {
		return exe
	}
	return os.Args[0]
}
