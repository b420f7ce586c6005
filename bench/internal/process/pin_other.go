//go:build !linux

package process

import "errors"

var errLinux = errors.New("processes are pinned to cores on Linux only")

// Pin is for Linux.
func Pin(int) error { return errLinux }

func pinned(int, func() error) error { return errLinux }
