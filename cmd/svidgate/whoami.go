package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/inspect"
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
process: each X.509-SVID with its SPIFFE ID, hint, end and issuer, and the trust
bundles. With --audience it asks for JWT-SVIDs too and shows their claims.

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
			self, inner := identityOf(v, audience, time.Now())
			if err = errors.Join(err, inner); asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), self), err)
			}
			self.print(cmd.OutOrStdout(), time.Now())
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

// An identity is all that a Workload API gives to one process.
type identity struct {
	WorkloadAPI string         `json:"workload_api"`
	X509SVIDs   []x509Identity `json:"x509_svids"`
	Bundles     []trustBundle  `json:"bundles"`
	Audience    string         `json:"audience,omitempty"`
	JWTSVIDs    []jwtIdentity  `json:"jwt_svids,omitempty"`
}

type x509Identity struct {
	SPIFFEID     string    `json:"spiffe_id"`
	Hint         string    `json:"hint,omitempty"`
	Default      bool      `json:"default"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	Issuer       string    `json:"issuer"`
	Serial       string    `json:"serial"`
	Certificates int       `json:"certificates"`
	Thumbprint   string    `json:"x5t#S256"`
}

type trustBundle struct {
	TrustDomain string   `json:"trust_domain"`
	Own         bool     `json:"own"` // of one of the identities
	X509        int      `json:"x509_authorities"`
	JWTKeyIDs   []string `json:"jwt_key_ids"`
}

type jwtIdentity struct {
	Hint string `json:"hint,omitempty"`
	*inspect.Report
}

func identityOf(v *workload.View, audience string, now time.Time) (identity, error) {
	self := identity{WorkloadAPI: v.Address, X509SVIDs: []x509Identity{}, Bundles: []trustBundle{}, Audience: audience}
	own := map[spiffeid.TrustDomain]bool{}
	for i, svid := range v.X509SVIDs {
		own[svid.ID.TrustDomain()] = true
		self.X509SVIDs = append(self.X509SVIDs, x509IdentityOf(svid, i == 0))
	}
	bundles := map[spiffeid.TrustDomain]*trustBundle{}
	bundle := func(td spiffeid.TrustDomain) *trustBundle {
		if bundles[td] == nil {
			bundles[td] = &trustBundle{TrustDomain: td.Name(), Own: own[td], JWTKeyIDs: []string{}}
		}
		return bundles[td]
	}
	if v.X509Bundles != nil {
		for _, b := range v.X509Bundles.Bundles() {
			bundle(b.TrustDomain()).X509 = len(b.X509Authorities())
		}
	}
	if v.JWTBundles != nil {
		for _, b := range v.JWTBundles.Bundles() {
			for kid := range b.JWTAuthorities() {
				one := bundle(b.TrustDomain())
				one.JWTKeyIDs = append(one.JWTKeyIDs, oauth.Shown(kid))
			}
		}
	}
	for _, b := range bundles {
		slices.Sort(b.JWTKeyIDs)
		self.Bundles = append(self.Bundles, *b)
	}
	slices.SortFunc(self.Bundles, func(a, b trustBundle) int {
		if a.Own != b.Own && a.Own {
			return -1
		} else if a.Own != b.Own {
			return 1
		}
		return strings.Compare(a.TrustDomain, b.TrustDomain)
	})
	for _, svid := range v.JWTSVIDs {
		report, err := inspect.Inspect([]byte(svid.Marshal()), now)
		if err != nil {
			return self, fmt.Errorf("a JWT-SVID of %s cannot be read: %w", svid.ID, err)
		}
		self.JWTSVIDs = append(self.JWTSVIDs, jwtIdentity{oauth.Shown(svid.Hint), report})
	}
	return self, nil
}

func x509IdentityOf(svid *x509svid.SVID, first bool) x509Identity {
	leaf := svid.Certificates[0] // go-spiffe has looked
	sum := sha256.Sum256(leaf.Raw)
	return x509Identity{
		SPIFFEID: svid.ID.String(), Hint: oauth.Shown(svid.Hint), Default: first,
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Issuer: oauth.Shown(leaf.Issuer.String()), Serial: fmt.Sprintf("%x", leaf.SerialNumber),
		Certificates: len(svid.Certificates), Thumbprint: base64.RawURLEncoding.EncodeToString(sum[:]),
	}
}

func (self identity) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "Workload API %s\n\nX.509-SVIDs\n", self.WorkloadAPI)
	if len(self.X509SVIDs) == 0 {
		fmt.Fprintln(w, "  none: this Workload API does not have them")
	}
	for _, svid := range self.X509SVIDs {
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
		fmt.Fprintf(w, "    by %s, %s\n", svid.Issuer, plural(svid.Certificates, "certificate"))
		fmt.Fprintf(w, "    x5t#S256 %s\n", svid.Thumbprint)
	}
	fmt.Fprintln(w, "\nTrust bundles")
	for _, b := range self.Bundles {
		var marks []string
		if !b.Own {
			marks = []string{"federated"}
		}
		keys := plural(len(b.JWTKeyIDs), "JWT key")
		if len(b.JWTKeyIDs) > 0 {
			keys += ": kid " + strings.Join(b.JWTKeyIDs, ", ")
		}
		fmt.Fprintf(w, "  %s\n    %s, %s\n", withMarks(b.TrustDomain, marks), plural(b.X509, "X.509 anchor"), keys)
	}
	if len(self.Bundles) == 0 {
		fmt.Fprintln(w, "  none")
	}
	if self.Audience == "" {
		fmt.Fprintln(w, "\nAdd --audience URL to see a JWT-SVID.")
		return
	}
	fmt.Fprintf(w, "\nJWT-SVIDs for %s\n", oauth.Shown(self.Audience))
	for _, svid := range self.JWTSVIDs {
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

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
