//go:build spire

package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/client"
	svids "github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/oauth"
)

// A federation is two trust domains of real SPIRE that know each other:
// alpha.test with https_web and P-256 keys, whose JWT-SVIDs have no iss, and
// beta.test with https_spiffe and RSA keys, whose JWT-SVIDs have one. Each has one
// agent. No test takes anything away from them.
type federation struct{ alpha, beta *spire }

func newFederation(t *testing.T) *federation {
	t.Helper()
	f := &federation{
		alpha: newSPIRE(t, "alpha.test", spireOptions{}),
		beta:  newSPIRE(t, "beta.test", spireOptions{jwtKey: "rsa-2048", issuer: "https://oidc.beta.test", httpsSPIFFE: true}),
	}
	federate(t, f.alpha, f.beta)
	f.alpha.agent(t, "agent",
		spireEntry{path: "/client/one", hint: "one", federated: f.beta},
		spireEntry{path: "/client/two", hint: "two", jti: true, federated: f.beta},
		spireEntry{path: "/client/plain"},
		spireEntry{path: "/client/twice", hint: "internal"},
		spireEntry{path: "/client/twice", hint: "external", group: true},
		spireEntry{path: "/client/brief", jti: true, seconds: 2},
		spireEntry{path: "/as", hint: "as", federated: f.beta})
	f.beta.agent(t, "agent",
		spireEntry{path: "/client/far", hint: "far", federated: f.alpha},
		spireEntry{path: "/client/farther", jti: true})
	return f
}

func (f *federation) alphaClients() string {
	return f.alpha.clients("/client/one", "/client/two", "/client/plain", "/client/twice", "/client/brief", "/as")
}

func (f *federation) betaClients() string { return f.beta.clients("/client/far", "/client/farther") }

// What needs a real SPIRE and leaves it whole.
func TestSpire(t *testing.T) {
	t.Parallel()
	f := newFederation(t)
	t.Run("every kind of SVID", f.kinds) // before beta.test rotates
	for name, test := range map[string]func(*testing.T){
		"ten thousand tokens": f.tenThousand,
		"each assertion once": f.singleUse,
		"agent comes late":    f.late,
		"the command":         f.command,
		"outage":              f.outage,
		"Workload API source": f.source,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// JS-2, JS-7, JS-15, XS-10, CL-5, F13, F27: each identity gets its tokens by either
// method, whatever SPIRE puts into an SVID or leaves out.
func (f *federation) kinds(t *testing.T) {
	s := start(t, spireConfig(f.alphaClients()+f.betaClients(), f.alpha.viaEndpoint("2s", "")+f.beta.viaFile()))
	stranger := f.alpha.identity(t, "agent", "/as")
	for _, row := range []struct {
		name     string
		from     *spire
		by       svids.Config
		path     string
		alg      string
		jti, iss bool
	}{
		{"P-256, by SPIFFE ID", f.alpha, svids.Config{SPIFFEID: f.alpha.id("/client/one")}, "/client/one", "ES256", false, false},
		{"P-256, by hint", f.alpha, svids.Config{Hint: "one"}, "/client/one", "ES256", false, false},
		{"P-256 with jti, by hint", f.alpha, svids.Config{Hint: "two"}, "/client/two", "ES256", true, false},
		{"P-256 without a hint", f.alpha, svids.Config{SPIFFEID: f.alpha.id("/client/plain")}, "/client/plain", "ES256", false, false},
		{"P-256, two entries, one hint", f.alpha, svids.Config{Hint: "internal"}, "/client/twice", "ES256", false, false},
		{"P-256, two entries, the other hint", f.alpha, svids.Config{Hint: "external"}, "/client/twice", "ES256", false, false},
		{"P-256, two entries, by SPIFFE ID", f.alpha, svids.Config{SPIFFEID: f.alpha.id("/client/twice")}, "/client/twice", "ES256", false, false},
		{"RSA with iss, by hint", f.beta, svids.Config{Hint: "far"}, "/client/far", "RS256", false, true},
		{"RSA with iss and jti", f.beta, svids.Config{SPIFFEID: f.beta.id("/client/farther")}, "/client/farther", "RS256", true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.by.Address = row.from.address("agent")
			i := openIdentity(t, row.by)
			if i.id != row.from.id(row.path) {
				t.Fatalf("CL-5 %s", i.id)
			}
			token, cert := i.jwt(t, issuer), i.certificate(t)
			header, claims := jwtParts(t, token)
			_, jti := claims["jti"]
			_, iss := claims["iss"]
			if header["alg"] != row.alg || jti != row.jti || iss != row.iss {
				t.Fatalf("this is no case of its name: alg %v, jti %t, iss %t", header["alg"], jti, iss)
			}

			g := s.granted(t, i.asksWith(token))
			if g.claim("sub") != i.id || g.thumbprint() != "" {
				t.Errorf("sub %s, bound to %q", g.claim("sub"), g.thumbprint())
			}
			g = s.granted(t, i.shows(cert))
			if g.claim("sub") != i.id || g.thumbprint() != thumbprintOf(cert) {
				t.Errorf("MT-1 sub %s, bound to %q, not %q", g.claim("sub"), g.thumbprint(), thumbprintOf(cert))
			}
			both := i.asksWith(token)
			both.cert = cert
			if g = s.granted(t, both); g.thumbprint() != thumbprintOf(cert) {
				t.Errorf("CA-6 bound to %q", g.thumbprint())
			}

			s.refused(t, i.asksWith(i.jwt(t, issuer+"/other")), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
			s.refused(t, stranger.asksWith(token), refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"})
			s.refused(t, stranger.shows(cert), refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"})
			mixed := stranger.asksWith(stranger.jwt(t, issuer))
			s.granted(t, mixed)
			mixed.cert = cert
			s.refused(t, mixed, refusal{"invalid_request", oauth.ReasonMixedCredentials, "TK-3"})
		})
	}
}

// F15, F40: an agent gives the same JWT-SVID again and again, and ten thousand
// calls with it, over several connections, get their tokens. The Workload API is
// asked for it once.
func (f *federation) tenThousand(t *testing.T) {
	const calls, scopes, callers = 10_000, 14, 4
	var names []string
	for n := range scopes {
		names = append(names, "s"+strconv.Itoa(n))
	}
	i := f.alpha.identity(t, "agent", "/client/one")
	all := strings.Join(names, " ")
	s := startReachable(t, "log: {level: info}\nresources: [{resource: "+apiURL+", scopes: ["+strings.Join(names, ", ")+"]}]\n"+
		"clients: [{client_id: \""+i.id+"\", token_endpoint_auth_method: spiffe_jwt, resources: [\""+apiURL+"\"], scope: "+all+"}]\n"+
		"trust_domains:\n"+f.alpha.viaEndpoint("2s", ""))
	c := clientOf(t, s, "", client.JWTSVID(i))

	// Each call asks for scopes of its own, or the client would have the token.
	numbers := make(chan int)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for n := range numbers {
				var some []string
				for bit, name := range names {
					if n>>bit&1 == 1 {
						some = append(some, name)
					}
				}
				if _, err := c.Token(t.Context(), client.Request{Resource: apiURL, Scope: strings.Join(some, " ")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := 1; n <= calls && !t.Failed(); n++ {
		numbers <- n
	}
	close(numbers)
	group.Wait()
	s.took(calls)
	if t.Failed() {
		return
	}
	if n := s.metric(t, `svidgate_tokens_issued_total{binding="bearer",grant="client_credentials",method="spiffe_jwt"}`); n != calls {
		t.Errorf("%v tokens issued", n)
	}
	ids := map[string]bool{}
	for _, l := range s.record.find(t, "outcome", "granted") {
		ids[l.text("jti")] = true
	}
	if len(ids) != calls {
		t.Errorf("AT-5 %d different jti", len(ids))
	}
	if n := i.calls.Load(); n != 1 {
		t.Errorf("F40 %d calls of the Workload API", n)
	}
	// A second process of the workload is given the very same.
	if i.jwt(t, s.issuer) != f.alpha.identity(t, "agent", "/client/one").jwt(t, s.issuer) {
		t.Error("the agent keeps no JWT-SVIDs, so this shows nothing")
	}
}

// F15, CJ-13: with single_use each JWT-SVID counts once. The agent gives out the
// one that it has until half of its life is over, and then another.
func (f *federation) singleUse(t *testing.T) {
	s := start(t, spireConfig(f.alphaClients(), f.alpha.viaEndpoint("2s", ", single_use: true")))
	replayed := refusal{"invalid_client", oauth.ReasonAssertionReplayed, "CJ-13"}
	brief := f.alpha.identity(t, "agent", "/client/brief")
	last := ""
	for range 4 {
		token := last
		until(t, "another JWT-SVID", func() bool {
			token = brief.jwt(t, issuer)
			return token != last
		})
		s.granted(t, brief.asksWith(token))
		s.refused(t, brief.asksWith(token), replayed)
		last = token
	}
	kept := f.alpha.identity(t, "agent", "/client/plain")
	s.granted(t, kept.asksWith(kept.jwt(t, issuer)))
	s.refused(t, kept.asksWith(kept.jwt(t, issuer)), replayed)
}

// F46, CL-3: a workload that starts before its agent waits, says so once, and has
// its token when the agent has come.
func (f *federation) late(t *testing.T) {
	s := startReachable(t, spireConfig(f.alpha.clients("/client/late"), f.alpha.viaEndpoint("2s", "")))
	said := &logLines{}
	var source *svids.Source
	opened := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	go func() {
		var err error
		source, err = svids.Open(ctx, svids.Config{
			Address: f.alpha.address("agent-2"), SPIFFEID: f.alpha.id("/client/late"),
			Log: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		opened <- err
	}()
	until(t, "several attempts without a socket", func() bool { return said.count("still not ready") >= 2 })
	f.alpha.agent(t, "agent-2", spireEntry{path: "/client/late"})
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if n := said.count("level=WARN"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	late := &identity{Source: source, id: f.alpha.id("/client/late")}
	c := clientOf(t, s, spireClientID(late.id, "x509"), client.X509SVID(late))
	token, err := c.Token(t.Context(), client.Request{})
	if err != nil {
		t.Fatal(err)
	}
	secrets.jwt(string(token.AccessToken))
	s.took(1)
	s.granted(t, late.asksWith(late.jwt(t, s.issuer)))
}

// F15: `svidgate token` is a new process each time, and is given the same JWT-SVID
// each time.
func (f *federation) command(t *testing.T) {
	s := startReachable(t, spireConfig(f.alphaClients(), f.alpha.viaEndpoint("2s", "")))
	for _, method := range []string{"jwt", "jwt", "x509"} {
		cmd := exec.CommandContext(t.Context(), program(), "token", "--issuer", s.issuer, "--ca-file", filepath.Join(s.dir, "ca.pem"),
			"--socket", f.alpha.address("agent"), "--hint", "one", "--method", "spiffe_"+method, "--client-id", spireClientID(f.alpha.id("/client/one"), method))
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output() // not among the evidence: it is a token, as asked for
		if err != nil || len(strings.Split(string(out), ".")) != 3 {
			t.Fatalf("%s: %v, %d bytes, %s", method, err, len(out), errs.String())
		}
		secrets.jwt(strings.TrimSpace(string(out)))
		evidence.add("token standard error", errs.Bytes())
	}
	s.took(3)
	if resp, _ := s.status(t, "/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// logLines counts what is logged.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(what))
}
