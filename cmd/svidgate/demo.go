package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devenv"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "See it work: trust domain, server, API and three workloads in one process",
		Long:    "Start a development trust domain, the authorization server and a protected API\non free loopback ports; let one workload get a token with its JWT-SVID, one\nwith its X.509-SVID and one with its WIT-SVID; call the API with each; show one\nrefusal and why. Nothing is left behind.",
		Example: "  svidgate demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return (&demo{out: cmd.OutOrStdout()}).run(ctx)
		},
	}
}

// A demo prints numbered steps, each with the time it took.
type demo struct {
	out     io.Writer
	env     *devenv.Environment
	steps   int
	started time.Time
}

func (d *demo) step(title string) {
	d.steps++
	fmt.Fprintf(d.out, "\n%d. %s  (%s)\n", d.steps, title, time.Since(d.started).Round(100*time.Microsecond))
	d.started = time.Now()
}

func (d *demo) line(format string, args ...any) {
	fmt.Fprintf(d.out, "   "+format+"\n", args...)
}

func (d *demo) run(ctx context.Context) (err error) {
	fmt.Fprintln(d.out, "A SPIFFE workload gets an access token, and an API accepts it. No secret is configured anywhere.")
	d.started = time.Now()
	d.env, err = devenv.Start(ctx, devenv.Options{
		Log: slog.New(slog.DiscardHandler),
		Started: func(part, detail string) {
			d.step("The " + part + " is up")
			for fact := range strings.SplitSeq(detail, ", ") {
				d.line("%s", fact)
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := d.env.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := d.workload(ctx, "billing", devenv.Billing, "JWT-SVID", func(s *workload.Source) client.Credential { return client.JWTSVID(s) }); err != nil {
		return err
	}
	if err := d.workload(ctx, "orders", devenv.Orders, "X.509-SVID", func(s *workload.Source) client.Credential { return client.X509SVID(s) }); err != nil {
		return err
	}
	if err := d.workload(ctx, "shipping", devenv.Shipping, "WIT-SVID", func(s *workload.Source) client.Credential { return client.WITSVID(s) }); err != nil {
		return err
	}
	if err := d.refusal(ctx); err != nil {
		return err
	}
	if err := d.record(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nNext: `%s dev` keeps all this running for you to try.\n", self())
	return nil
}

// workload is one workload's whole way: SVID, token, API.
func (d *demo) workload(ctx context.Context, name, id, kind string, credential func(*workload.Source) client.Credential) error {
	source, err := workload.Open(ctx, workload.Config{Address: d.env.SocketAddr, SPIFFEID: id})
	if err != nil {
		return err
	}
	defer source.Close()
	c, err := client.New(ctx, client.Config{Issuer: d.env.Issuer, Credentials: []client.Credential{credential(source)}, RootCAs: d.env.Roots})
	if err != nil {
		return err
	}
	d.started = time.Now()
	request := client.Request{Resource: d.env.Resource, Scope: devenv.Scope}
	token, err := c.Token(ctx, request)
	if err != nil {
		return err
	}
	d.step("Workload " + name + " gets a token with its " + kind)
	claims, err := claimsOf(string(token.AccessToken))
	if err != nil {
		return err
	}
	d.line("claims of the token:")
	d.line("%s", strings.ReplaceAll(claims, "\n", "\n   "))

	api := &http.Client{Transport: c.Transport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.env.Roots}}, request)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.env.Resource, nil)
	if err != nil {
		return err
	}
	status, body, _, err := exchange(api, req)
	if err != nil {
		return err
	}
	d.step("Workload " + name + " calls the API with it")
	d.line("%d %s", status, body)
	if status != http.StatusOK {
		return fmt.Errorf("the API answered %d", status)
	}
	return nil
}

// refusal shows the commonest mistake in this field: an audience that is nearly
// right.
func (d *demo) refusal(ctx context.Context) error {
	source, err := workload.Open(ctx, workload.Config{Address: d.env.SocketAddr, SPIFFEID: devenv.Billing})
	if err != nil {
		return err
	}
	defer source.Close()
	assertion, err := source.FetchJWTSVID(ctx, d.env.Issuer+"/")
	if err != nil {
		return err
	}
	form := url.Values{
		oauth.ParamGrantType: {string(oauth.GrantClientCredentials)}, oauth.ParamClientID: {devenv.Billing},
		oauth.ParamClientAssertionType: {oauth.ClientAssertionTypeJWTSPIFFE}, oauth.ParamClientAssertion: {assertion},
	}
	endpoint := d.env.Issuer + oauth.PathToken
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	d.started = time.Now()
	status, body, header, err := exchange(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.env.Roots}}}, req)
	if err != nil {
		return err
	}
	d.step("Workload billing shows a JWT-SVID for a slightly wrong audience")
	d.line("what the workload is told:")
	d.line("  %d %s", status, body)
	d.line("  %s: %s", oauth.HeaderRequestID, header.Get(oauth.HeaderRequestID))
	if status != http.StatusUnauthorized {
		return fmt.Errorf("the refusal came out as %d", status)
	}
	d.line("what the operator sees (svidgate explain):")
	return d.explanation(ctx, assertion)
}

// explanation is what `svidgate explain` prints for the operator, without the rules
// that passed.
func (d *demo) explanation(ctx context.Context, assertion string) error {
	clientID := devenv.Billing
	report, err := d.env.Daemon.Explain(ctx, explain.Question{Credential: assertion, ClientID: &clientID, Asked: time.Now()})
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		return err
	}
	passed := 0
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "  ✓ ") {
			passed++
			continue
		}
		if strings.HasPrefix(line, "\n") && passed > 0 {
			fmt.Fprintf(d.out, "     ✓ … %d rules passed\n", passed)
			passed = 0
		}
		fmt.Fprintln(d.out, strings.TrimRight("   "+line, " \n"))
	}
	return nil
}

// record reads the audit record as a third party would.
func (d *demo) record() error {
	f, err := os.Open(d.env.AuditFile)
	if err != nil {
		return err
	}
	defer f.Close()
	report, err := audit.Verify(f)
	if err != nil {
		return err
	}
	d.step("The audit record holds every decision")
	d.line("%d lines, each chained to the one before: verified", report.Lines)
	return nil
}

func exchange(c *http.Client, req *http.Request) (status int, body string, header http.Header, err error) {
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	c.CloseIdleConnections()
	return resp.StatusCode, strings.TrimSpace(string(raw)), resp.Header, err
}
