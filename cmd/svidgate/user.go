package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/login"
)

func newUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Look after the people who sign in at a running server",
		Long: `Look after the people who sign in at a running server, through its administration
socket. Local users sign in with a password (login.local in the configuration); add,
list, password and remove are about them. consents, withdraw and signout are about
everybody: a person is named by the sub of their tokens, such as corp:4711, and a
local user also by the name alone.`,
		Example: `  svidgate user add alice
  svidgate user list
  svidgate user withdraw corp:4711 ledger`,
	}
	return group(cmd, newUserAdd(), newUserList(), newUserPassword(), newUserRemove(), newUserConsents(), newUserWithdraw(), newUserSignOut())
}

// A passwordSource is where a command gets a password: from somebody who types it,
// or from a file. It is no argument, which every user of the machine could read.
type passwordSource struct{ file string }

func (p *passwordSource) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.file, "password-file", "", "file with the password, or - for standard input (default: ask for it)")
	cmd.MarkFlagFilename("password-file")
}

// read reads it. A line feed at its end is not part of it.
func (p *passwordSource) read(cmd *cobra.Command) (string, error) {
	if p.file == "" {
		if in, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			return askPassword(cmd.Context(), cmd.ErrOrStderr(), in)
		}
		return "", errors.New("nobody can be asked for the password here: give --password-file, or - to read it from standard input")
	}
	data, err := readInput(cmd, p.file, login.MaxPassword+3)
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return password, login.CheckPassword(password)
}

// errNoPassword ends a command whose question was not answered.
var errNoPassword = errors.New("no password was given")

// askPassword asks twice, and shows nothing of what is typed. Interrupted, it leaves the
// terminal as it found it.
func askPassword(ctx context.Context, out io.Writer, in *os.File) (string, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(out, prompt)
		defer fmt.Fprintln(out)
		typed := make(chan string, 1)
		go func() { // reading a terminal cannot be interrupted
			defer close(typed)
			if line, err := term.ReadPassword(fd); err == nil {
				typed <- string(line)
			}
		}()
		select {
		case <-ctx.Done():
			return "", errors.Join(errNoPassword, term.Restore(fd, before))
		case line, ok := <-typed:
			if !ok {
				return "", errNoPassword
			}
			return line, nil
		}
	}
	password, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	if err := login.CheckPassword(password); err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", errors.New("these are two different passwords")
	}
	return password, nil
}

func newUserAdd() *cobra.Command {
	var (
		c connection
		p passwordSource
	)
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a user who signs in with a password",
		Long: `Make a user who signs in with a password, of 12 characters at least: asked for twice,
or read from a file. Where login.local is not true, nobody can sign in with one.`,
		Example: "  svidgate user add alice\n  svidgate user add alice --password-file secret.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := login.CheckName(args[0]); err != nil {
				return err
			}
			password, err := p.read(cmd)
			if err != nil {
				return err
			}
			if err := c.dial().AddUser(cmd.Context(), args[0], password); err != nil {
				return err
			}
			err = c.printUser(cmd.OutOrStdout(), args[0], "can sign in where login.local is true")
			if !c.asJSON {
				c.sayForgets(cmd)
			}
			return err
		},
	}
	c.flags(cmd, true)
	p.flags(cmd)
	return cmd
}

// printUser says what became of a user.
func (c *connection) printUser(w io.Writer, name, what string) error {
	subject := login.User{Name: name}.Subject()
	if c.asJSON {
		return printJSON(w, struct {
			Name    string `json:"name"`
			Subject string `json:"subject"`
		}{name, subject})
	}
	_, err := fmt.Fprintf(w, "%s %s; in tokens it is %s\n", name, what, subject)
	return err
}

func newUserList() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the users who sign in with a password",
		Example: "  svidgate user list\n  svidgate user list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.dial().Users(cmd.Context())
			if err != nil {
				return err
			}
			if c.asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := [][]string{{"NAME", "SUBJECT", "CREATED", "PASSWORD CHANGED"}}
			now := time.Now()
			for _, u := range all {
				rows = append(rows, []string{u.Name, u.Subject, age(now, &u.Created), age(now, &u.PasswordChanged)})
			}
			return printTable(cmd.OutOrStdout(), rows)
		},
	}
	c.flags(cmd, true)
	return cmd
}

func newUserPassword() *cobra.Command {
	var (
		c connection
		p passwordSource
	)
	cmd := &cobra.Command{
		Use:               "password NAME",
		Short:             "Give a user another password and end its sessions",
		Example:           "  svidgate user password alice\n  svidgate user password alice --password-file secret.txt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.users,
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := p.read(cmd)
			if err != nil {
				return err
			}
			if err := c.dial().ChangePassword(cmd.Context(), args[0], password); err != nil {
				return err
			}
			return c.printUser(cmd.OutOrStdout(), args[0], "has another password")
		},
	}
	c.flags(cmd, true)
	p.flags(cmd)
	return cmd
}

// users completes the name of a local user from what the server knows.
func (c *connection) users(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := c.dial().Users(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, u := range all {
		names = append(names, u.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newUserRemove() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a user away, with its sessions and what clients have in its name",
		Long: `Take a user away, with its sessions, its consents and what clients were granted in
its name: their refresh tokens end at once. Access tokens that are out live to their
end, which is minutes, but for APIs that ask the server about each.`,
		Example:           "  svidgate user remove alice",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.users,
		RunE: func(cmd *cobra.Command, args []string) error {
			ended, err := c.dial().RemoveUser(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printEnded(cmd.OutOrStdout(), subjectOf(args[0]), ended)
		},
	}
	c.flags(cmd, true)
	return cmd
}

// printEnded says what ended of whom.
func (c *connection) printEnded(w io.Writer, subject string, e login.Ended) error {
	if c.asJSON {
		return printJSON(w, e)
	}
	_, err := fmt.Fprintf(w, "%s: ended sessions %d, consents %d, grants %d\n", subject, e.Sessions, e.Consents, e.Grants)
	return err
}

// subjectOf is the person that an argument names.
func subjectOf(arg string) string {
	if strings.Contains(arg, ":") {
		return arg
	}
	return login.User{Name: arg}.Subject()
}

func newUserConsents() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:               "consents SUBJECT",
		Short:             "List what a person lets clients have in their name",
		Example:           "  svidgate user consents alice\n  svidgate user consents corp:4711 --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.users,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := c.dial().Consents(cmd.Context(), subjectOf(args[0]))
			if err != nil {
				return err
			}
			if c.asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printConsents(cmd.OutOrStdout(), all, time.Now())
		},
	}
	c.flags(cmd, true)
	return cmd
}

func printConsents(w io.Writer, all []admin.Consent, now time.Time) error {
	rows := [][]string{{"CLIENT", "RESOURCE", "SCOPE", "GIVEN"}}
	for _, consent := range all {
		rows = append(rows, []string{consent.ClientID, consent.Resource, strings.Join(consent.Scope, " "), age(now, &consent.Given)})
	}
	return printTable(w, rows)
}

func newUserWithdraw() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "withdraw SUBJECT [CLIENT]",
		Short: "Take back what a person lets a client have, or all clients",
		Long: `Take back what a person lets a client have, or all clients: the person is asked
again, and refresh tokens in their name end at once.`,
		Example:           "  svidgate user withdraw alice ledger\n  svidgate user withdraw corp:4711",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.users,
		RunE: func(cmd *cobra.Command, args []string) error {
			client := ""
			if len(args) == 2 {
				client = args[1]
			}
			ended, err := c.dial().Withdraw(cmd.Context(), subjectOf(args[0]), client)
			if err != nil {
				return err
			}
			return c.printEnded(cmd.OutOrStdout(), subjectOf(args[0]), ended)
		},
	}
	c.flags(cmd, true)
	return cmd
}

func newUserSignOut() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:               "signout SUBJECT",
		Short:             "End all sessions of a person",
		Example:           "  svidgate user signout alice",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.users,
		RunE: func(cmd *cobra.Command, args []string) error {
			ended, err := c.dial().SignOut(cmd.Context(), subjectOf(args[0]))
			if err != nil {
				return err
			}
			return c.printEnded(cmd.OutOrStdout(), subjectOf(args[0]), ended)
		},
	}
	c.flags(cmd, true)
	return cmd
}
