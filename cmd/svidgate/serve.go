package main

import (
	"context"
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
		Long:    "Run the authorization server from a configuration file.\n\nLogs are JSON lines on standard error. The line with msg \"ready\" names the\naddresses that were bound. SIGTERM and SIGINT stop the server: readiness goes\noff, requests end, then it closes. A configuration is read once; restart the\nserver to change it.",
		Example: "  svidgate serve --config svidgate.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if _, ok := errors.AsType[config.Faults](err); ok {
				// As check-config prints them: editors read FILE:LINE:COL.
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errSilent
			}
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w; name the configuration with --config", err)
			}
			if err != nil {
				return err
			}
			log := newLogger(cmd.ErrOrStderr(), cfg.LogLevel)
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			ignoreHangup(ctx, log)
			return daemon.Run(ctx, cfg, daemon.Options{Log: log})
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "svidgate.yaml", "configuration file")
	cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	return cmd
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// ignoreHangup keeps a SIGHUP, which administrators send to have a configuration
// read again, from ending the process.
func ignoreHangup(ctx context.Context, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-hangup:
				log.Warn("SIGHUP changes nothing in this version: restart the server to read its configuration again")
			case <-ctx.Done():
				return
			}
		}
	}()
}

func newCheckConfig() *cobra.Command {
	return &cobra.Command{
		Use:     "check-config FILE",
		Short:   "Check a configuration file and name every fault in it",
		Long:    "Check a configuration file. Without a fault it prints nothing and exits 0.\nOtherwise it prints one line FILE:LINE:COL: message for each fault on standard\nerror and exits 1.",
		Example: "  svidgate check-config svidgate.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := config.Load(args[0]); err != nil {
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
