//go:build unix

package client

import "syscall"

const openFlags = syscall.O_NONBLOCK // the open of a FIFO returns at once
