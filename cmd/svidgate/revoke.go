package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/revocation"
)

// revocable are the flags of svidgate revoke, one for each kind.
var revocable = []struct {
	flag  string
	kind  revocation.Kind
	usage string
}{
	{"jti", revocation.TokenID, "one access token, by its jti"},
	{"grant", revocation.Grant, "what a person granted, by the grant_id of its tokens; its refresh tokens too"},
	{"client", revocation.Client, "what was issued to this client_id"},
	{"spiffe-id", revocation.SPIFFEID, "what was issued to this workload"},
	{"spiffe-id-prefix", revocation.SPIFFEIDPrefix, "what was issued to every workload below, such as spiffe://example.org/ns/ci/*"},
	{"trust-domain", revocation.TrustDomain, "what was issued to every workload of this trust domain"},
	{"key", revocation.Key, "what this signing key signed, by its kid; the key is removed"},
}

func newRevoke() *cobra.Command {
	var (
		c      connection
		reason string
		values = make([]string, len(revocable))
		names  []string
	)
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End tokens before their time",
		Long: `End what a running server has issued up to now, through its administration
socket. Introspection calls such tokens inactive at once, in every process that
shares the store within a second. An API that verifies tokens by itself accepts
one until it expires.

New tokens are still issued to whoever may have them: to cut a client off, block it
or take it out of the configuration, and then revoke what it has.

Say what with exactly one of the flags. The server records who revoked it, and the
reason.`,
		Example: `  svidgate revoke --spiffe-id spiffe://example.org/ns/ci/runner-7 --reason ticket-7
  svidgate revoke --client spiffe://example.org/billing
  svidgate revoke list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !cmd.Flags().Changed(name) })
			if len(given) != 1 {
				return fmt.Errorf("say what with exactly one of --%s", strings.Join(names, ", --"))
			}
			for i, r := range revocable {
				if !cmd.Flags().Changed(r.flag) {
					continue
				}
				done, err := c.dial().Revoke(cmd.Context(), r.kind, values[i], reason)
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), done)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s is revoked up to %s\n", done.Kind, done.Value, done.Before.Format(time.RFC3339))
				if why := c.unknown(cmd.Context(), done); why != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "mind the spelling: %s\n", why)
				}
				if r.kind != revocation.Key { // it is gone for good
					c.sayForgets(cmd)
				}
				return nil
			}
			return errors.New("nothing is revoked")
		},
	}
	c.flags(cmd, true)
	for i, r := range revocable {
		cmd.Flags().StringVar(&values[i], r.flag, "", r.usage)
		names = append(names, r.flag)
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record and for the list: one line")
	cmd.RegisterFlagCompletionFunc("trust-domain", c.trustDomains)
	cmd.AddCommand(newRevokeList())
	return cmd
}

// unknown is what the server says where it does not know whose tokens it has revoked:
// they may have been taken out before, which is no fault, or be misspelt.
func (c *connection) unknown(ctx context.Context, done admin.Revocation) string {
	var err error
	switch done.Kind {
	case revocation.Client, revocation.SPIFFEID:
		_, err = c.dial().ShowClient(ctx, done.Value)
	case revocation.TrustDomain:
		_, err = c.dial().Bundle(ctx, done.Value)
	}
	if refusal, ok := errors.AsType[*admin.Refusal](err); ok {
		return refusal.Why
	}
	return ""
}

func newRevokeList() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what is revoked now, the latest first",
		Example: "  svidgate revoke list\n  svidgate revoke list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.dial().Revocations(cmd.Context())
			if err != nil {
				return err
			}
			if c.asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := [][]string{{"KIND", "VALUE", "REVOKED", "FORGOTTEN", "BY", "REASON"}}
			for _, r := range all {
				rows = append(rows, []string{string(r.Kind), r.Value, r.Before.Format(time.RFC3339), r.Expires.Format(time.RFC3339), r.By, r.Reason})
			}
			return printTable(cmd.OutOrStdout(), rows)
		},
	}
	c.flags(cmd, true)
	return cmd
}
