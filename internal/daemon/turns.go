package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// turns let only so many TLS handshakes compute at once, first come first served.
// A handshake costs as much as several tokens. When thousands come together, as
// after an outage, each would get its share of the processors until all of them
// have run out of time; in turns those served first are done, and the others have
// lost nothing but the wait.
//
// A turn is held while the server computes its answer to the client's first
// message, and not while it waits for the client: who is slow, or stops, holds up
// nobody.
type turns chan struct{}

const (
	// handshakeTimeout is how long a client may take for its side.
	handshakeTimeout = 5 * time.Second
	// turnTimeout is how long a client waits for its turn before it is cut off. One
	// that has waited longer has mostly given up.
	turnTimeout = 8 * time.Second
)

// newTurns has two turns for each processor, so that none is idle.
func newTurns() turns { return make(turns, 2*runtime.GOMAXPROCS(0)) }

// A turnListener hands out connections that can hold a turn.
type turnListener struct {
	net.Listener
	turns turns
}

func (l turnListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &turnConn{Conn: conn, turns: l.turns}, nil
}

// A turnConn gives its turn back when it waits for the client.
type turnConn struct {
	net.Conn
	turns turns
	holds atomic.Bool
}

func (c *turnConn) Read(b []byte) (int, error) {
	c.giveBack()
	return c.Conn.Read(b)
}

func (c *turnConn) giveBack() {
	if c.holds.Load() && c.holds.Swap(false) {
		<-c.turns
	}
}

var errNoTurn = errors.New("the handshake did not get its turn in time")

// take waits for a turn. The client's time begins when it has one.
func (c *turnConn) take(handshake context.Context) error {
	select {
	case c.turns <- struct{}{}:
	default:
		timer := time.NewTimer(turnTimeout)
		defer timer.Stop()
		select {
		case c.turns <- struct{}{}:
		case <-timer.C:
			return errNoTurn
		}
	}
	c.holds.Store(true)
	context.AfterFunc(handshake, c.giveBack) // it failed before the server waited again
	return c.SetDeadline(time.Now().Add(handshakeTimeout))
}

// inTurn is tls.Config.GetConfigForClient: it is called when the client's first
// message is there and nothing was computed yet.
func inTurn(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if conn, ok := hello.Conn.(*turnConn); ok {
		return nil, conn.take(hello.Context())
	}
	return nil, nil
}
