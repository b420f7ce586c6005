package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/spoken"
)

// A connection is how a command reaches a running server.
type connection struct {
	socket string
	asJSON bool
}

// flags gives a command what every command that asks a server takes.
func (c *connection) flags(cmd *cobra.Command, prints bool) {
	cmd.Flags().StringVar(&c.socket, "socket", "", "administration socket of the server (default $SVIDGATE_SOCKET, else svidgate-admin.sock in this folder)")
	cmd.MarkFlagFilename("socket", "sock")
	if prints {
		cmd.Flags().BoolVar(&c.asJSON, "json", false, "print JSON")
	}
}

func (c *connection) dial() *admin.Client {
	return admin.Dial(cmp.Or(c.socket, os.Getenv("SVIDGATE_SOCKET"), "svidgate-admin.sock"))
}

// sayForgets warns whoever has just cut somebody off, or let somebody in, where that
// ends with the server.
func (c *connection) sayForgets(cmd *cobra.Command) {
	if store, err := c.dial().Store(cmd.Context()); err == nil && store.Memory {
		fmt.Fprintln(cmd.OutOrStdout(), "the store is in memory: a restart of the server forgets this")
	}
}

// trustDomains completes the name of a trust domain from what the server knows.
func (c *connection) trustDomains(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	all, err := c.dial().Bundles(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, b := range all {
		names = append(names, b.TrustDomain)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printTable prints rows in columns; the first row is the heading.
func printTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return table.Flush()
}

// age is a time in the past, or the future, in words.
func age(now time.Time, t *time.Time) string {
	if t == nil {
		return "never"
	}
	return spoken.Since(now.Sub(*t))
}
