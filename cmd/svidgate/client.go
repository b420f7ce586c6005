package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
)

func newClient() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Look after clients that registered on first use, and block any client",
		Long: `Look after clients that are not in the configuration of a running server, through
its administration socket: those that registered on first use, and the workloads of
configured clients with a wildcard. Any client and any workload can be blocked.`,
		Example: `  svidgate client list --trust-domain lab.test
  svidgate client block spiffe://lab.test/ns/ci/job-7 --reason leaked`,
	}
	return group(cmd, newClientList(), newClientShow(), newClientApprove(), newClientBlock(), newClientUnblock(), newClientDelete())
}

func newClientList() *cobra.Command {
	var (
		c connection
		f admin.ClientFilter
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List clients that are not in the configuration, a line each",
		Long: `List clients that are not in the configuration, a line each, in the order of their
SPIFFE IDs. With --state blocked or deleted it lists what operators blocked or
deleted. With --limit it stops there, and says what to give as --after to go on;
without, it lists all.`,
		Example: "  svidgate client list\n  svidgate client list --trust-domain lab.test --state pending\n  svidgate client list --client fleet --limit 100 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("limit") && f.Limit < 1 {
				return errors.New("--limit is a number from 1 on; without it all are listed")
			}
			return c.listClients(cmd, f)
		},
	}
	c.flags(cmd, true)
	cmd.Flags().StringVar(&f.TrustDomain, "trust-domain", "", "of this trust domain only")
	cmd.Flags().StringVar(&f.State, "state", "", "in this state only: active, pending, observed, blocked or deleted")
	cmd.Flags().StringVar(&f.ClientID, "client", "", "of this client_id only")
	cmd.Flags().StringVar(&f.After, "after", "", "begin behind the place where another list stopped")
	cmd.Flags().IntVar(&f.Limit, "limit", 0, "list no more than so many (default all)")
	cmd.RegisterFlagCompletionFunc("trust-domain", c.trustDomains)
	cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"active", "pending", "observed", "blocked", "deleted"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// listClients prints part after part, so that a long list needs no memory.
func (c *connection) listClients(cmd *cobra.Command, f admin.ClientFilter) error {
	left, client, out := f.Limit, c.dial(), cmd.OutOrStdout()
	whole := admin.ClientPage{Clients: []admin.ClientRecord{}}
	for first := true; ; first = false {
		f.Limit = left
		page, err := client.Clients(cmd.Context(), f)
		if err != nil {
			return err
		}
		if c.asJSON {
			whole.Clients, whole.Blocks, whole.Next = append(whole.Clients, page.Clients...), append(whole.Blocks, page.Blocks...), page.Next
		} else if err := printClients(out, page, first, f.State, time.Now()); err != nil {
			return err
		}
		if left -= len(page.Clients) + len(page.Blocks); page.Next == "" || left == 0 && f.Limit > 0 {
			if c.asJSON {
				return printJSON(out, whole)
			}
			if page.Next != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "there are more; go on with --after %s\n", page.Next)
			}
			return nil
		}
		f.After, left = page.Next, max(left, 0)
	}
}

func printClients(w io.Writer, page admin.ClientPage, heading bool, state string, now time.Time) error {
	var rows [][]string
	if state == "blocked" || state == "deleted" {
		if heading {
			rows = append(rows, []string{"ID", strings.ToUpper(state), "BY", "REASON"})
		}
		for _, b := range page.Blocks {
			rows = append(rows, []string{b.Subject, age(now, b.At), b.By, b.Reason})
		}
		return printTable(w, rows)
	}
	if heading {
		rows = append(rows, []string{"SPIFFE ID", "STATE", "CLIENT", "METHODS", "CREATED", "USED"})
	}
	for _, r := range page.Clients {
		client := "itself"
		if r.Kind == "member" {
			client = r.ClientID
		}
		rows = append(rows, []string{r.SPIFFEID, clientState(r), client, strings.Join(r.Methods, ","), age(now, r.Created), age(now, r.LastUsed)})
	}
	return printTable(w, rows)
}

// clientState is where a client stands, in words.
func clientState(r admin.ClientRecord) string {
	switch {
	case r.Blocked != nil:
		return "blocked"
	case r.Kind == "first_use" && r.Template == "":
		return r.State + ", gets nothing"
	}
	return r.State
}

func newClientShow() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of a client or a workload",
		Long: `Show all that is known of a client or a workload: where its registration came from,
what it was last used by, its workloads, and who blocked or deleted it and why.
ID is a client_id or a SPIFFE ID.`,
		Example:           "  svidgate client show spiffe://lab.test/ns/ci/job-7\n  svidgate client show fleet --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.clientIDs(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := c.dial().ShowClient(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return printClient(cmd.OutOrStdout(), s, time.Now())
		},
	}
	c.flags(cmd, true)
	return cmd
}

func printClient(w io.Writer, s admin.ClientSight, now time.Time) error {
	rows := [][]string{{s.ID}}
	for _, id := range s.Configured {
		rows = append(rows, []string{"  client of the configuration", id})
	}
	if r := s.Client; r != nil {
		template := r.Template
		if template == "" {
			template = "none, so it gets nothing"
		}
		rows = append(rows, []string{"  registered on first use", clientState(*r)}, []string{"  created", age(now, r.Created)}, []string{"  used", age(now, r.LastUsed)},
			[]string{"  methods", strings.Join(r.Methods, ", ")}, []string{"  template in force", template})
		if p := r.Provenance; p != nil {
			rows = append(rows, []string{"  registered by", p.Credential + " " + p.CredentialDigest}, []string{"  bundle sequence", sequence(p.BundleSequence)},
				[]string{"  template then", p.Template + " " + p.TemplateDigest})
			if p.Approved != nil {
				rows = append(rows, []string{"  approved", age(now, p.Approved) + " by " + p.ApprovedBy})
			}
		}
	}
	for _, b := range s.Blocks {
		done := "  blocked"
		if b.Deleted {
			done = "  deleted"
		}
		text := age(now, b.At) + " by " + b.By
		if b.Reason != "" {
			text += ": " + b.Reason
		}
		rows = append(rows, []string{done, text})
	}
	if err := printTable(w, rows); err != nil || len(s.Workloads) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return printClients(w, admin.ClientPage{Clients: s.Workloads}, true, "", now)
}

// clientIDs completes an id from the first records in a state.
func (c *connection) clientIDs(state string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		page, err := c.dial().Clients(cmd.Context(), admin.ClientFilter{State: state, Limit: 100})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, r := range page.Clients {
			ids = append(ids, r.SPIFFEID)
		}
		for _, b := range page.Blocks {
			ids = append(ids, b.Subject)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// changed prints what became of a client.
func (c *connection) changed(cmd *cobra.Command, r admin.ClientRecord, text string) error {
	if c.asJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintln(cmd.OutOrStdout(), text)
	return nil
}

func newClientApprove() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "approve SPIFFE-ID",
		Short: "Let a workload be a client that asked for it, or was deleted",
		Long: `Let a workload be a client that asked for it, or was deleted. It gets what the
template of the configuration in force gives. One that is blocked is unblocked
first.`,
		Example:           "  svidgate client approve spiffe://lab.test/ns/ci/job-7",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.clientIDs("pending"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.dial().ApproveClient(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.changed(cmd, r, args[0]+" is a client, by template "+r.Template)
		},
	}
	c.flags(cmd, true)
	return cmd
}

func newClientBlock() *cobra.Command {
	var (
		c      connection
		reason string
	)
	cmd := &cobra.Command{
		Use:   "block ID",
		Short: "Cut off a client or one workload at once",
		Long: `Cut off a client or one workload at once, whether it registered on first use or is
in the configuration. With the client_id of a client with a wildcard all of its
workloads are cut off, with the SPIFFE ID of one of them that one alone. Access
tokens that were issued before are inactive at introspection; an API that verifies
tokens by itself takes them until they expire.`,
		Example:           "  svidgate client block spiffe://lab.test/ns/ci/job-7 --reason leaked\n  svidgate client block fleet",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.clientIDs(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.dial().BlockClient(cmd.Context(), args[0], reason); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), args[0]+" is blocked")
			c.sayForgets(cmd)
			return nil
		},
	}
	c.flags(cmd, false)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at it later")
	return cmd
}

func newClientUnblock() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:               "unblock ID",
		Short:             "End a block",
		Example:           "  svidgate client unblock spiffe://lab.test/ns/ci/job-7",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.clientIDs("blocked"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.dial().UnblockClient(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), args[0]+" is not blocked any more")
			return nil
		},
	}
	c.flags(cmd, false)
	return cmd
}

func newClientDelete() *cobra.Command {
	var (
		c      connection
		reason string
	)
	cmd := &cobra.Command{
		Use:   "delete SPIFFE-ID",
		Short: "End a client that registered on first use, for good",
		Long: `End a client that registered on first use, for good: its record goes to the
archive, and nothing registers again under its SPIFFE ID until "client approve"
allows that. A client of the configuration is ended there.`,
		Example:           "  svidgate client delete spiffe://lab.test/ns/ci/job-7 --reason gone",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.clientIDs(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.dial().DeleteClient(cmd.Context(), args[0], reason)
			if err != nil {
				return err
			}
			err = c.changed(cmd, r, args[0]+" is deleted")
			if !c.asJSON {
				c.sayForgets(cmd)
			}
			return err
		},
	}
	c.flags(cmd, true)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at it later")
	return cmd
}
