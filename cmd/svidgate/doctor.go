package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/doctor"
	"github.com/svidgate/svidgate/oauth"
)

func newDoctor() *cobra.Command {
	var (
		c       doctor.Config
		method  string
		files   svidFiles
		asJSON  bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "doctor [--issuer URL]",
		Short: "Check a workload's whole way to a token, and say what to mend",
		Long: `Check a workload's whole way to a token: the Workload API, or files, and the SVIDs
from there; TLS to the authorization server, its metadata and keys; the clocks; and
one live token by each method, verified as an API would. Run it as the user, and in
the container, that the workload runs in.

Beside the server it looks further: with --admin-socket (or SVIDGATE_SOCKET) at the
client that the SPIFFE ID belongs to, the age of the bundle and the signing keys, with
--status at readiness and at the use of older forms. Mind the two sockets: --socket is
the Workload API's here, --admin-socket the server's, which other commands take as
--socket. --status takes http on loopback only.

Each check is a line: ✓ is in order, ✗ is not, and says what to do next, – could not
be judged, and says why. The exit code is 0 when nothing failed, 1 when something
did, and 2 when there was nothing to check or the flags were wrong. No key and no
token is shown. Live tokens are in the server's audit record like any other.`,
		Example: `  svidgate doctor --issuer https://as.example.com
  svidgate doctor --issuer https://as.example.com --resource https://api.example.com/ --json
  svidgate doctor --admin-socket /run/svidgate/svidgate-admin.sock --status http://127.0.0.1:8445`,
		Args: func(cmd *cobra.Command, args []string) error { return asNotJudged(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := pairs(files.chain, files.key, files.wit, files.witKey); err != nil {
				return asNotJudged(err)
			}
			c.Method = oauth.AuthMethod(method)
			c.AdminSocket = cmp.Or(c.AdminSocket, os.Getenv("SVIDGATE_SOCKET"))
			if c.RootCAs, err = rootsFrom(c.CAFile); err != nil {
				return asNotJudged(err)
			}
			files.give(&c)
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return runDoctor(ctx, cmd.OutOrStdout(), c, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Issuer, "issuer", "", "issuer identifier of the authorization server")
	flags.StringVar(&c.CAFile, "ca-file", "", "PEM file of the authorities that vouch for the server (default: the system's)")
	flags.StringVar(&c.Socket, "socket", "", "address of the Workload API, such as unix:///run/spire/agent.sock (default: SPIFFE_ENDPOINT_SOCKET)")
	flags.StringVar(&c.SPIFFEID, "spiffe-id", "", "which identity to use when the Workload API has several")
	flags.StringVar(&c.Hint, "hint", "", "which identity to use, by its hint")
	flags.StringVar(&files.jwt, "jwt-svid-file", "", "file that holds a JWT-SVID whose audience is the issuer, in place of the Workload API")
	flags.StringVar(&files.chain, "x509-svid-file", "", "PEM file of the X.509-SVID and its intermediates, in place of the Workload API")
	flags.StringVar(&files.key, "x509-key-file", "", "PEM file of the X.509-SVID's private key")
	flags.StringVar(&files.wit, "wit-svid-file", "", "file that holds a WIT-SVID, in place of the Workload API")
	flags.StringVar(&files.witKey, "wit-key-file", "", "file of the WIT-SVID's private key, a JWK or PEM")
	flags.BoolVar(&c.EndpointAudience, "endpoint-audience", false, "ask for a JWT-SVID whose audience is the token endpoint, for servers with profile seed")
	flags.StringVar(&c.ClientID, "client-id", "", "client identifier (default: the SPIFFE ID)")
	flags.StringVar(&method, "method", "", "spiffe_jwt, spiffe_wit or spiffe_x509, to try that one only (default: each)")
	flags.StringVar(&c.Resource, "resource", "", "API that the live token is for (default: the client's only one)")
	flags.StringVar(&c.Scope, "scope", "", "scope of the live token, separated by spaces (default: all that the client may have)")
	flags.StringVar(&c.AdminSocket, "admin-socket", "", "administration socket of the server, which must be on this machine (default: SVIDGATE_SOCKET)")
	flags.StringVar(&c.StatusURL, "status", "", "address of the server's status listener: http on loopback, such as http://127.0.0.1:8445")
	flags.BoolVar(&asJSON, "json", false, "print JSON, when all is done")
	flags.DurationVar(&timeout, "timeout", 60*time.Second, "judge no further check after this time")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return asNotJudged(sayFlag(cmd, err)) })
	for _, name := range []string{"ca-file", "jwt-svid-file", "x509-svid-file", "x509-key-file", "wit-svid-file", "wit-key-file"} {
		cmd.MarkFlagFilename(name)
	}
	cmd.MarkFlagFilename("admin-socket", "sock")
	cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions(methods, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// svidFiles are SVIDs that another program writes, such as spiffe-helper.
type svidFiles struct{ jwt, chain, key, wit, witKey string }

func (f svidFiles) give(c *doctor.Config) {
	if f.jwt != "" {
		c.JWTSource = client.JWTSVIDFile(f.jwt)
	}
	if f.chain != "" {
		c.X509Source = client.X509SVIDFiles(f.chain, f.key)
	}
	if f.wit != "" {
		c.WITSource = client.WITSVIDFiles(f.wit, f.witKey)
	}
}

// rootsFrom reads authorities; nil stands for the system's.
func rootsFrom(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file: %s holds no certificate", name)
	}
	return roots, nil
}

// checkMarks are how outcomes are shown.
var checkMarks = map[oauth.Outcome]string{oauth.Passed: "✓", doctor.Failed: "✗", oauth.NotJudged: "–"}

// A diagnosis is what `doctor --json` prints.
type diagnosis struct {
	Healthy   bool             `json:"healthy"` // something was checked, and nothing failed
	Passed    int              `json:"passed"`
	Failed    int              `json:"failed"`
	NotJudged int              `json:"not_judged"`
	Checks    []doctor.Finding `json:"checks"`
}

func runDoctor(ctx context.Context, out io.Writer, c doctor.Config, asJSON bool) error {
	told := func(f doctor.Finding) {
		fmt.Fprintf(out, "%s %s: %s\n", checkMarks[f.Outcome], f.What, f.Found)
		if f.Next != "" {
			fmt.Fprintf(out, "  next: %s\n", f.Next)
		}
	}
	if asJSON {
		told = nil
	}
	findings, err := doctor.Examine(ctx, c, told)
	if err != nil { // the flags make no sense
		return asNotJudged(err)
	}
	d := diagnosis{Checks: findings}
	for _, f := range findings {
		switch f.Outcome {
		case oauth.Passed:
			d.Passed++
		case doctor.Failed:
			d.Failed++
		default:
			d.NotJudged++
		}
	}
	d.Healthy = d.Failed == 0 && d.Passed > 0
	if asJSON {
		if err := printJSON(out, d); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "\n%d in order, %d failed, %d not judged\n", d.Passed, d.Failed, d.NotJudged)
	}
	switch {
	case d.Failed > 0:
		return errSilent
	case d.Passed == 0:
		return asNotJudged(errors.New("there was nothing to check: give --issuer, and run it where the workload runs"))
	}
	return nil
}
