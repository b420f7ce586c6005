package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
)

// planFailed is the exit code of a plan that could not be made.
const planFailed = 2

func newPlan() *cobra.Command {
	var (
		c    connection
		file string
	)
	cmd := &cobra.Command{
		Use:   "plan --config FILE",
		Short: "Say what another configuration would do to clients, before it is in force",
		Long: `Say what another configuration would do to clients, before it is in force: which of
those that are configured, that registered on first use or that came by a wildcard
would be cut off, would lose or gain something, or would change. The running server
reads the file and compares; nothing changes by that.

It exits with 0 when nobody is cut off, with 1 when somebody is, and with 2 when it
could not be said. A file that is at fault is reported as check-config does.`,
		Example: "  svidgate plan --config new.yaml\n  svidgate plan --config new.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return &exitError{planFailed, errors.New("name the configuration that is to be with --config")}
			}
			if _, err := loadConfig(cmd, file); err != nil {
				return &exitError{planFailed, err}
			}
			path, err := filepath.Abs(file)
			if err != nil {
				return &exitError{planFailed, err}
			}
			plan, err := c.dial().Plan(cmd.Context(), path)
			if err != nil {
				return &exitError{planFailed, err}
			}
			if c.asJSON {
				err = printJSON(cmd.OutOrStdout(), plan)
			} else {
				err = printPlan(cmd.OutOrStdout(), plan)
			}
			if err == nil && plan.CutOff > 0 {
				return errSilent
			}
			return err
		},
	}
	c.flags(cmd, true)
	cmd.Flags().StringVarP(&file, "config", "c", "", "the configuration that is to be")
	cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	return cmd
}

func printPlan(w io.Writer, p admin.Plan) error {
	var rows [][]string
	for _, one := range p.Clients {
		id := one.ClientID
		if one.SPIFFEID != id && one.SPIFFEID != "" {
			id += " (" + one.SPIFFEID + ")"
		}
		rows = append(rows, []string{strings.ReplaceAll(one.Change, "_", " "), id, strings.Join(one.Why, "; ")})
	}
	if p.Partial {
		rows = append(rows, []string{"...", "and others"})
	}
	if err := printTable(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d cut off, %d lose, %d change, %d gain, %d stay as they are\n", p.CutOff, p.Loses, p.Changes, p.Gains, p.Same)
	return err
}
