package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/oauth"
)

// errTokenAsName is what it says because an error about the file would repeat it
// (AU-2).
var errTokenAsName = errors.New("this takes the name of a file, and that is a token or a key: put it into a file, or send it through a pipe")

// readInput reads a file, or standard input for "-", up to as many bytes: give one
// more than is taken, so that whoever takes it can say so. The content is never
// nil.
func readInput(cmd *cobra.Command, name string, most int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		if oauth.Redact(name) != name {
			return nil, errTokenAsName
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var (
		data []byte
		err  error
		read = make(chan struct{})
	)
	go func() { // reading a terminal cannot be interrupted
		defer close(read)
		data, err = io.ReadAll(io.LimitReader(in, most))
	}()
	select {
	case <-cmd.Context().Done():
		return nil, errInterrupted
	case <-read:
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append([]byte{}, data...), nil
}

var errInterrupted = errors.New("interrupted: nothing was done")

// inputName is the file that a command was given: "-" without one, unless somebody
// would have to type it.
func inputName(cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if isTerminal(cmd.InOrStdin()) {
		return "", errors.New("give a file, or - to paste it here")
	}
	return "-", nil
}

// isTerminal reports whether somebody would have to type the input.
func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
