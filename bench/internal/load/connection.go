package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

const maxAnswer = 64 << 10

// A Dialer opens connections to one server.
type Dialer struct {
	Target  netip.AddrPort // from the function Target
	TLS     *tls.Config
	Source  netip.Addr // of the connection; the zero Addr leaves it to the system
	Timeout time.Duration
}

// Dial connects and ends the handshake, which includes the check of the server's
// certificate.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	dialer := net.Dialer{}
	if d.Source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.Source, 0))
		dialer.Control = portWhenConnected
	}
	raw, err := dialer.DialContext(ctx, "tcp", d.Target.String())
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, d.TLS)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return &Conn{tls: c, in: bufio.NewReaderSize(c, 4<<10), host: d.Target.String()}, nil
}

// portWhenConnected leaves the choice of the port to connect, which knows that
// two connections to different targets may share one. Otherwise bind would run
// out of ports with a few ten thousand connections.
func portWhenConnected(_, _ string, c syscall.RawConn) error {
	const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT of Linux
	var set error
	err := c.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1) })
	if err != nil {
		return err
	}
	return set
}

// A Conn is a connection on which one request at a time is sent.
type Conn struct {
	tls  *tls.Conn
	in   *bufio.Reader
	host string
	out  []byte
}

// An Answer is what matters of a response.
type Answer struct {
	Status     int
	Error      string        // the error code of a refusal
	RetryAfter time.Duration // zero without one
	Closed     bool          // the server takes no further request on this connection
	Body       []byte        // of a success, where the message asked for it
}

// Resumed says that the handshake was a resumption.
func (c *Conn) Resumed() bool { return c.tls.ConnectionState().DidResume }

// Close ends the connection.
func (c *Conn) Close() { c.tls.Close() }

// A Message is what is sent.
type Message struct {
	Path string
	Form string
	// Header is more lines of the header, each with its name and without an end.
	Header []string
	// Keep asks for the body of the answer; without it that of a token is thrown away.
	Keep bool
}

// Post sends a form to path and reads the answer to its end.
func (c *Conn) Post(path, form string, timeout time.Duration) (Answer, error) {
	return c.Send(Message{Path: path, Form: form}, timeout)
}

// Send sends a message and reads the answer to its end.
func (c *Conn) Send(m Message, timeout time.Duration) (Answer, error) {
	if err := c.tls.SetDeadline(time.Now().Add(timeout)); err != nil {
		return Answer{}, err
	}
	b := append(c.out[:0], "POST "...)
	b = append(b, m.Path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.host...)
	for _, line := range m.Header {
		b = append(b, "\r\n"...)
		b = append(b, line...)
	}
	b = append(b, "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(m.Form)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, m.Form...)
	c.out = b
	if _, err := c.tls.Write(b); err != nil {
		return Answer{}, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Closed: resp.Close}
	success := resp.StatusCode >= 200 && resp.StatusCode < 300
	if success && !m.Keep {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		return a, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if success {
		a.Body = body
		return a, err
	}
	var refusal struct{ Error string }
	if json.Unmarshal(body, &refusal) == nil {
		a.Error = refusal.Error
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		a.RetryAfter = time.Duration(seconds) * time.Second
	}
	return a, err
}
