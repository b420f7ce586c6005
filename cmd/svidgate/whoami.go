package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

func newWhoami() *cobra.Command {
	var (
		socket, audience string
		asJSON           bool
		timeout          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show which identities the Workload API gives to this process",
		Long: `Show what the SPIFFE Workload API (--socket or SPIFFE_ENDPOINT_SOCKET) gives to this
process: each X.509-SVID with its SPIFFE ID, hint, end and issuer, each WIT-SVID, if
there are any, and the trust bundles. With --audience it asks for JWT-SVIDs too and
shows their claims.

An agent decides by the process that asks: run it as the user, and in the container,
that the workload runs in. No key, no signature and no token is shown.`,
		Example: `  svidgate whoami
  svidgate whoami --socket unix:///run/spire/agent.sock --audience https://as.example.com
  svidgate whoami --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			v, err := workload.Look(ctx, socket, audience)
			if errors.Is(err, workload.ErrNoAddress) {
				return errors.New("there is no address of a Workload API: name it with --socket, such as unix:///run/spire/agent.sock, or in SPIFFE_ENDPOINT_SOCKET")
			}
			if v == nil {
				return err
			}
			who, inner := identityOf(v, audience, time.Now())
			if err = errors.Join(err, inner); asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), who), err)
			}
			who.print(cmd.OutOrStdout(), time.Now())
			return err
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "address of the Workload API, such as unix:///run/spire/agent.sock (default: SPIFFE_ENDPOINT_SOCKET)")
	cmd.Flags().StringVar(&audience, "audience", "", "ask for JWT-SVIDs with this audience, such as the issuer of the authorization server")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "give up after this time")
	cmd.RegisterFlagCompletionFunc("audience", cobra.NoFileCompletions)
	return cmd
}

func (who identity) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "Workload API %s\n\nX.509-SVIDs\n", who.WorkloadAPI)
	if len(who.X509SVIDs) == 0 {
		fmt.Fprintln(w, "  none: this Workload API does not have them")
	}
	for _, svid := range who.X509SVIDs {
		var marks []string
		if svid.Hint != "" {
			marks = append(marks, "hint "+svid.Hint)
		}
		if svid.Default {
			marks = append(marks, "the default")
		}
		fmt.Fprintf(w, "  %s\n", withMarks(svid.SPIFFEID, marks))
		end := "expires " + spoken.Since(now.Sub(svid.NotAfter))
		if !svid.NotAfter.After(now) {
			end = "EXPIRED " + spoken.Since(now.Sub(svid.NotAfter))
		}
		fmt.Fprintf(w, "    issued %s, %s (%s)\n", spoken.Since(now.Sub(svid.NotBefore)), end, svid.NotAfter.Format(time.RFC3339))
		fmt.Fprintf(w, "    by %s, %s\n", svid.Issuer, spoken.Count(svid.Certificates, "certificate"))
		fmt.Fprintf(w, "    x5t#S256 %s\n", svid.Thumbprint)
	}
	fmt.Fprintln(w, "\nTrust bundles")
	for _, b := range who.Bundles {
		var marks []string
		if !b.Own {
			marks = []string{"federated"}
		}
		keys := spoken.Count(len(b.JWTKeyIDs), "JWT key")
		if len(b.JWTKeyIDs) > 0 {
			keys += ": kid " + strings.Join(b.JWTKeyIDs, ", ")
		}
		if len(b.WITKeyIDs) > 0 {
			keys += ", " + spoken.Count(len(b.WITKeyIDs), "WIT key") + ": kid " + strings.Join(b.WITKeyIDs, ", ")
		}
		fmt.Fprintf(w, "  %s\n    %s, %s\n", withMarks(b.TrustDomain, marks), spoken.Count(b.X509, "X.509 anchor"), keys)
	}
	if len(who.Bundles) == 0 {
		fmt.Fprintln(w, "  none")
	}
	if len(who.WITSVIDs) > 0 {
		fmt.Fprintln(w, "\nWIT-SVIDs")
		printSVIDs(w, who.WITSVIDs)
	}
	if who.Audience == "" {
		fmt.Fprintln(w, "\nAdd --audience URL to see a JWT-SVID.")
		return
	}
	fmt.Fprintf(w, "\nJWT-SVIDs for %s\n", oauth.Shown(who.Audience))
	if len(who.JWTSVIDs) == 0 {
		fmt.Fprintln(w, "  none")
	}
	printSVIDs(w, who.JWTSVIDs)
}

func printSVIDs(w io.Writer, svids []jwtIdentity) {
	for _, svid := range svids {
		if svid.Hint != "" {
			fmt.Fprintf(w, "  hint %s\n", svid.Hint)
		}
		printSections(w, svid.Report.Sections[:1], "  ")
		printRemarks(w, svid.Report.Remarks)
	}
}

func withMarks(name string, marks []string) string {
	if len(marks) == 0 {
		return name
	}
	return name + "  (" + strings.Join(marks, ", ") + ")"
}
