package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
)

func newProfile() *cobra.Command {
	var (
		c    connection
		over time.Duration
		file string
	)
	cmd := &cobra.Command{
		Use:   "profile cpu|heap|allocs|goroutine",
		Short: "Take a profile of a running server, for go tool pprof",
		Long: `Take a profile of a running server, for go tool pprof: where it spends its time
(cpu), what it keeps (heap), what it has allocated since its start (allocs), and
what its goroutines wait for (goroutine). Profiles count functions; nothing that
a request carried is in them. Then, for example: go tool pprof -top cpu.pprof`,
		Example: `  svidgate profile cpu --over 30s --out cpu.pprof
  svidgate profile heap --out heap.pprof`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: admin.Profiles,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !slices.Contains(admin.Profiles, args[0]) {
				return fmt.Errorf("there is no profile %q; it is one of %s", args[0], strings.Join(admin.Profiles, ", "))
			}
			if over < time.Second || over > admin.MaxProfile {
				return fmt.Errorf("--over is a time from 1s to %s", short(admin.MaxProfile))
			}
			var out io.Writer = cmd.OutOrStdout()
			if file != "-" {
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
				if err != nil {
					return err
				}
				defer f.Close()
				out = f
			}
			return c.dial().Profile(cmd.Context(), args[0], over, out)
		},
	}
	c.flags(cmd, false)
	cmd.Flags().DurationVar(&over, "over", 10*time.Second, "how long a CPU profile takes, up to 2m")
	cmd.Flags().StringVarP(&file, "out", "o", "-", "file to write; - is standard output")
	cmd.MarkFlagFilename("out", "pprof")
	return cmd
}
