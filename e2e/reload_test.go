package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A crowd are clients that go on asking, each over one connection that it keeps:
// one with a JWT-SVID, one with an X.509-SVID.
type crowd struct {
	s    *server
	over chan struct{}
	done chan *steady
	size int
}

func newCrowd(t *testing.T, s *server, td *domain) *crowd {
	t.Helper()
	c := &crowd{s: s, over: make(chan struct{}), done: make(chan *steady, 2)}
	pipeTo := func(listener string, cert *tls.Certificate) *pipe {
		conn := s.dial(t, listener, tlsConfig(listener, cert))
		return &pipe{conn.Conn, conn.r, conn.host}
	}
	cert := td.svid(t, "/orders")
	for p, ask := range map[*pipe]call{
		pipeTo("public", nil): withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)),
		pipeTo("mtls", cert):  {form: form("client_id", td.id("/orders"))},
	} {
		c.size++
		go func() {
			c.done <- p.ask(ask, 2*time.Millisecond, func(int) bool {
				select {
				case <-c.over:
					return true
				default:
					return false
				}
			})
		}()
	}
	return c
}

// went checks that nobody in the crowd noticed anything.
func (c *crowd) went(t *testing.T) {
	t.Helper()
	close(c.over)
	for range c.size {
		g := <-c.done
		c.s.decisions(len(g.durations))
		if g.err != nil || len(g.refused) != 0 || len(g.durations) == 0 {
			t.Errorf("a client that goes on: %d calls, refused %v, %v", len(g.durations), g.refused, g.err)
		}
	}
}

const refusedFile = "svidgate_config_file_refused"

// A configuration that is at fault changes nothing, says where it is wrong and
// makes an alarm, while clients go on; a good one is in force from one request to
// the next. Whether the operator asks, or sends SIGHUP, or only writes the file.
func TestReload(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := prepare(t, adminAt(shortFolder(t))+worldConfig, td)
	s.run(t)
	first := string(must(os.ReadFile(filepath.Join(s.dir, "svidgate.yaml"))))
	client := func(name string) string {
		return fmt.Sprintf("  - {client_id: %q, token_endpoint_auth_method: spiffe_jwt, resources: [%q], scope: read}\n", td.id("/"+name), apiURL)
	}
	with := func(more string) string {
		return strings.Replace(first, "\ntrust_domains:\n", "\n"+more+"trust_domains:\n", 1)
	}
	asks := func(name string) call { return withJWT(td.id("/"+name), td.jwt(t, "/"+name, issuer)) }
	unknown := refusal{"invalid_client", oauth.ReasonClientNotFound, "CA-2"}
	clients := newCrowd(t, s, td)

	t.Run("bad", func(t *testing.T) {
		for _, row := range []struct{ name, content, place, says string }{
			{"unknown key", with(client("new")) + "clinets: []\n", `[1-9][0-9]*:1`, "clients"},
			{"not YAML", with(client("new")) + "\t{", `[1-9][0-9]*:1`, ""},
			{"unknown resource", with(client("new") + strings.ReplaceAll(client("newer"), "api.example", "none.example")), `[1-9][0-9]*:[1-9][0-9]*`, "none.example"},
			{"another issuer", strings.Replace(with(client("new")), "issuer: "+issuer, "issuer: https://other.example.com", 1), `[1-9][0-9]*:[1-9][0-9]*`, "cannot change while the server runs"},
			{"another listener", strings.Replace(with(client("new")), "{public: \"127.0.0.1:0\"", "{public: \"127.0.0.2:0\"", 1), `[1-9][0-9]*:[1-9][0-9]*`, "cannot change while the server runs"},
			{"empty", "", `1:1`, ""},
		} {
			t.Run(row.name, func(t *testing.T) {
				s.replace(t, "svidgate.yaml", []byte(row.content))
				out, errs, code := s.operator(t, "reload")
				lines := strings.Split(strings.TrimSuffix(errs, "\n"), "\n")
				form := regexp.MustCompile(`^` + regexp.QuoteMeta(filepath.Join(s.dir, "svidgate.yaml")) + `:` + row.place + `: .`)
				if code != 1 || out != "" || !form.MatchString(lines[0]) || !strings.Contains(errs, row.says) {
					t.Errorf("svidgate reload: code %d, %q, %q", code, out, errs)
				}
				logged := s.log.find(t, "error", lines[0])
				if len(logged) == 0 || logged[0].text("level") != "ERROR" {
					t.Errorf("the log does not say %q", lines[0])
				}
				if n := s.metric(t, refusedFile); n != 1 {
					t.Errorf("%s is %v", refusedFile, n)
				}
				s.refused(t, asks("new"), unknown)
				s.granted(t, asks("billing"))
				if resp, _ := s.status(t, "/readyz"); resp.StatusCode != http.StatusOK {
					t.Errorf("readiness: %d", resp.StatusCode)
				}
			})
		}
		t.Run("two faults, two lines", func(t *testing.T) {
			s.replace(t, "svidgate.yaml", []byte(with(client("new"))+"clinets: []\nresuorces: []\n"))
			if _, errs, code := s.operator(t, "reload"); code != 1 || strings.Count(errs, "svidgate.yaml:") != 2 || strings.Count(errs, "\n") != 2 {
				t.Errorf("code %d, %s", code, errs)
			}
		})
		t.Run("gone", func(t *testing.T) {
			if err := os.Remove(filepath.Join(s.dir, "svidgate.yaml")); err != nil {
				t.Fatal(err)
			}
			s.refuses(t, "svidgate.yaml", "reload")
			if n := s.metric(t, refusedFile); n != 1 {
				t.Errorf("%s is %v", refusedFile, n)
			}
			s.granted(t, asks("billing"))
		})
		t.Run("put back", func(t *testing.T) {
			s.replace(t, "svidgate.yaml", []byte(first))
			until(t, "the end of the alarm", func() bool { return s.metric(t, refusedFile) == 0 })
			s.refused(t, asks("new"), unknown)
		})
		if lines := s.record.find(t, "event", audit.EventReload); len(lines) != 0 {
			t.Errorf("a reload that changed nothing is in the audit record: %v", lines)
		}
	})
	why := func(t *testing.T, says string) int {
		t.Helper()
		n := 0
		for _, l := range s.log.find(t, "msg", "configuration reloaded") {
			if strings.HasPrefix(l.text("why"), says) {
				n++
			}
		}
		return n
	}
	t.Run("good, by the command", func(t *testing.T) {
		s.replace(t, "svidgate.yaml", []byte(with(client("new"))))
		if out := s.done(t, "reload"); out != "the configuration is in force\n" {
			t.Errorf("%q", out)
		}
		s.granted(t, asks("new"))
		lines := s.record.find(t, "event", audit.EventReload)
		if len(lines) != 1 || lines[0].text("outcome") != "granted" || !strings.HasPrefix(lines[0].text("source"), "admin socket") {
			t.Errorf("audit lines %v", lines)
		}
		if why(t, "admin socket") != 1 {
			t.Error("the log does not say who asked")
		}
	})
	t.Run("good, by SIGHUP", func(t *testing.T) {
		s.replace(t, "svidgate.yaml", []byte(with(client("new")+client("newer"))))
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, "a reload by SIGHUP", func() bool { return why(t, "SIGHUP") == 1 })
		s.granted(t, asks("newer"))
	})
	t.Run("bad, then good, by itself", func(t *testing.T) {
		s.replace(t, "svidgate.yaml", []byte(with(client("newest"))+"clinets: []\n"))
		until(t, "the alarm", func() bool { return s.metric(t, refusedFile) == 1 })
		s.refused(t, asks("newest"), unknown)
		s.granted(t, asks("newer"))
		s.replace(t, "svidgate.yaml", []byte(with(client("newest"))))
		until(t, "a reload of a file that changed", func() bool { return why(t, "a file changed") == 1 })
		s.granted(t, asks("newest"))
		s.refused(t, asks("newer"), unknown) // who was taken out is out
		if n := s.metric(t, refusedFile); n != 0 {
			t.Errorf("%s is %v", refusedFile, n)
		}
	})
	t.Run("a trust domain comes and goes", func(t *testing.T) {
		more := newDomain(t, "more.test", devca.Options{})
		entry := strings.ReplaceAll(client("far"), "example.org", "more.test")
		ask := func() call { return withJWT(more.id("/far"), more.jwt(t, "/far", issuer)) }
		s.refused(t, ask(), unknown)
		s.replace(t, "svidgate.yaml", []byte(with(entry)+more.entry()))
		s.done(t, "reload")
		s.sequence(t, more, 1)
		s.granted(t, ask())
		s.replace(t, "svidgate.yaml", []byte(first))
		s.done(t, "reload")
		s.refused(t, ask(), unknown)
		s.refuses(t, "more.test", "bundle", "status", "more.test")
	})
	clients.went(t)
}

// The certificate of the listeners is replaced while clients go on: new
// connections get the new one, and those that there are stay. A half of a
// replacement changes nothing.
func TestListenerCertificateUnderLoad(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig, td)
	clients := newCrowd(t, s, td)
	serial := func(listener string) string {
		conn := s.dial(t, listener, tlsConfig(listener, nil))
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial("public")
	pair := must(serverCA().Certificate("as.example.com", "mtls.as.example.com"))
	key := must(x509.MarshalPKCS8PrivateKey(pair.PrivateKey))
	secrets.add("private key of the TLS listeners", string(key))
	s.replace(t, "as.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	until(t, "a warning of half a replacement", func() bool {
		if got := serial("public"); got != first {
			t.Fatalf("serial %s before the certificate was there", got)
		}
		return len(s.log.find(t, "msg", "tls certificate not reloaded, the old one stays")) > 0
	})
	s.replace(t, "as.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	for _, listener := range []string{"public", "mtls"} {
		until(t, "the new certificate at "+listener, func() bool { return serial(listener) == pair.Leaf.SerialNumber.String() })
	}
	clients.went(t) // over the connections they had, which saw the old certificate
}

// The ca_file of a bundle endpoint is replaced when the endpoint gets another CA
// (BE-5): until then the bundle there is goes on, and then it is renewed.
func TestEndpointCAReplaced(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	var current atomic.Pointer[tls.Certificate]
	present := func(ca *devca.ServerCA) {
		pair := must(ca.Certificate("127.0.0.1"))
		current.Store(&pair)
	}
	present(serverCA())
	endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(td.bundle()) }))
	endpoint.Config.SetKeepAlivesEnabled(false) // each fetch looks at the certificate
	endpoint.Config.ErrorLog = log.New(io.Discard, "", 0)
	endpoint.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*current.Load()}}, nil
	}}
	endpoint.StartTLS()
	t.Cleanup(endpoint.Close)
	td.url = endpoint.URL + "/bundle.json"
	s := prepare(t, adminAt(shortFolder(t))+worldConfig, td)
	s.run(t)
	clients := newCrowd(t, s, td)

	other := must(devca.NewServerCA(nil))
	present(other)
	until(t, "a fetch that fails", func() bool {
		b, err := s.admin(t).Bundle(t.Context(), td.name)
		return err == nil && b.Ready && b.Failures > 0 && strings.Contains(b.LastError, "certificate")
	})
	must(td.RotateJWTKey()) // unknown to the server, until it believes the endpoint
	s.refuses(t, "certificate", "bundle", "refresh", td.name)

	s.replace(t, "ca.pem", []byte("no certificate"))
	s.refuses(t, "ca_file", "reload")
	if n := s.metric(t, refusedFile); n != 1 {
		t.Errorf("%s is %v", refusedFile, n)
	}
	s.replace(t, "ca.pem", other.PEM())
	s.sequence(t, td, td.Sequence()) // nobody asked: the file is watched
	s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	if n := s.metric(t, refusedFile); n != 0 {
		t.Errorf("%s is %v", refusedFile, n)
	}
	clients.went(t)
}
