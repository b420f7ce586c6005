package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A turnServer does nothing but handshakes, with one turn for all.
type turnServer struct {
	address string
	turns   turns
	done    chan error // one for each handshake
	client  *tls.Config
}

func newTurnServer(t *testing.T) *turnServer {
	t.Helper()
	p := newPlace(t)
	chain, key := p.pair(t)
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &turnServer{l.Addr().String(), make(turns, 1), make(chan error, 100), &tls.Config{RootCAs: p.ca.Pool(), ServerName: "127.0.0.1"}}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, GetConfigForClient: inTurn, MinVersion: tls.VersionTLS12}
	listener := turnListener{l, s.turns}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() { s.done <- tls.Server(conn, config).Handshake() }()
		}
	}()
	return s
}

func (s *turnServer) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (s *turnServer) free(t *testing.T) {
	t.Helper()
	until(t, "the turn", func() bool { return len(s.turns) == 0 })
}

// A deaf connection tells when it has said its first word, and hears no answer
// until it is closed.
type deaf struct {
	net.Conn
	said, closed chan struct{}
}

func (d deaf) Write(b []byte) (int, error) {
	defer close(d.said)
	return d.Conn.Write(b)
}

func (d deaf) Read([]byte) (int, error) {
	<-d.closed
	return 0, net.ErrClosed
}

// AK-18: who begins a handshake and goes no further holds up nobody.
func TestStalledHandshakesHoldNoTurn(t *testing.T) {
	s := newTurnServer(t)
	for range 20 {
		d := deaf{s.dial(t), make(chan struct{}), make(chan struct{})}
		t.Cleanup(func() { close(d.closed) })
		go tls.Client(d, s.client).Handshake()
		<-d.said
	}
	if err := tls.Client(s.dial(t), s.client).Handshake(); err != nil {
		t.Fatal(err)
	}
	s.free(t)
}

// A handshake that fails gives its turn back, one that is done as well.
func TestEveryHandshakeGivesItsTurnBack(t *testing.T) {
	s := newTurnServer(t)
	for range 3 {
		old := s.client.Clone()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		if err := tls.Client(s.dial(t), old).Handshake(); err == nil {
			t.Fatal("TLS 1.1 was accepted")
		}
		if err := <-s.done; err == nil {
			t.Fatal("the server accepted TLS 1.1")
		}
		s.free(t)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			good := s.client.Clone()
			good.MaxVersion = version
			if err := tls.Client(s.dial(t), good).Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-s.done; err != nil {
				t.Fatal(err)
			}
			s.free(t)
		}
	}
}

// Nothing is computed for a client before its turn.
func TestHandshakesWaitForTheirTurn(t *testing.T) {
	s := newTurnServer(t)
	s.turns <- struct{}{} // somebody computes
	conn, first := s.dial(t), make(chan error)
	go func() { first <- tls.Client(conn, s.client).Handshake() }()
	select {
	case err := <-first:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	<-s.turns
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	s.free(t)
}

// The wait has an end, and the client's own time begins after it.
func TestTheWaitForATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := net.Pipe()
		defer one.Close()
		defer other.Close()
		c := &turnConn{Conn: one, turns: make(turns, 1)}
		c.turns <- struct{}{}
		began := time.Now()
		if err := c.take(t.Context()); !errors.Is(err, errNoTurn) || time.Since(began) != turnTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		go func() {
			time.Sleep(turnTimeout - time.Second)
			<-c.turns
		}()
		began = time.Now()
		handshake, end := context.WithCancel(t.Context())
		if err := c.take(handshake); err != nil || time.Since(began) != turnTimeout-time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(began) != handshakeTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		end()
		synctest.Wait()
		if len(c.turns) != 0 {
			t.Error("the turn was not given back")
		}
	})
}
