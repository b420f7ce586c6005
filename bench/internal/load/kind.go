package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Kinds of errors that are not the server's answers. An answer other than 200 is
// "status" with the number and, where there is one, the error code.
const (
	Refused = "connection refused"
	CutOff  = "connection cut off"
	TimeOut = "timed out"
	NoPorts = "no port or file descriptor left"
	Other   = "other"
)

// Kind sorts an error of Dial or Post into one of a few kinds.
func Kind(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EMFILE):
		return NoPorts
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimeOut
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return CutOff
	}
	return Other
}

// Kind of an answer that is no token.
func (a Answer) Kind() string {
	kind := "status " + strconv.Itoa(a.Status)
	plain := strings.Trim(a.Error, "abcdefghijklmnopqrstuvwxyz_") == "" && len(a.Error) <= 40
	if a.Error != "" && plain {
		kind += " " + a.Error
	}
	return kind
}
