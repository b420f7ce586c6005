package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/build"
	"github.com/svidgate/svidgate/internal/store/sqlite"
)

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Look at the schema of the store, and bring it up to date",
		Long: `Look at the schema of the store, and bring it to the version that this svidgate
needs. The server does so by itself when it starts; these commands are for whoever
wants to see it, or to do it before. There is no way back: keep a copy of the file.`,
		Example: `  svidgate migrate status
  svidgate migrate up --config svidgate.yaml`,
	}
	return group(cmd, newMigrateStatus(), newMigrateUp())
}

// A storeFile is the store that a configuration names.
type storeFile struct{ config string }

func (s *storeFile) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.config, "config", "c", "svidgate.yaml", "configuration file")
	cmd.MarkFlagFilename("config", "yaml", "yml", "json")
}

// open reads the configuration.
func (s *storeFile) open(cmd *cobra.Command) (sqlite.Config, error) {
	cfg, err := loadConfig(cmd, s.config)
	if err != nil {
		return sqlite.Config{}, err
	}
	return sqlite.Config{Address: cfg.Store.Address(), Version: build.Read().Version}, nil
}

func newMigrateStatus() *cobra.Command {
	var (
		file   storeFile
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say which version the schema has, and which is needed",
		Long:    "Say which version the schema of the store has, and which this svidgate needs.\nNothing is changed.",
		Example: "  svidgate migrate status\n  svidgate migrate status --config svidgate.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := file.open(cmd)
			if err != nil {
				return err
			}
			at, err := sqlite.Status(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), at)
			}
			return printSchema(cmd.OutOrStdout(), at)
		},
	}
	file.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printSchema(w io.Writer, at sqlite.Schema) error {
	fmt.Fprintf(w, "%s: version %d of %d\n", at.File, at.Version, at.Needed)
	rows := [][]string{{"VERSION", "NAME", "STATE"}}
	for _, m := range at.Migrations {
		state := "pending"
		if m.Applied {
			state = "applied"
		}
		rows = append(rows, []string{fmt.Sprint(m.Version), m.Name, state})
	}
	return printTable(w, rows)
}

func newMigrateUp() *cobra.Command {
	var file storeFile
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Bring the schema to the version that is needed",
		Long:    "Bring the schema of the store to the version that this svidgate needs; the file is\nmade if there is none.",
		Example: "  svidgate migrate up\n  svidgate migrate up --config svidgate.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := file.open(cmd)
			if err != nil {
				return err
			}
			return migrateUp(cmd.Context(), cmd.OutOrStdout(), cfg)
		},
	}
	file.flags(cmd)
	return cmd
}

func migrateUp(ctx context.Context, w io.Writer, cfg sqlite.Config) error {
	before, err := sqlite.Status(ctx, cfg)
	if err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if before.Version == before.Needed {
		fmt.Fprintf(w, "%s: version %d, nothing to do\n", before.File, before.Version)
		return nil
	}
	fmt.Fprintf(w, "%s: version %d, was %d\n", before.File, before.Needed, before.Version)
	return nil
}
