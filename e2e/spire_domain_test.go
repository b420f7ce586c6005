//go:build spire

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

// A spire is a trust domain of a real SPIRE server, on loopback, for one test. Its
// keys are published with use and without alg, its certificates each in an entry of
// its own; what it writes into files has no spiffe_refresh_hint (F6, BU-15).
type spire struct {
	name    string
	dir     string
	apiPort int
	url     string // of the bundle endpoint
	file    string // with the bundle, once it was exported
	server  *spireProcess
}

// spireOptions are what trust domains differ in.
type spireOptions struct {
	jwtKey      string        // rsa-2048, or ec-p256 when empty
	issuer      string        // of JWT-SVIDs; empty: they have no iss
	hint        time.Duration // spiffe_refresh_hint of the bundle endpoint; 0: 2 s
	httpsSPIFFE bool          // the endpoint's profile, in place of https_web
	wit         bool          // the server mints WIT-SVIDs
}

// A spireEntry is an entry for whatever runs as this user.
type spireEntry struct {
	path      string
	hint      string
	jti       bool   // its JWT-SVIDs have a jti; v1.15.3's agent keeps them all the same
	seconds   int    // that its JWT-SVIDs live; 0: five minutes
	group     bool   // selected by the user's group
	federated *spire // its workload gets the bundle of this trust domain, too
}

// newSPIRE starts a server and waits until it answers.
func newSPIRE(t *testing.T, name string, o spireOptions) *spire {
	t.Helper()
	// Not t.TempDir: a socket's name has at most 107 bytes.
	dir, err := os.MkdirTemp("", "spire-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &spire{name: name, dir: dir, apiPort: spirePort(t)}
	if n := len(d.socket("agent-9")); n > 107 {
		t.Fatalf("%s is too long by %d bytes for the name of a socket; set TMPDIR to a shorter one", dir, n-107)
	}
	port := spirePort(t)
	d.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	d.writeWebCertificate(t)
	d.writeServerConfig(t, port, o)
	d.serve(t)
	d.write(t, "bundle.pem", d.ctl(t, "bundle", "show", "-format", "pem"))
	return d
}

func (d *spire) id(path string) string       { return "spiffe://" + d.name + path }
func (d *spire) path(name string) string     { return filepath.Join(d.dir, name) }
func (d *spire) socket(agent string) string  { return d.path(agent + ".sock") }
func (d *spire) address(agent string) string { return "unix://" + d.socket(agent) }

func (d *spire) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(d.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// spirePort is a port that nobody listens on, below those that the system gives to
// outgoing connections: a server that is down must find its port free later.
func spirePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.N(12000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// writeWebCertificate makes the certificate of an https_web endpoint, and the file
// with which other servers verify it.
func (d *spire) writeWebCertificate(t *testing.T) {
	t.Helper()
	pair, err := serverCA().Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := devca.ServerPEM(pair)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "web.pem", chain)
	d.write(t, "web.key", key)
	d.write(t, "web-ca.pem", serverCA().PEM())
}

func (d *spire) writeServerConfig(t *testing.T, port int, o spireOptions) {
	t.Helper()
	if o.jwtKey == "" {
		o.jwtKey = "ec-p256"
	}
	if o.hint == 0 {
		o.hint = 2 * time.Second
	}
	profile := fmt.Sprintf(`profile "https_web" { serving_cert_file { cert_file_path = %q key_file_path = %q file_sync_interval = "1h" } }`, d.path("web.pem"), d.path("web.key"))
	if o.httpsSPIFFE {
		profile = `profile "https_spiffe" {}`
	}
	iss := ""
	if o.issuer != "" {
		iss = fmt.Sprintf("jwt_issuer = %q", o.issuer)
	}
	features := ""
	if o.wit {
		features = `feature_flags = ["wit-svid"]`
	}
	d.write(t, "server.conf", fmt.Appendf(nil, `
server {
  bind_address = "127.0.0.1"
  bind_port = "%d"
  socket_path = %q
  trust_domain = %q
  data_dir = %q
  ca_key_type = "ec-p256"
  jwt_key_type = %q
  %s
  experimental {
    cache_reload_interval = "1s"
    %s
  }
  federation {
    bundle_endpoint {
      address = "127.0.0.1"
      port = %d
      refresh_hint = "%s"
      %s
    }
  }
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = %q } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "disk" { plugin_data { keys_path = %q } }
}
`, d.apiPort, d.socket("server"), d.name, d.dir, o.jwtKey, iss, features, port, o.hint, profile, d.path("db.sqlite3"), d.path("keys.json")))
}

// serve starts the server, again after it was killed.
func (d *spire) serve(t *testing.T) {
	t.Helper()
	os.Remove(d.socket("server")) // of one that was killed
	d.server = launchSPIRE(t, d.path("server.log"), []string{"SSL_CERT_FILE=" + d.path("web-ca.pem")},
		spireProgram(t, "spire-server"), "run", "-config", d.path("server.conf"))
	until(t, "a SPIRE server for "+d.name, func() bool {
		if !d.server.alive() {
			t.Fatalf("spire-server ended: %s", d.server.said())
		}
		if _, err := os.Stat(d.socket("server")); err != nil {
			return false
		}
		_, err := d.try(nil, "healthcheck")
		return err == nil
	})
}

// try gives the server a command.
func (d *spire) try(stdin []byte, command ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.server.cmd.Path, append(command, "-socketPath", d.socket("server"))...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("spire-server %s: %w: %s%s", strings.Join(command, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes(), nil
}

func (d *spire) ctl(t *testing.T, command ...string) []byte {
	t.Helper()
	out, err := d.try(nil, command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// document is the bundle of this moment as SPIRE writes it into files.
func (d *spire) document(t *testing.T) []byte {
	t.Helper()
	return d.ctl(t, "bundle", "show", "-format", "spiffe")
}

// newest is the sequence of the bundle of this moment.
func (d *spire) newest(t *testing.T) uint64 {
	t.Helper()
	var b struct {
		Sequence uint64 `json:"spiffe_sequence"`
	}
	if err := json.Unmarshal(d.document(t), &b); err != nil || b.Sequence == 0 {
		t.Fatalf("sequence %d, %v", b.Sequence, err)
	}
	return b.Sequence
}

// export makes a file with the bundle the source of the trust domain, or renews it.
func (d *spire) export(t *testing.T) {
	t.Helper()
	d.write(t, "bundle.json.new", d.document(t))
	if err := os.Rename(d.path("bundle.json.new"), d.path("bundle.json")); err != nil {
		t.Fatal(err)
	}
	d.file = d.path("bundle.json")
}

// federate lets two trust domains have each other's bundle.
func federate(t *testing.T, web, spiffe *spire) {
	t.Helper()
	id := "spiffe://" + spiffe.name
	spiffe.export(t)
	web.ctl(t, "federation", "create", "-trustDomain", spiffe.name, "-bundleEndpointURL", spiffe.url, "-bundleEndpointProfile", "https_spiffe",
		"-endpointSpiffeID", id+"/spire/server", "-trustDomainBundlePath", spiffe.file, "-trustDomainBundleFormat", "spiffe")
	spiffe.ctl(t, "federation", "create", "-trustDomain", web.name, "-bundleEndpointURL", web.url, "-bundleEndpointProfile", "https_web")
	web.ctl(t, "federation", "refresh", "-id", id)
	spiffe.ctl(t, "federation", "refresh", "-id", "spiffe://"+web.name)
}

// agent starts an agent with entries of its own and waits for its socket.
func (d *spire) agent(t *testing.T, name string, entries ...spireEntry) {
	t.Helper()
	var token struct {
		Value string
	}
	if err := json.Unmarshal(d.ctl(t, "token", "generate", "-output", "json"), &token); err != nil || token.Value == "" {
		t.Fatalf("a join token: %v", err)
	}
	d.register(t, d.id("/spire/agent/join_token/"+token.Value), entries...)
	if err := os.Mkdir(d.path(name), 0o700); err != nil {
		t.Fatal(err)
	}
	d.write(t, name+".conf", fmt.Appendf(nil, `
agent {
  data_dir = %q
  server_address = "127.0.0.1"
  server_port = "%d"
  socket_path = %q
  trust_domain = %q
  trust_bundle_path = %q
  experimental { sync_interval = "1s" }
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`, d.path(name), d.apiPort, d.socket(name), d.name, d.path("bundle.pem")))
	p := launchSPIRE(t, d.path(name+".log"), nil, spireProgram(t, "spire-agent"), "run", "-config", d.path(name+".conf"), "-joinToken", token.Value)
	until(t, "the socket of "+name, func() bool {
		if !p.alive() {
			t.Fatalf("spire-agent ended: %s", p.said())
		}
		_, err := os.Stat(d.socket(name))
		return err == nil
	})
}

func (d *spire) register(t *testing.T, parent string, entries ...spireEntry) {
	t.Helper()
	var all []map[string]any
	for _, e := range entries {
		selector := map[string]string{"type": "unix", "value": "uid:" + strconv.Itoa(os.Getuid())}
		if e.group {
			selector["value"] = "gid:" + strconv.Itoa(os.Getgid())
		}
		entry := map[string]any{"parent_id": parent, "spiffe_id": d.id(e.path), "hint": e.hint, "selectors": []any{selector},
			"jwt_svid_ttl": e.seconds, "additional_attributes": map[string]bool{"jwt_svid_include_jti": e.jti}}
		if e.federated != nil {
			entry["federates_with"] = []string{"spiffe://" + e.federated.name}
		}
		all = append(all, entry)
	}
	data, err := json.Marshal(map[string]any{"entries": all})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.try(data, "entry", "create", "-data", "-"); err != nil {
		t.Fatal(err)
	}
}

// authority gives the command "localauthority", and returns the id of the
// authority that it is about.
func (d *spire) authority(t *testing.T, kind, command, id string) string {
	t.Helper()
	args := []string{"localauthority", kind, command, "-output", "json"}
	if id != "" {
		args = append(args, "-authorityID", id)
	}
	var states map[string]struct {
		ID string `json:"authority_id"`
	}
	out := d.ctl(t, args...)
	member := map[string]string{"show": "active", "prepare": "prepared_authority", "activate": "activated_authority", "taint": "tainted_authority", "revoke": "revoked_authority"}[command]
	if err := json.Unmarshal(out, &states); err != nil || states[member].ID == "" {
		t.Fatalf("localauthority %s %s: %v: %s", kind, command, err, out)
	}
	if got := states[member].ID; id != "" && got != id {
		t.Fatalf("localauthority %s %s is about %s, not %s", kind, command, got, id)
	}
	return states[member].ID
}
