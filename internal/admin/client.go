package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/internal/keys"
)

const trustDomain = "name of the trust domain"

// timeout bounds each call, a profile by as much beyond the time it is taken over.
const timeout = time.Minute

// A Client asks the server behind an administration socket.
type Client struct {
	path string
	http *http.Client
}

// Dial makes a client for the socket at path, which may be written as unix://path.
// It does not connect yet.
func Dial(path string) *Client {
	path = strings.TrimPrefix(path, "unix://")
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Client{path: path, http: &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, "unix", path)
				if err != nil {
					return nil, err
				}
				return &httpConn{Conn: conn}, nil
			},
		},
	}}
}

// An httpConn ends when what comes first is not HTTP/1. A gRPC server speaks before it is
// asked, which net/http tells in several ways, by who was faster.
type httpConn struct {
	net.Conn
	begun   bool
	foreign atomic.Bool // what came first was not HTTP/1
}

var errNotHTTP = errors.New("no HTTP")

func (c *httpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.begun {
		c.begun = true
		if first := b[:min(n, len("HTTP/1."))]; !strings.HasPrefix("HTTP/1.", string(first)) {
			c.foreign.Store(true)
			return 0, errNotHTTP
		}
	}
	return n, err
}

// Write fails for the same reason as Read where that made net/http hang up.
func (c *httpConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.foreign.Load() {
		err = errNotHTTP
	}
	return n, err
}

// Bundles is the state of all trust domains.
func (c *Client) Bundles(ctx context.Context) (all []Bundle, err error) {
	return all, c.call(ctx, http.MethodGet, "/bundles", nil, &all)
}

// Bundle is the state of one trust domain, with the entries of its bundle.
func (c *Client) Bundle(ctx context.Context, name string) (b Bundle, err error) {
	name, err = part(trustDomain, name)
	if err != nil {
		return b, err
	}
	return b, c.call(ctx, http.MethodGet, "/bundles/"+name, nil, &b)
}

// Difference compares the bundle in use with the document, or, where that is nil,
// with what its source says now. Nothing is taken into use.
func (c *Client) Difference(ctx context.Context, name string, document []byte) (d Difference, err error) {
	name, err = part(trustDomain, name)
	if err != nil {
		return d, err
	}
	method := http.MethodGet
	if document != nil {
		method = http.MethodPost
	}
	return d, c.call(ctx, method, "/bundles/"+name+"/difference", document, &d)
}

// Refresh has the bundle fetched now. With acceptOlder one with a lower sequence
// than the one in use is taken.
func (c *Client) Refresh(ctx context.Context, name string, acceptOlder bool) (d Difference, err error) {
	name, err = part(trustDomain, name)
	if err != nil {
		return d, err
	}
	path := "/bundles/" + name + "/refresh"
	if acceptOlder {
		path += "?accept_older=true"
	}
	return d, c.call(ctx, http.MethodPost, path, nil, &d)
}

// Keys are the signing keys.
func (c *Client) Keys(ctx context.Context) (all []keys.Key, err error) {
	return all, c.call(ctx, http.MethodGet, "/keys", nil, &all)
}

// Rotate makes the next signing key; with now it signs at once.
func (c *Client) Rotate(ctx context.Context, now bool) (change keys.Change, err error) {
	path := "/keys/rotate"
	if now {
		path += "?now=true"
	}
	return change, c.call(ctx, http.MethodPost, path, nil, &change)
}

// Remove ends a signing key at once.
func (c *Client) Remove(ctx context.Context, kid string) (change keys.Change, err error) {
	kid, err = part("kid", kid)
	if err != nil {
		return change, err
	}
	return change, c.call(ctx, http.MethodPost, "/keys/"+kid+"/remove", nil, &change)
}

// Reload has the configuration read again. The error is what check-config says of
// a file that is at fault.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/reload", nil, new(struct{}))
}

// Profile copies a profile of the server to out, in the format of go tool pprof.
// over is how long a CPU profile takes.
func (c *Client) Profile(ctx context.Context, kind string, over time.Duration, out io.Writer) error {
	kind, err := part("profile", kind)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, over+timeout)
	defer cancel()
	response, err := c.ask(ctx, http.MethodGet, fmt.Sprintf("/profiles/%s?seconds=%d", kind, over/time.Second), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		return c.refusal(response.StatusCode, data)
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("the server at %s broke off its answer: %w", c.path, err)
	}
	return nil
}

// Explain has the server judge a credential as it would now. Nothing changes by
// that, and nothing is logged.
func (c *Client) Explain(ctx context.Context, q explain.Question) (r explain.Report, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	return r, c.call(ctx, http.MethodPost, "/explain", body, &r)
}

// Decision finds a decision in the server's audit record.
func (c *Client) Decision(ctx context.Context, requestID string) (d explain.Decision, err error) {
	requestID, err = part("request id", requestID)
	if err != nil {
		return d, err
	}
	return d, c.call(ctx, http.MethodGet, "/decisions/"+requestID, nil, &d)
}

// A Refusal is the error of a server that was asked and did not do it.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return r.Why }

// part is a name as part of a path. What would be read as something else in a
// path is no name.
func part(what, name string) (string, error) {
	switch name {
	case "":
		return "", fmt.Errorf("the %s is empty", what)
	case ".", "..":
		return "", fmt.Errorf("%s is no %s", name, what)
	}
	return url.PathEscape(name), nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	response, err := c.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the server at %s broke off its answer: %w", c.path, err)
	}
	if response.StatusCode != http.StatusOK {
		return c.refusal(response.StatusCode, data)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("the answer of the server at %s cannot be read: %w", c.path, err)
	}
	return nil
}

// ask sends one request, which the caller bounds in time. The body of the answer is
// the caller's to close.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://svidgate"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return response, nil
}

// refusal is the error in an answer that is none.
func (c *Client) refusal(status int, answer []byte) error {
	var p problem
	if json.Unmarshal(answer, &p) != nil || p.Error == "" {
		return fmt.Errorf("the server at %s answered with status %d", c.path, status)
	}
	return &Refusal{p.Error}
}

// An Unreachable is the error of a server that was not asked: why, and what to do.
type Unreachable struct{ Why, Next string }

func (e *Unreachable) Error() string { return e.Why + ": " + e.Next }

// unreachable says what to do about a socket that nobody answers at.
func (c *Client) unreachable(err error) error {
	info, statErr := os.Stat(c.path)
	const name = "name the server's with --socket or SVIDGATE_SOCKET; its log line 'ready' has it as admin"
	switch {
	case len(c.path) > maxPath:
		return &Unreachable{c.path + " is longer than the path of a socket can be", name}
	case errors.Is(err, fs.ErrNotExist):
		return &Unreachable{"there is no socket " + c.path, name}
	case statErr == nil && info.Mode().Type() != fs.ModeSocket:
		return &Unreachable{c.path + " is no socket", name}
	case errors.Is(err, fs.ErrPermission):
		return &Unreachable{"this user may not open the socket " + c.path, "run as the user that the server runs as, or as root"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Unreachable{"no server answers at " + c.path, "is it running?"}
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(err, errNotHTTP) {
		return &Unreachable{"what answers at " + c.path + " is no svidgate server", "is it another socket, such as a Workload API's?"}
	}
	return fmt.Errorf("the server at %s cannot be asked: %w", c.path, err)
}

// maxPath is how long the path of a Unix socket may be on Linux.
const maxPath = 107
