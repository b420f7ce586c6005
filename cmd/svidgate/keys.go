package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/spoken"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Look after the signing keys of a running server",
		Long: `Look after the signing keys of a running server, through its administration
socket. A key is pending (published, so that APIs know it, and not used), then
active (the one that signs), then retiring (published until the last token that it
signed has expired), then gone. The server does this by itself; see keys.rotate in
the configuration.`,
		Example: `  svidgate keys list
  svidgate keys rotate`,
	}
	return group(cmd, newKeysList(), newKeysRotate(), newKeysRemove())
}

func newKeysList() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the signing keys and where each stands in its life",
		Example: "  svidgate keys list\n  svidgate keys list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.dial().Keys(cmd.Context())
			if err != nil {
				return err
			}
			if c.asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printKeys(cmd.OutOrStdout(), all, time.Now())
		},
	}
	c.flags(cmd, true)
	return cmd
}

func printKeys(w io.Writer, all []keys.Key, now time.Time) error {
	rows := [][]string{{"KID", "ALG", "STATE", "CREATED", "NEXT"}}
	for _, k := range all {
		next := ""
		switch {
		case k.State == keys.StatePending:
			next = "active " + due(now, k.ActivatesAt)
		case k.State == keys.StateRetiring:
			next = "removed " + due(now, k.RemovesAt)
		}
		rows = append(rows, []string{k.ID, string(k.Algorithm), string(k.State), age(now, &k.Created), next})
	}
	return printTable(w, rows)
}

// due is when something happens that has not happened yet.
func due(now, t time.Time) string {
	if !t.After(now) {
		return "now"
	}
	return "in " + spoken.Duration(t.Sub(now))
}

func newKeysRotate() *cobra.Command {
	var (
		c   connection
		now bool
	)
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make the next signing key",
		Long: `Make the next signing key. It is published at once and signs after
keys.publish_ahead, when every API has had the time to fetch it. With --now it
signs at once: APIs that do not fetch keys on demand then refuse tokens until
their copy of the keys is renewed.`,
		Example: "  svidgate keys rotate\n  svidgate keys rotate --now",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			change, err := c.dial().Rotate(cmd.Context(), now)
			if err != nil {
				return err
			}
			return c.printKeyChange(cmd.OutOrStdout(), change)
		},
	}
	c.flags(cmd, true)
	cmd.Flags().BoolVar(&now, "now", false, "let it sign at once")
	return cmd
}

func newKeysRemove() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "remove KID",
		Short: "Stop publishing a signing key at once, because it leaked",
		Long: `Stop publishing a signing key at once, because it leaked. APIs refuse what it
signed as soon as they have fetched the keys again. If it is the active one, the
next takes its place first.

A kid may begin with a hyphen. Write -- before such a one, so that it is not taken
for a flag.`,
		Example: "  svidgate keys remove NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n  svidgate keys remove -- -oXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9XsNzb",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			all, err := c.dial().Keys(cmd.Context())
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var kids []string
			for _, k := range all {
				kids = append(kids, k.ID)
			}
			return kids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := c.dial().Remove(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printKeyChange(cmd.OutOrStdout(), change)
		},
	}
	c.flags(cmd, true)
	return cmd
}

// printKeyChange says what became of each key.
func (c *connection) printKeyChange(w io.Writer, change keys.Change) error {
	if c.asJSON {
		return printJSON(w, change)
	}
	if len(change.Steps) == 0 {
		fmt.Fprintf(w, "%s is %s already; it signs %s\n", change.Key.ID, change.Key.State, due(time.Now(), change.Key.ActivatesAt))
	}
	for _, s := range change.Steps {
		text := fmt.Sprintf("%s (%s) is now %s", s.KeyID, s.Algorithm, s.To)
		switch s.To {
		case keys.StatePending:
			text += "; it signs " + due(time.Now(), s.Until)
		case keys.StateRetiring:
			text += "; it is removed " + due(time.Now(), s.Until)
		}
		fmt.Fprintln(w, text)
	}
	return nil
}

func newReload() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running server read its configuration again",
		Long: `Have a running server read its configuration again, and say how that went. All of
the new configuration takes effect, or, when anything in it is wrong, none of it.
The server does the same by itself when a file changes, and on SIGHUP.`,
		Example: "  svidgate reload\n  svidgate reload --socket /run/svidgate/svidgate-admin.sock",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := c.dial().Reload(cmd.Context())
			if refused, ok := errors.AsType[*admin.Refusal](err); ok {
				// As check-config prints them: editors read FILE:LINE:COL.
				fmt.Fprintln(cmd.ErrOrStderr(), refused)
				return errSilent
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the configuration is in force")
			return nil
		},
	}
	c.flags(cmd, false)
	return cmd
}
