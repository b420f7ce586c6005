package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/spoken"
)

func newBundle() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Look into the trust bundles of a running server",
		Long: `Look into the trust bundles of a running server, through its administration
socket: which trust domains there are, how old their bundles are, what is in
them, and what is wrong with them.`,
		Example: `  svidgate bundle list
  svidgate bundle status example.org`,
	}
	return group(cmd, newBundleList(), newBundleStatus(), newBundleDiff(), newBundleRefresh())
}

func newBundleList() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the trust domains and the state of their bundles, a line each",
		Example: "  svidgate bundle list\n  svidgate bundle list --socket /run/svidgate/svidgate-admin.sock --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.dial().Bundles(cmd.Context())
			if err != nil {
				return err
			}
			if c.asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printBundles(cmd.OutOrStdout(), all)
		},
	}
	c.flags(cmd, true)
	return cmd
}

func printBundles(w io.Writer, all []admin.Bundle) error {
	rows := [][]string{{"TRUST DOMAIN", "STATE", "AGE", "SEQUENCE", "X509", "JWT", "WIT", "LEFT OUT", "SOURCE"}}
	for _, b := range all {
		confirmed := "-"
		if b.Generation > 0 {
			confirmed = spoken.Duration(time.Duration(b.AgeSeconds) * time.Second)
		}
		rows = append(rows, []string{
			b.TrustDomain, stateOf(b), confirmed, sequence(b.Sequence),
			count(b, "x509-svid"), count(b, "jwt-svid"), count(b, "wit-svid"), strconv.Itoa(len(b.LeftOut)), b.Source,
		})
	}
	if err := printTable(w, rows); err != nil {
		return err
	}
	for _, b := range all {
		for _, a := range b.Alarms {
			fmt.Fprintf(w, "%s: %s\n", b.TrustDomain, a)
		}
	}
	return nil
}

func stateOf(b admin.Bundle) string {
	switch {
	case b.Generation == 0:
		return "not ready"
	case !b.Ready:
		return "too old"
	case len(b.Alarms) > 0:
		return "alarm"
	}
	return "ready"
}

func count(b admin.Bundle, use string) string { return strconv.Itoa(b.Keys[use]) }

func sequence(n *uint64) string {
	if n == nil {
		return "none"
	}
	return strconv.FormatUint(*n, 10)
}

func newBundleStatus() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "status [TRUST-DOMAIN]",
		Short: "Show everything about the bundle of one trust domain, or of each",
		Long: `Show everything about the bundle of one trust domain, or of each: age, sequence,
each key and its use, each entry that was left out and why, the last error and the
next refresh.`,
		Example:           "  svidgate bundle status\n  svidgate bundle status example.org --json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.trustDomains,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := bundleStates(cmd.Context(), c.dial(), args)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if c.asJSON {
				if len(args) == 1 {
					return printJSON(out, all[0])
				}
				return printJSON(out, all)
			}
			for i, b := range all {
				if i > 0 {
					fmt.Fprintln(out)
				}
				if err := printBundle(out, b, time.Now()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.flags(cmd, true)
	return cmd
}

func bundleStates(ctx context.Context, client *admin.Client, names []string) ([]admin.Bundle, error) {
	if len(names) == 0 {
		all, err := client.Bundles(ctx)
		if err != nil {
			return nil, err
		}
		for _, b := range all {
			names = append(names, b.TrustDomain)
		}
	}
	states := []admin.Bundle{}
	for _, name := range names {
		b, err := client.Bundle(ctx, name)
		if err != nil {
			return nil, err
		}
		states = append(states, b)
	}
	return states, nil
}

func printBundle(w io.Writer, b admin.Bundle, now time.Time) error {
	rows := [][]string{
		{b.TrustDomain, stateOf(b)},
		{"  source", b.Source},
	}
	if b.Generation > 0 {
		limit := "no limit"
		if b.MaxAgeSeconds > 0 {
			limit = "too old at " + spoken.Duration(time.Duration(b.MaxAgeSeconds)*time.Second)
		}
		confirmed := fmt.Sprintf("%s ago (%s)", spoken.Duration(time.Duration(b.AgeSeconds)*time.Second), limit)
		if b.KeptFromDisk {
			confirmed += ", kept over a restart and not confirmed since"
		}
		rows = append(rows, []string{"  confirmed", confirmed}, []string{"  sequence", sequence(b.Sequence)})
	}
	rows = append(rows, []string{"  last attempt", age(now, b.LastAttempt)}, []string{"  last success", age(now, b.LastSuccess)})
	if b.LastError != "" {
		rows = append(rows, []string{"  last error", fmt.Sprintf("%s (%d in a row)", b.LastError, b.Failures)})
	}
	rows = append(rows, []string{"  next refresh", age(now, b.NextRefresh)})
	for _, a := range b.Alarms {
		rows = append(rows, []string{"  alarm", a})
	}
	for _, e := range b.Entries {
		rows = append(rows, []string{"  " + e.Use, entryText(e, now)})
	}
	for _, l := range b.LeftOut {
		rows = append(rows, []string{"  left out", remarkText(l)})
	}
	for _, n := range b.Notes {
		rows = append(rows, []string{"  note", remarkText(n)})
	}
	return printTable(w, rows)
}

func entryText(e admin.Entry, now time.Time) string {
	parts := []string{e.Type}
	if e.KeyID != "" {
		parts = append(parts, "kid "+e.KeyID)
	}
	if e.Subject != "" {
		parts = append(parts, e.Subject)
	}
	parts = append(parts, "sha256 "+e.Fingerprint)
	if e.NotAfter != nil {
		if e.NotAfter.Before(now) {
			parts = append(parts, "expired "+age(now, e.NotAfter))
		} else {
			parts = append(parts, "expires "+age(now, e.NotAfter))
		}
	}
	return strings.Join(parts, ", ")
}

func remarkText(r admin.Remark) string {
	where := "the document"
	if r.Index >= 0 {
		where = fmt.Sprintf("entry %d", r.Index)
		if r.Use != "" {
			where += " (" + r.Use + ")"
		}
	}
	return fmt.Sprintf("%s: %s (%s)", where, r.Why, r.Rule)
}

func newBundleDiff() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "diff TRUST-DOMAIN [FILE|-]",
		Short: "Compare the bundle in use with what its source has now, or with a file",
		Long: `Compare the bundle in use with what its source has now, or with a bundle document
in a file, which has to be a SPIFFE bundle. Nothing is taken into use. Lines with +
are keys that the other one has and the bundle in use has not; lines with - are the
reverse.`,
		Example: `  svidgate bundle diff example.org
  svidgate bundle diff example.org new-bundle.json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.trustDomains,
		RunE: func(cmd *cobra.Command, args []string) error {
			var document []byte
			if len(args) == 2 {
				var err error
				if document, err = readInput(cmd, args[1], maxDocument); err != nil {
					return err
				}
			}
			d, err := c.dial().Difference(cmd.Context(), args[0], document)
			if err != nil {
				return err
			}
			return c.printDifference(cmd.OutOrStdout(), d, "no difference")
		},
	}
	c.flags(cmd, true)
	return cmd
}

// maxDocument is as long as a bundle document may be (BE-9), and one byte more.
const maxDocument = 1<<20 + 1

func newBundleRefresh() *cobra.Command {
	var (
		c     connection
		older bool
	)
	cmd := &cobra.Command{
		Use:   "refresh TRUST-DOMAIN",
		Short: "Fetch the bundle of a trust domain now",
		Long: `Fetch the bundle of a trust domain now, whatever its schedule, and show what
changed. A bundle with a lower sequence than the one in use is refused, since it
may be an old one played again; --accept-older takes it all the same, for a trust
domain that was restored from a backup.`,
		Example: `  svidgate bundle refresh example.org
  svidgate bundle refresh --accept-older example.org`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.trustDomains,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.dial().Refresh(cmd.Context(), args[0], older)
			if err != nil {
				return err
			}
			return c.printDifference(cmd.OutOrStdout(), d, "confirmed; nothing changed")
		},
	}
	c.flags(cmd, true)
	cmd.Flags().BoolVar(&older, "accept-older", false, "take a bundle with a lower sequence than the one in use")
	return cmd
}

func (c *connection) printDifference(w io.Writer, d admin.Difference, same string) error {
	if c.asJSON {
		return printJSON(w, d)
	}
	if before, after := sequence(d.SequenceBefore), sequence(d.SequenceAfter); before != after {
		fmt.Fprintf(w, "sequence %s -> %s\n", before, after)
	}
	now := time.Now()
	for _, e := range d.Removed {
		fmt.Fprintf(w, "- %s: %s\n", e.Use, entryText(e, now))
	}
	for _, e := range d.Added {
		fmt.Fprintf(w, "+ %s: %s\n", e.Use, entryText(e, now))
	}
	if d.Warning != "" {
		fmt.Fprintf(w, "warning: %s\n", d.Warning)
	}
	if d.Same {
		fmt.Fprintln(w, same)
	}
	return nil
}
