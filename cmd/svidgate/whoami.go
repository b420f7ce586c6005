package main
import "github.com/spf13/cobra"
func newWhoami() *cobra.Command { return &cobra.Command{Use: "whoami"} }
func newDoctor() *cobra.Command { return &cobra.Command{Use: "doctor"} }
