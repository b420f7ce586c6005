package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/inspect"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/spoken"
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
	} else if !loopback(u.Hostname()) {
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

// x509SVID asks what this process is.
func x509SVID(ctx context.Context, p *patient) verdict {
	if p.elsewhere() {
		p.facts |= factWorkload
		if p.X509Source == nil {
			return notJudged("there is no file with one")
		}
		svid, err := p.X509Source.GetX509SVID()
		if err != nil {
			return failed("look at what writes the files", "%s", shownError(err))
		}
		return p.judgeX509(svid, "look at what writes the files: it should have renewed the SVID at half of its life")
	}
	view, err := workload.Look(ctx, p.Socket, "")
	if err != nil {
		next := "look at the agent's log"
		if errors.Is(err, workload.ErrNoIdentity) {
			next = "register this workload with the trust domain (the agent goes by its user, container or pod), and run doctor as the workload runs"
		}
		return failed(next, "%s", shownError(err))
	}
	if v, bad := p.notOffered(view); bad {
		return v
	}
	source, err := workload.Open(ctx, workload.Config{Address: p.Socket, SPIFFEID: p.SPIFFEID, Hint: p.Hint})
	if err != nil {
		return failed("run `svidgate whoami` to see the identities there are", "%s", shownError(err))
	}
	p.source = source
	p.facts |= factWorkload
	svid, err := source.GetX509SVID()
	if err != nil {
		return notJudged("this Workload API has no X.509-SVIDs")
	}
	return p.judgeX509(svid, "look at the agent's log: it should have renewed the SVID at half of its life")
}

// judgeX509 takes the SVID into use and says what is wrong with it; late is what to
// do about one that is about to end.
func (p *patient) judgeX509(svid *x509svid.SVID, late string) verdict {
	p.x509 = svid
	p.facts |= factX509
	leaf := svid.Certificates[0]
	who := svid.ID.String()
	if r, err := inspect.Inspect(chainOf(svid), p.Now()); err == nil {
		if v, bad := odd(who, r.Remarks, "have the trust domain issue SVIDs without this fault"); bad {
			return v
		}
	}
	left := leaf.NotAfter.Sub(p.Now())
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if left < life/10 {
		return failed(late, "%s ends in %s, of a life of %s", who, spoken.Duration(left), spoken.Duration(life))
	}
	return passed("%s, expires in %s", who, spoken.Duration(left))
}

// notOffered fails at once where opening a source would wait for an identity that
// may come yet.
func (p *patient) notOffered(view *workload.View) (v verdict, bad bool) {
	var names []string
	for _, svid := range view.X509SVIDs {
		if (p.SPIFFEID == "" || svid.ID.String() == p.SPIFFEID) && (p.Hint == "" || svid.Hint == p.Hint) {
			return verdict{}, false
		}
		names = append(names, svid.ID.String())
	}
	if len(names) == 0 { // no profile for X.509-SVIDs
		return verdict{}, false
	}
	return failed("register the workload for it, or choose one that `svidgate whoami` shows",
		"the Workload API offers %s, and not the one asked for", oauth.Shown(strings.Join(names, ", "))), true
}

func chainOf(svid *x509svid.SVID) (der []byte) {
	for _, cert := range svid.Certificates {
		der = append(der, cert.Raw...)
	}
	return der
}

// odd fails on the first remark of package inspect.
func odd(what string, remarks []inspect.Remark, next string) (v verdict, bad bool) {
	if len(remarks) == 0 {
		return verdict{}, false
	}
	m := remarks[0]
	code := m.Rule
	if m.Reason != "" {
		code = string(m.Reason) + ", " + m.Rule
	}
	return failed(next, "%s: %s (%s)", what, m.Text, code), true
}

// jwtSVID asks for what the client would send.
func jwtSVID(ctx context.Context, p *patient) verdict {
	if p.Issuer == "" {
		return notJudged("there is no --issuer to ask it for")
	}
	var source client.JWTSource = p.source
	next := "look at the agent's log, and whether the workload is registered for JWT-SVIDs"
	if p.elsewhere() {
		if source = p.JWTSource; source == nil {
			return notJudged("there is no file with one")
		}
		next = "have the file written with a JWT-SVID for the audience " + oauth.Shown(p.Issuer)
	}
	raw, err := source.FetchJWTSVID(ctx, p.Issuer)
	if err != nil {
		return failed(next, "%s", shownError(err))
	}
	r, err := inspect.Inspect([]byte(raw), p.Now())
	if err != nil {
		return failed(next, "what is there is no JWT-SVID: %s", oauth.Shown(err.Error()))
	}
	token, err := jose.ParseCompact(raw)
	if err != nil { // cannot be: inspect has read it
		return failed(next, "%s", oauth.Shown(err.Error()))
	}
	p.jwt = token
	p.facts |= factJWT
	sub, _ := p.claim("sub").Text()
	if v, bad := odd(oauth.Shown(sub), r.Remarks, "have the trust domain issue SVIDs without this fault, and compare the clocks"); bad {
		return v
	}
	if p.x509 != nil && sub != p.x509.ID.String() {
		return failed("show SVIDs of one identity; --spiffe-id chooses one of a Workload API's", "the JWT-SVID is of %s, the X.509-SVID of %s (TK-3)", oauth.Shown(sub), p.x509.ID)
	}
	exp, _ := p.claim("exp").NumericDate()
	return passed("%s, audience %s, expires in %s", oauth.Shown(sub), oauth.Shown(p.audience()), spoken.Duration(exp.Sub(p.Now())))
}

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
