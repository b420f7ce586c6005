package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/audit"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Check an audit record",
		Example: "  svidgate audit verify audit.jsonl",
	}
	return group(cmd, newAuditVerify())
}

func newAuditVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Check that no line of an audit record was changed, removed or put in",
		Long: `Check the chain of an audit record: every line's seq and prev. It names the first
bad line and exits 1.

Lines cut off at the end leave a whole chain behind: compare the number of lines
and the head with what was noted before.`,
		Example: "  svidgate audit verify audit.jsonl\n  svidgate audit verify --json audit.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in io.Reader = cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			report, err := audit.Verify(in)
			if asJSON {
				return printVerification(cmd.OutOrStdout(), report, err)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d lines, whole; head %s\n", report.Lines, report.Head)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printVerification(w io.Writer, report audit.Report, err error) error {
	out := map[string]any{"whole": err == nil, "lines": report.Lines, "head": report.Head}
	if err != nil {
		out["error"] = err.Error()
		if bad, ok := errors.AsType[*audit.BadLine](err); ok {
			out["bad_line"] = bad.Line
		}
	}
	if encodeErr := json.NewEncoder(w).Encode(out); encodeErr != nil {
		return encodeErr
	}
	if err != nil {
		return errSilent
	}
	return nil
}
