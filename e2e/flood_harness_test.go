package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mostMemory is how many bytes a server may hold in memory at the worst moment of
// any attack of these tests, with nothing tuned.
const mostMemory = 64 << 20

// mostGrowth is how much more it may hold at the end of an attack than early on.
const mostGrowth = 16 << 20

// memory is what the process holds now, and the most it ever held, in bytes. ok
// is false where the system does not tell, and of a program that the race
// detector watches it tells nothing.
func (s *server) memory(t *testing.T) (now, most int64, ok bool) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil || raceDetector {
		return 0, 0, false
	}
	of := func(name string) int64 {
		m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(status)
		if m == nil {
			t.Fatalf("no %s in %s", name, status)
		}
		return must(strconv.ParseInt(string(m[1]), 10, 64)) << 10
	}
	return of("VmRSS"), of("VmHWM"), true
}

// held says how much memory an attack took, and that it is bounded.
func (s *server) held(t *testing.T, before int64) {
	t.Helper()
	now, most, ok := s.memory(t)
	if !ok {
		return
	}
	t.Logf("AK-18 memory: %d MiB early on, %d MiB at the end, never more than %d MiB", before>>20, now>>20, most>>20)
	if now-before > mostGrowth {
		t.Errorf("AK-18 memory went from %d to %d MiB", before>>20, now>>20)
	}
	if most > mostMemory {
		t.Errorf("AK-18 at some moment the server held %d MiB", most>>20)
	}
}

// A pipe sends requests one after the other over one connection, several before
// it reads an answer, and looks at nothing but the status.
type pipe struct {
	conn net.Conn
	r    *bufio.Reader
	host string
}

// pipeFrom connects to the public listener from one address of this machine.
func (s *server) pipeFrom(t *testing.T, source string) *pipe {
	t.Helper()
	dialer := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	raw, err := dialer.DialContext(t.Context(), "tcp", s.addresses["public"])
	if err != nil {
		t.Fatal(err)
	}
	config := tlsConfig("public", nil)
	conn := tls.Client(raw, config)
	t.Cleanup(func() { conn.Close() })
	return &pipe{conn, bufio.NewReader(conn), config.ServerName}
}

// send writes the calls in one piece and returns the statuses of the answers.
func (p *pipe) send(calls ...call) ([]int, error) {
	var b strings.Builder
	for _, c := range calls {
		b.WriteString(c.text(p.host))
	}
	p.conn.SetDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	go func() { // an answer may come before the end of what is too large
		_, err := io.WriteString(p.conn, b.String())
		sent <- err
	}()
	var statuses []int
	for range calls {
		resp, err := http.ReadResponse(p.r, nil)
		if err != nil {
			return statuses, err
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
		if err != nil || resp.Close {
			return statuses, err
		}
	}
	return statuses, <-sent
}

// decisions tells the server's books of answers that nobody checked one by one:
// each must have its audit line at the end (TK-9).
func (s *server) decisions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decided += n
}

// A flood is many calls from several connections, for a while.
type flood struct {
	connections int
	batch       int // calls that a connection sends before it reads
	source      string
	last        time.Duration
	call        func() call
	want        []int // statuses that may come
	reconnect   bool  // each answer ends its connection
}

// run floods the server and returns how many answers there were of each status.
// A third of the way in it takes the memory for comparison.
func (f flood) run(t *testing.T, s *server) (answers map[int]int, before int64) {
	t.Helper()
	if f.source == "" {
		f.source = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(t.Context(), f.last)
	defer cancel()
	answers = map[int]int{}
	var (
		mu       sync.Mutex
		flooders sync.WaitGroup
	)
	start := time.Now()
	for range f.connections {
		conn := s.pipeFrom(t, f.source)
		flooders.Go(func() {
			for ctx.Err() == nil {
				calls := make([]call, f.batch)
				for i := range calls {
					calls[i] = f.call()
				}
				statuses, err := conn.send(calls...)
				mu.Lock()
				for _, status := range statuses {
					answers[status]++
				}
				mu.Unlock()
				if f.reconnect {
					conn.conn.Close()
					conn = s.pipeFrom(t, f.source)
				} else if err != nil || len(statuses) != f.batch {
					t.Errorf("the flood breaks off after %d of %d answers: %v", len(statuses), f.batch, err)
					return
				}
			}
		})
	}
	<-time.After(f.last / 3)
	before, _, _ = s.memory(t)
	flooders.Wait()
	all := 0
	for status, n := range answers {
		all += n
		if !slices.Contains(f.want, status) {
			t.Errorf("%d answers with status %d", n, status)
		}
	}
	s.decisions(all)
	t.Logf("%d answers in %v, %.0f a second: %v", all, time.Since(start).Round(time.Millisecond), float64(all)/time.Since(start).Seconds(), answers)
	return answers, before
}

// A steady client asks for one token after the other on its own connection.
type steady struct {
	durations []time.Duration
	refused   map[int]int
	err       error
}

// ask asks until there is a reason to stop, with a pause after each call.
func (p *pipe) ask(c call, pause time.Duration, until func(asked int) bool) *steady {
	got := &steady{refused: map[int]int{}}
	for !until(len(got.durations)) {
		begin := time.Now()
		statuses, err := p.send(c)
		if err != nil {
			got.err = err
			return got
		}
		got.durations = append(got.durations, time.Since(begin))
		if statuses[0] != http.StatusOK {
			got.refused[statuses[0]]++
		}
		<-time.After(pause)
	}
	return got
}

func (g *steady) String() string {
	d := slices.Sorted(slices.Values(g.durations))
	if len(d) == 0 {
		return "no calls"
	}
	return fmt.Sprintf("%d calls, p50 %v, p99 %v, longest %v", len(d), d[len(d)/2].Round(10*time.Microsecond), d[len(d)*99/100].Round(10*time.Microsecond), d[len(d)-1].Round(10*time.Microsecond))
}

// beside runs an attack while a good client goes on. Its calls all succeed; how
// long they take is told and not asserted.
func (s *server) beside(t *testing.T, good call, attack func()) {
	t.Helper()
	conn := s.pipeFrom(t, "127.0.0.1")
	calm := conn.ask(good, time.Millisecond, func(asked int) bool { return asked == 200 })
	over, done := make(chan struct{}), make(chan *steady)
	go func() {
		done <- conn.ask(good, time.Millisecond, func(int) bool {
			select {
			case <-over:
				return true
			default:
				return false
			}
		})
	}()
	attack()
	close(over)
	during := <-done
	s.decisions(len(calm.durations) + len(during.durations))
	t.Logf("a good client before: %v", calm)
	t.Logf("a good client during: %v", during)
	for _, g := range []*steady{calm, during} {
		if g.err != nil || len(g.refused) != 0 || len(g.durations) == 0 {
			t.Errorf("AK-18 the good client: %d calls, refused %v, %v", len(g.durations), g.refused, g.err)
		}
	}
}

// forged is a JWT-SVID that nobody signed.
func forged(header, claims string) string {
	signature := make([]byte, 64)
	rand.Read(signature)
	return base64url([]byte(header)) + "." + base64url([]byte(claims)) + "." + base64.RawURLEncoding.EncodeToString(signature)
}
