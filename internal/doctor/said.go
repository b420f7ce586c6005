package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// cause is the innermost part of an error of the network, without the addresses
// that are said already.
func cause(err error) string {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Err != nil {
		err = e.Err
	} else if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	return oauth.Shown(err.Error())
}

// shownError is an error of package client or client/workload, fit to be shown.
func shownError(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "client: "), "workload: ")
	return oauth.Shown(strings.ReplaceAll(text, `"`, "'"))
}

// ahead says how far one clock is before another.
func ahead(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%s behind", spoken.Duration(-d))
	}
	return fmt.Sprintf("%s ahead of", spoken.Duration(d))
}
