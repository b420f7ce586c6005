package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// Who interrupts a command that waits for its input need not do so twice.
func TestInputIsInterrupted(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	root := newRoot()
	root.SetArgs([]string{"inspect", "-"})
	root.SetIn(readerFunc(func(b []byte) (int, error) {
		cancel()
		return in.Read(b)
	}))
	root.SetOut(new(bytes.Buffer))
	if err := root.ExecuteContext(ctx); !errors.Is(err, errInterrupted) {
		t.Errorf("%v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
