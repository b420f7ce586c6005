package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/svidgate/svidgate/internal/loopback"
	"github.com/svidgate/svidgate/oauth"
)

// workloadSocket looks at the address before anything is asked: who could put
// another socket in its place would decide who this workload is.
func workloadSocket(ctx context.Context, p *patient) verdict {
	if p.elsewhere() {
		p.facts |= factSocket
		return notJudged("the SVIDs come from files")
	}
	if p.Socket == "" {
		p.Socket = os.Getenv(workloadapi.SocketEnv)
	}
	if p.Socket == "" {
		return notJudged("neither --socket nor %s names one", workloadapi.SocketEnv)
	}
	const form = "give unix:// and an absolute path, or tcp://ip:port (CL-1)"
	u, err := url.Parse(p.Socket)
	if err != nil || workloadapi.ValidateAddress(p.Socket) != nil {
		return failed(form, "%s is no address of a Workload API", oauth.Shown(p.Socket))
	}
	network, address := "tcp", u.Host
	if u.Scheme == "unix" {
		network, address = "unix", u.Path
		if v, bad := socketFile(u.Path); bad {
			return v
		}
	} else if !loopback.Host(u.Hostname()) {
		return failed("use the agent's Unix socket, or its address on loopback",
			"%s is not on this machine, and the Workload API has no protection of its own on the way", oauth.Shown(p.Socket))
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return failed("start the agent, and mount its socket for this user", "nobody answers at %s: %s", oauth.Shown(p.Socket), cause(err))
	}
	conn.Close()
	p.facts |= factSocket
	return passed("%s answers", oauth.Shown(p.Socket))
}

// socketFile judges the file of a Unix socket.
func socketFile(path string) (v verdict, bad bool) {
	shown := oauth.Shown(path)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed("start the agent, or mount its socket here, or name another with --socket", "there is no %s", shown), true
	case err != nil:
		return failed("let this user reach the socket", "%s: %s", shown, cause(err)), true
	case info.Mode().Type() != fs.ModeSocket:
		return failed("name the agent's socket with --socket", "%s is no socket", shown), true
	}
	folder := path[:strings.LastIndexByte(path, '/')+1]
	if info, err := os.Stat(folder); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return failed("chmod o-w "+oauth.Shown(folder), "everybody may put another socket in the place of %s", shown), true
	}
	return verdict{}, false
}
