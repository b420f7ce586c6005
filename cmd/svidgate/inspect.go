package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/inspect"
)

func newInspect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect [FILE|-]",
		Short: "Say what a token, certificate, bundle or metadata document is, and what it says",
		Long: `Say what a document is and what it says: a JWT-SVID, a WIT-SVID, an access token
or any other JWT, and what spire-agent api fetch jwt prints; an X.509-SVID with
its chain, or a CA certificate, in PEM or DER; a SPIFFE bundle or a JWK Set; the
metadata of an authorization server or of an API. Without FILE, or with -, it
reads standard input.

Nothing is verified: what is shown is what the document says of itself. Remarks
name the rule by which a server or an API would refuse it. Signatures are left
out, and a private key is refused. Mind that a token on a command line can be seen
by others on the machine: give it in a file or by a pipe.`,
		Example: `  svidgate inspect jwt_svid.token
  svidgate token --issuer https://as.example.com | svidgate inspect -
  svidgate inspect --json svid.pem`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := inputName(cmd, args)
			if err != nil {
				return err
			}
			document, err := readInput(cmd, name, inspect.MaxInput+1)
			if err != nil {
				return err
			}
			report, err := inspect.Inspect(document, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), report)
			}
			return printInspection(cmd.OutOrStdout(), report)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

const unverified = "NOTHING WAS VERIFIED: this is only what it says of itself."

func printInspection(w io.Writer, r *inspect.Report) error {
	fmt.Fprintf(w, "%s: %s\n%s\n", r.Name, r.Because, unverified)
	printSections(w, r.Sections, "")
	printRemarks(w, r.Remarks)
	return nil
}

// printSections prints the facts of each in two columns.
func printSections(w io.Writer, sections []inspect.Section, indent string) {
	for i, s := range sections {
		if i > 0 || indent == "" {
			fmt.Fprintln(w)
		}
		if s.Title != "" {
			fmt.Fprintln(w, indent+s.Title)
		}
		width := 0
		for _, f := range s.Facts {
			width = max(width, min(len(f.Name), 52))
		}
		for _, f := range s.Facts {
			line := fmt.Sprintf("%s  %-*s  %s", indent, width, f.Name, f.Value)
			if f.Note != "" {
				line += "  (" + f.Note + ")"
			}
			fmt.Fprintln(w, line)
		}
	}
}

func printRemarks(w io.Writer, remarks []inspect.Remark) {
	if len(remarks) > 0 {
		fmt.Fprint(w, "\nOdd by our rules\n")
	}
	for _, m := range remarks {
		text := m.Text
		if m.Reason != "" {
			text = string(m.Reason) + ": " + text
		}
		fmt.Fprintf(w, "  %-5s  %s\n", m.Rule, text)
	}
}
