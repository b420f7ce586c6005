package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/daemon"
)

func newServe() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "serve --config FILE",
		Short:   "Run the authorization server",
		Long:    "Run the authorization server from a configuration file.\n\nLogs are JSON lines on standard error. The line with msg \"ready\" names the\naddresses that were bound. SIGTERM and SIGINT stop the server: readiness goes\noff, requests end, then it closes. SIGHUP, or a change of the configuration's\nfiles, has it read again: all of it takes effect, or nothing.",
		Example: "  svidgate serve --config svidgate.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, file)
			if err != nil {
				return err
			}
			level := new(slog.LevelVar)
			level.Set(cfg.LogLevel)
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return daemon.Run(cmd.Context(), cfg, daemon.Options{
				Log: newLogger(cmd.ErrOrStderr(), level), Level: level, Hangup: hangup,
				Load: func() (*config.Config, error) { return config.Load(file) },
			})
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "svidgate.yaml", "configuration file")
	cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	return cmd
}

func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// loadConfig reads the configuration that --config names. Its faults are printed as
// check-config does: editors read FILE:LINE:COL.
func loadConfig(cmd *cobra.Command, file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if _, ok := errors.AsType[config.Faults](err); ok {
		fmt.Fprintln(cmd.ErrOrStderr(), err)
		return nil, errSilent
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; name the configuration with --config", err)
	}
	return cfg, err
}

func newCheckConfig() *cobra.Command {
	return &cobra.Command{
		Use:     "check-config FILE",
		Short:   "Check a configuration file and name every fault in it",
		Long:    "Check a configuration file. Without a fault it prints nothing and exits 0.\nOtherwise it prints one line FILE:LINE:COL: message for each fault on standard\nerror and exits 1.",
		Example: "  svidgate check-config svidgate.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := config.Load(args[0]); errors.Is(err, fs.ErrNotExist) {
				return err
			} else if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errSilent
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
}
