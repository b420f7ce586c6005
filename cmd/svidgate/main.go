// Command svidgate gives SPIFFE workloads OAuth 2.0 access tokens: the
// authorization server, and the tools around it. `svidgate help` lists them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := finish(newRoot()).ExecuteContext(ctx)
	if err != nil {
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(os.Stderr, "svidgate: "+err.Error())
		}
		os.Exit(exitCode(err))
	}
}

// errSilent ends a command whose output has said already what is wrong.
var errSilent = errors.New("failed")

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "svidgate",
		Short: "OAuth 2.0 access tokens for SPIFFE workloads, with no client secret anywhere",
		Long: `Svidgate gives SPIFFE workloads OAuth 2.0 access tokens with no client secret
anywhere. A workload shows the SVID it already holds; the server checks it
against the bundle of its trust domain and answers with a short-lived token,
which the API verifies by itself.`,
		Example: `  svidgate demo                          see it work
  svidgate dev                           try it out
  svidgate serve --config svidgate.yaml  run it`,
		Version:       readVersion().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	group(root, newServe(), newCheckConfig(), newToken(), newDemo(), newDev(),
		newExplain(), newInspect(), newWhoami(), newDoctor(),
		newBundle(), newClient(), newPlan(), newUser(), newKeys(), newRevoke(), newMigrate(), newReload(), newAudit(), newProfile(), newVersion())
	root.SetVersionTemplate("{{.Version}}\n")
	root.SuggestionsMinimumDistance = 1 // of so many words, one or another is near everything
	sayUse(root)
	root.SetFlagErrorFunc(sayFlag)
	return root
}

// finish adds the commands that cobra makes, once it is known where they print. What
// they do not know is an error, not help and success.
func finish(root *cobra.Command) *cobra.Command {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			group(c)
		case "help":
			c.Run, c.RunE = nil, help
		}
	}
	return root
}

func help(cmd *cobra.Command, args []string) error {
	about, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("there is no command %q; svidgate --help lists all", strings.Join(args, " "))
	}
	return about.Help()
}

// sayUse has a command, and all below it, say how it is used where the arguments do
// not fit; cobra only counts them.
func sayUse(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		sayUse(sub)
	}
	fit := cmd.Args
	if fit == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := fit(cmd, args); err != nil {
			return fmt.Errorf("%w; use it as %s", err, cmd.UseLine())
		}
		return nil
	}
}

// sayFlag says of a flag that is wrong what it takes, in place of what a parser of Go
// said, and where its command explains it.
func sayFlag(cmd *cobra.Command, err error) error {
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		takes := map[string]string{"int": "a number", "duration": "a time with its unit, such as 30s", "bool": "true or false"}
		if kind, ok := takes[wrong.GetFlag().Value.Type()]; ok {
			return fmt.Errorf("--%s is %s, not %q", wrong.GetFlag().Name, kind, wrong.GetValue())
		}
	}
	if none, ok := errors.AsType[*pflag.NotExistError](err); ok && none.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("%w; see %s --help, or put -- before a name that begins with a dash", err, cmd.CommandPath())
	}
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

// group makes a command of which only its subcommands do anything. Without one it
// shows its help; a word that is none is an error, not help and success.
func group(cmd *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(subcommands...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return errors.New(text)
	}
	return cmd
}
