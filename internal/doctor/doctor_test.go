package doctor

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/client"
	wl "github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/devenv"
	"github.com/svidgate/svidgate/oauth"
)

// One environment, in order; then the same with one thing wrong at a time.
func TestEnvironment(t *testing.T) {
	e, sound := healthy(t)
	by := examine(t, sound)
	if f := fails(by); f != "" {
		t.Fatalf("the healthy twin has faults: %s, %+v", f, by)
	}
	for check, found := range map[string]string{
		"workload_socket": "answers", "x509_svid": devenv.Billing, "jwt_svid": e.Issuer, "tls": "TLS 1.3", "metadata": "spiffe_jwt, spiffe_x509, spiffe_wit, mutual TLS at", "wit_svid": devenv.Billing,
		"jwks": "1 at ", "issuer_audience": "byte for byte", "clock": "agree", "token_jwt": "bound to the certificate; an API accepts it",
		"client_match": "spiffe_jwt: " + devenv.Billing + " is client " + devenv.Billing + "; spiffe_x509: ", "server_bundle": "1 X.509 anchor, 1 JWT key", "signing_keys": "1 key", "server_ready": "1 trust domain", "older_forms": "none",
	} {
		wants(t, by, check, oauth.Passed, found, "")
	}
	wants(t, by, "token_x509", oauth.NotJudged, "may be registered for spiffe_jwt only", "")
	wants(t, by, "token_wit", oauth.NotJudged, "may be registered for spiffe_jwt only", "")
	t.Run("a workload of every kind", func(t *testing.T) {
		c := sound
		c.Hint = "shipping"
		by := examine(t, c)
		if f := fails(by); f != "" {
			t.Errorf("failed: %s, %+v", f, by)
		}
		wants(t, by, "token_wit", oauth.Passed, "bound to the key of the WIT-SVID; an API accepts it", "")
		wants(t, by, "token_x509", oauth.Passed, "bound to the certificate; an API accepts it", "")
		c.Method = oauth.MethodWIT
		by = examine(t, c)
		wants(t, by, "token_wit", oauth.Passed, "an API accepts it", "")
		for _, check := range []string{"jwt_svid", "token_jwt", "token_x509"} {
			wants(t, by, check, oauth.NotJudged, "only spiffe_wit was asked for", "")
		}
	})
	t.Run("a workload of WIT-SVIDs alone", func(t *testing.T) {
		original, err := os.ReadFile(e.ConfigFile)
		if err != nil {
			t.Fatal(err)
		}
		reload := func(text string) {
			if err := os.WriteFile(e.ConfigFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := e.Daemon.Reload("test"); err != nil {
				t.Fatal(err)
			}
		}
		reload(strings.Replace(string(original), "[spiffe_wit, spiffe_x509, spiffe_jwt]", "[spiffe_wit]", 1))
		defer reload(string(original))
		c := sound
		c.Hint = "shipping"
		by := examine(t, c)
		if f := fails(by); f != "" {
			t.Errorf("failed: %s, %+v", f, by)
		}
		wants(t, by, "client_match", oauth.Passed, "spiffe_wit: "+devenv.Shipping+" is client "+devenv.Shipping, "")
		wants(t, by, "token_wit", oauth.Passed, "an API accepts it", "")
		wants(t, by, "token_jwt", oauth.NotJudged, "may be registered for spiffe_wit only", "")
	})

	elsewhere := newServerCA(t, nil)
	for _, row := range []struct {
		name                         string
		change                       func(*Config)
		fails, check, found, mending string
	}{
		{"the other workload", func(c *Config) { c.Hint = "orders" }, "", "", "", ""},
		{"an authority that vouches for nobody", func(c *Config) { c.RootCAs = elsewhere.Pool() }, "tls", "tls", "vouches", "into " + e.CAFile},
		{"no authority", func(c *Config) { c.RootCAs, c.CAFile = elsewhere.Pool(), "" }, "tls", "tls", "vouches", "--ca-file"},
		{"a server that is down", func(c *Config) { c.Issuer = "https://" + closedPort(t) }, "tls", "tls", "nobody answers", "start the server"},
		{"a host that is not there", func(c *Config) { c.Issuer = "https://nobody.invalid" }, "tls", "tls", "nobody.invalid", ""},
		{"a slash too many", func(c *Config) { c.Issuer += "/" }, "metadata issuer_audience", "metadata", "trailing slash (expected none, presented one)", "--issuer " + e.Issuer},
		{"a path that is not there", func(c *Config) { c.Issuer += "/tenant" }, "metadata", "metadata", "answers 404", "path"},
		{"an identity that is not offered", func(c *Config) { c.Hint = "nobody" }, "x509_svid", "x509_svid", devenv.Billing + ", " + devenv.Orders, "svidgate whoami"},
		{"a client that is not registered", func(c *Config) { c.ClientID = "nobody" }, "client_match token_jwt token_x509 token_wit", "token_jwt", "client nobody is refused: 401 invalid_client, Request-Id ", "svidgate explain --request-id "},
		{"a resource that is not registered", func(c *Config) { c.Resource = "https://nobody.example/" }, "token_jwt", "token_jwt", "400 invalid_target", "svidgate explain --request-id "},
		{"a scope that is not granted", func(c *Config) { c.Scope = "write" }, "token_jwt", "token_jwt", "400 invalid_scope", "--socket " + sound.AdminSocket},
		{"the method that it is not registered for", func(c *Config) { c.Method = oauth.MethodX509 }, "client_match token_x509", "client_match", "method_not_allowed", "svidgate reload"},
		{"a clock that is ahead", func(c *Config) { c.Now = func() time.Time { return time.Now().Add(90 * time.Second) } }, "clock", "clock", "ahead of the server", "NTP"},
		{"a clock that is behind", func(c *Config) { c.Now = func() time.Time { return time.Now().Add(-45 * time.Second) } }, "x509_svid tls clock", "clock", "ahead of this host", "NTP"},
		{"no administration socket there", func(c *Config) { c.AdminSocket = "/nowhere/admin.sock" }, "server_bundle signing_keys", "server_bundle", "there is no socket", "admin"},
		{"a Workload API's socket for it", func(c *Config) { c.AdminSocket = strings.TrimPrefix(e.SocketAddr, "unix://") }, "server_bundle signing_keys", "server_bundle", "no svidgate server", "admin"},
		{"no status listener there", func(c *Config) { c.StatusURL = "http://" + closedPort(t) }, "server_ready older_forms", "server_ready", "refused", "start the server"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := sound
			row.change(&c)
			by := examine(t, c)
			if f := fails(by); f != row.fails {
				t.Errorf("failed: %s, want %s: %+v", f, row.fails, by)
			}
			if row.check != "" {
				wants(t, by, row.check, Failed, row.found, row.mending)
			}
		})
	}

	t.Run("older forms", func(t *testing.T) {
		source, err := wl.Open(t.Context(), wl.Config{Address: e.SocketAddr, Hint: "billing"})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		c, err := client.New(t.Context(), client.Config{Issuer: e.Issuer, Credentials: []client.Credential{client.JWTSVID(source)}, RootCAs: e.Roots, EndpointAudience: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Token(t.Context(), client.Request{}); err != nil {
			t.Fatal(err)
		}
		wants(t, examine(t, sound), "older_forms", oauth.Passed, "1 by CJ-7", "")
	})
}

// Nothing to look at is nothing judged, each with why.
func TestNothing(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	for _, f := range examine(t, Config{}) {
		if f.Outcome != oauth.NotJudged {
			t.Errorf("%+v", f)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	for _, row := range []struct {
		name   string
		config Config
		want   string
	}{
		{"no TLS", Config{Issuer: "http://a.example"}, "not an https URL"},
		{"a query", Config{Issuer: "https://a.example?x"}, "AM-2"},
		{"status far away", Config{StatusURL: "http://192.0.2.1:80"}, "on loopback"},
		{"a method that is none", Config{Method: "basic"}, "neither"},
	} {
		if _, err := Examine(t.Context(), row.config, nil); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if _, err := Examine(t.Context(), Config{StatusURL: "http://" + closedPort(t), Method: oauth.MethodJWT}, nil); err != nil {
		t.Error(err)
	}
}

// What is wrong with the address of the Workload API is said before it is asked.
func TestWorkloadSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "doc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file, open := filepath.Join(dir, "file"), filepath.Join(dir, "open")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	listen := func(path string) net.Listener {
		l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	listen(filepath.Join(open, "s"))
	denied := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(denied, refusing{})
	go denied.Serve(listen(filepath.Join(dir, "denied")))
	t.Cleanup(denied.Stop)

	for _, row := range []struct{ name, socket, check, found, next string }{
		{"no address", "nonsense", "workload_socket", "no address", "CL-1"},
		{"an address far away", "tcp://192.0.2.1:8081", "workload_socket", "not on this machine", "loopback"},
		{"nothing there", "unix://" + filepath.Join(dir, "none"), "workload_socket", "there is no ", "start the agent"},
		{"a file", "unix://" + file, "workload_socket", "is no socket", "--socket"},
		{"a folder for everybody", "unix://" + filepath.Join(open, "s"), "workload_socket", "everybody may put", "chmod o-w " + open},
		{"no identity", "unix://" + filepath.Join(dir, "denied"), "x509_svid", "no identity for this process", "register"},
	} {
		t.Run(row.name, func(t *testing.T) {
			by := examine(t, Config{Socket: row.socket})
			if f := fails(by); f != row.check {
				t.Errorf("failed: %s", f)
			}
			wants(t, by, row.check, Failed, row.found, row.next)
		})
	}
}

type refusing struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
}

func (refusing) FetchX509SVID(*workload.X509SVIDRequest, grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return status.Error(codes.PermissionDenied, "because")
}

// Servers that are nearly right, and one that is.
func TestStrangers(t *testing.T) {
	ca, past := newServerCA(t, nil), newServerCA(t, func() time.Time { return time.Now().AddDate(-2, 0, 0) })
	late := newServerCA(t, func() time.Time { return time.Now().AddDate(0, 0, -355) })
	const key = `{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"a","x":"i6Wmrk-Cs6LYh66L4nXEFkiLkYA-C4pdAf3V3dtTzm0","y":"qCw8mbVftytRqdbPRWhw68XiDZEPe_pRikur0GkM5zY"}`
	serve := func(media, methods, keys string) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+oauth.PathASMetadata, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			base := "https://" + r.Host
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"jwks_uri":%q,"token_endpoint_auth_methods_supported":%s}`, base, base+"/token", base+"/jwks.json", methods)
		})
		mux.HandleFunc("GET "+oauth.PathJWKS, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, keys) })
		return mux
	}
	both := `["spiffe_jwt","spiffe_x509"]`
	appended := http.NewServeMux()
	appended.HandleFunc("GET /tenant"+oauth.PathASMetadata, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	for _, row := range []struct {
		name, issuer              string
		fails, check, found, next string
	}{
		{"in order", stranger(t, ca, serve("application/json", both, `{"keys":[`+key+`]}`), "127.0.0.1"), "", "", "", ""},
		{"another name", stranger(t, ca, serve("application/json", both, "{}"), "other.example"), "tls", "tls", "is for other.example, not for 127.0.0.1", "127.0.0.1"},
		{"an expired certificate", stranger(t, past, serve("application/json", both, "{}"), "127.0.0.1"), "tls", "tls", "not now", "renew"},
		{"a certificate about to end", stranger(t, late, serve("application/json", both, "{}"), "127.0.0.1"), "tls", "tls", "ends in ", "renew"},
		{"no SPIFFE method", stranger(t, ca, serve("application/json", `["private_key_jwt"]`, `{"keys":[`+key+`]}`), "127.0.0.1"), "metadata", "metadata", "MD-1", "configuration"},
		{"another media type", stranger(t, ca, serve("text/html", both, "{}"), "127.0.0.1"), "metadata", "metadata", "AM-1", "proxy"},
		{"a well-known path in the wrong place", stranger(t, ca, appended, "127.0.0.1") + "/tenant", "metadata", "metadata", "there is a document at", "AM-1"},
		{"no keys", stranger(t, ca, serve("application/json", both, `{"keys":[]}`), "127.0.0.1"), "jwks", "jwks", "no key that verifies", "keys list"},
		{"keys that are no document", stranger(t, ca, serve("application/json", both, `nonsense`), "127.0.0.1"), "jwks", "jwks", "jwks.json", ""},
		{"keys of another use", stranger(t, ca, serve("application/json", both, `{"keys":[`+strings.Replace(key, "sig", "enc", 1)+`]}`), "127.0.0.1"), "jwks", "jwks", "KR-", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
			roots := ca.Pool()
			roots.AppendCertsFromPEM(past.PEM())
			roots.AppendCertsFromPEM(late.PEM())
			by := examine(t, Config{Issuer: row.issuer, RootCAs: roots})
			if f := fails(by); f != row.fails {
				t.Errorf("failed: %s, want %s: %+v", f, row.fails, by)
			}
			if row.check != "" {
				wants(t, by, row.check, Failed, row.found, row.next)
			}
		})
	}
}

func TestFindingAsJSON(t *testing.T) {
	out, err := json.Marshal(Finding{"tls", "TLS", Failed, "f", "n"})
	if want := `{"check":"tls","what":"TLS","outcome":"failed","found":"f","next":"n"}`; err != nil || string(out) != want {
		t.Errorf("%s, %v", out, err)
	}
}
