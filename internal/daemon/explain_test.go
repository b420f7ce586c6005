package daemon

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/oauth"
)

func (p *place) assertion(t *testing.T, path string) string {
	t.Helper()
	token, err := p.authority.JWTSVID(path, []string{"https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Files alone judge as far as they go, and say what is missing.
func TestExplainByConfig(t *testing.T) {
	p := newPlace(t)
	ask := func(cfg *config.Config, listener string) (explain.Report, error) {
		return ExplainByConfig(t.Context(), cfg, time.Now, explain.Question{Credential: p.assertion(t, "/a"), Listener: listener, Asked: time.Now()})
	}
	endpoint := "{spiffe_bundle_endpoint: {url: https://127.0.0.1:2/}}"
	for _, c := range []struct {
		name         string
		cfg          *config.Config
		reason, note string
		next         string
	}{
		{"accepted", p.config(t, anywhere), "", "nothing was fetched", "svidgate token "},
		{"no bundle file", p.config(t, anywhere, "bundle.json", "none.json"), "td_not_ready", "none.json", "svidgate bundle refresh example.org --socket "},
		{"nothing kept of an endpoint", p.config(t, anywhere, "{bundle_file: bundle.json}", endpoint), "td_not_ready", "nothing that this user can use is kept", "svidgate bundle refresh "},
		{"nothing kept of a Workload API", p.config(t, anywhere, "{bundle_file: bundle.json}", "{workload_api: {address: unix:///none.sock}}"), "td_not_ready", "nothing that", "spire-server federation refresh -id spiffe://example.org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ask(c.cfg, "")
			if err != nil || r.Reason != c.reason || !strings.Contains(strings.Join(r.Notes, "\n"), c.note) || !strings.HasPrefix(r.Next, c.next) {
				t.Errorf("%v: %s, notes %q, next %q", err, r.Reason, r.Notes, r.Next)
			}
		})
	}
	if left, err := os.ReadDir(p.dir); err != nil || len(left) != 3 {
		t.Errorf("%d files, %v: explaining left something behind", len(left), err)
	}
	// EC-4: the alias is known where its port is.
	if _, err := ask(p.config(t, anywhere), MTLS); err != errNoMTLS {
		t.Errorf("%v", err)
	}
	if r, err := ask(p.config(t, `{public: "127.0.0.1:0", mtls: "127.0.0.1:7"}`), MTLS); err != nil || r.Endpoint != "https://127.0.0.1:7/token" {
		t.Errorf("%v, %s", err, r.Endpoint)
	}
	if _, err := ask(p.config(t, anywhere), "status"); err != errListener {
		t.Errorf("%v", err)
	}
}

// A record that cannot be read again is not waited for.
func TestDecisionOfAStream(t *testing.T) {
	p := newPlace(t)
	if err := syscall.Mkfifo(p.path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, file := range []string{"fifo", "-"} {
		_, err := DecisionByConfig(ctx, p.config(t, anywhere, "audit.jsonl", `"`+file+`"`), "", "R")
		if err == nil || !strings.Contains(err.Error(), `"request_id":"R"`) {
			t.Errorf("%s: %v", file, err)
		}
	}
	p.write(t, "moved.jsonl", []byte(`{"version":1,"seq":1,"prev":"`+strings.Repeat("0", 64)+`","time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"refused","reason":"expired","rule":"CJ-5","request_id":"R"}`))
	d, err := DecisionByConfig(ctx, p.config(t, anywhere, "audit.jsonl", `"-"`), p.path("moved.jsonl"), "R")
	if err != nil || d.What != "it has not expired" {
		t.Errorf("%+v, %v", d, err)
	}
}

// Why the bundle is not there, the running server says, too.
func TestExplainTellsOfTheSource(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere, "bundle.json", "none.json"))
	defer d.Stop()
	r, err := d.Explain(t.Context(), explain.Question{Credential: p.assertion(t, "/a")})
	if err != nil || r.Reason != "td_not_ready" || !strings.Contains(strings.Join(r.Notes, "\n"), "could not be fetched") {
		t.Errorf("%v, %s, %q", err, r.Reason, r.Notes)
	}
}

// A certificate is judged where one can be shown, and nowhere else.
func TestExplainWhereCertificatesAreAskedFor(t *testing.T) {
	p := newPlace(t)
	svid, err := p.authority.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	x509 := []string{"spiffe_jwt", "spiffe_x509"}
	asking := append([]string{"audit:", "public_client_certificates: true\naudit:"}, x509...)
	for _, c := range []struct {
		name, listen, listener string
		change                 []string
		err                    error
	}{
		{"the mtls listener, unsaid", `{public: "127.0.0.1:0", mtls: "127.0.0.1:7"}`, "", x509, nil},
		{"the mtls listener, on whatever port", anywhere, "", x509, nil},
		{"the mtls listener, said", `{public: "127.0.0.1:0", mtls: "127.0.0.1:7"}`, MTLS, x509, nil},
		{"a public one that asks", `{public: "127.0.0.1:0"}`, "", asking, nil},
		{"a public one that asks, said", `{public: "127.0.0.1:0"}`, Public, asking, nil},
		{"a public one that does not", `{public: "127.0.0.1:0", mtls: "127.0.0.1:7"}`, Public, x509, errNoAsking},
		{"an mtls listener that is none", `{public: "127.0.0.1:0"}`, MTLS, asking, errNoMTLS},
		{"none that asks", `{public: "127.0.0.1:0"}`, "", nil, explain.ErrNoCertificates},
		{"none that asks, and one said", `{public: "127.0.0.1:0"}`, Public, nil, explain.ErrNoCertificates},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ExplainByConfig(t.Context(), p.config(t, c.listen, c.change...), time.Now, explain.Question{Credential: string(svid.ChainPEM()), Listener: c.listener})
			if !errors.Is(err, c.err) || r.Accepted != (c.err == nil) {
				t.Errorf("%v, %s, %q", err, r.Reason, r.Notes)
			}
		})
	}
	// A JWT-SVID needs none of it.
	cfg := p.config(t, `{public: "127.0.0.1:0"}`)
	if r, err := ExplainByConfig(t.Context(), cfg, time.Now, explain.Question{Credential: p.assertion(t, "/a")}); err != nil || !r.Accepted {
		t.Errorf("%v, %s", err, r.Reason)
	}
}

func situationOf(t *testing.T, cfg *config.Config) explain.Situation {
	t.Helper()
	a, err := newAuthenticator(cfg, svidgate.Config{Bundles: &bundlesOnDisk{}})
	if err != nil {
		t.Fatal(err)
	}
	return situation(cfg, a.Clients.All(), time.Now())
}

// What is offered as a client's methods is what check-config takes.
func TestPermitsAreWhatTheConfigurationTakes(t *testing.T) {
	p := newPlace(t)
	const client = `{client_id: "spiffe://example.org/a", token_endpoint_auth_method: spiffe_jwt`
	for _, listen := range []string{anywhere, `{public: "127.0.0.1:0"}`} {
		for _, profile := range svidgate.Profiles {
			for _, id := range []string{`client_id: "spiffe://example.org/a"`, `client_id: fleet, spiffe_id: "spiffe://example.org/ns/*"`} {
				for _, method := range []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT} {
					head := "{" + id + ", profile: " + string(profile) + ", token_endpoint_auth_method: "
					// Whether the client may have the method is asked of it with the other one.
					other := map[oauth.AuthMethod]oauth.AuthMethod{oauth.MethodJWT: oauth.MethodX509, oauth.MethodX509: oauth.MethodJWT, oauth.MethodWIT: oauth.MethodJWT}[method]
					before, err := config.Parse(p.path("svidgate.yaml"), []byte(p.text(listen, client, head+string(other))))
					if err != nil {
						continue
					}
					s := situationOf(t, before)
					offered := slices.Contains(s.Clients[0].Permits, method)
					_, err = config.Parse(p.path("svidgate.yaml"), []byte(p.text(listen, client, "{"+id+", profile: "+string(profile)+", auth_methods: ["+string(method)+"]")))
					if offered != (err == nil) && (offered || method == oauth.MethodWIT) {
						t.Errorf("%s, %s, %s: %s is offered: %t, %v", listen, profile, id, method, offered, err)
					}
				}
			}
		}
	}
	s := situationOf(t, p.config(t, anywhere))
	if !slices.Contains(s.Clients[0].Permits, oauth.MethodX509) || !slices.Equal(s.Covering("spiffe://example.org/a"), []string{"spiffe://example.org/a"}) || s.Covering("spiffe://example.org/b") != nil || s.Covering("no ID") != nil {
		t.Errorf("%+v", s.Clients)
	}
}
