package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/spoken"
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
		ValidArgs: admin.Profiles(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(admin.Profiles(), args[0]) {
				return fmt.Errorf("there is no profile %q; it is one of %s", args[0], strings.Join(admin.Profiles(), ", "))
			}
			if over < time.Second || over > admin.MaxProfile {
				return fmt.Errorf("--over is a time from 1s to %s", spoken.Duration(admin.MaxProfile))
			}
			if file == "-" {
				if terminal(cmd.OutOrStdout()) {
					return errors.New("a profile is binary, and this is a terminal: name a file with --out")
				}
				return c.dial().Profile(cmd.Context(), args[0], over, cmd.OutOrStdout())
			}
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			return errors.Join(c.dial().Profile(cmd.Context(), args[0], over, f), f.Close())
		},
	}
	c.flags(cmd, false)
	cmd.Flags().DurationVar(&over, "over", 10*time.Second, "how long a CPU profile takes, up to 2m")
	cmd.Flags().StringVarP(&file, "out", "o", "-", "file to write; - is standard output, which must not be a terminal")
	cmd.MarkFlagFilename("out", "pprof")
	return cmd
}

// terminal reports whether somebody looks at w: whether it is a character device
// other than /dev/null.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
