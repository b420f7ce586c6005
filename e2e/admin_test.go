package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/oauth"
)

// administered runs a server whose bundles change only when an operator says so.
func administered(t *testing.T, td *domain) *server {
	t.Helper()
	s := prepare(t, worldConfig+adminAt(shortFolder(t))+
		fmt.Sprintf("trust_domains:\n  %s: {spiffe_bundle_endpoint: {url: %q, ca_file: ca.pem}, refresh: {min: 1h, max: 1h}}\n", td.name, td.url))
	s.run(t)
	return s
}

// `svidgate bundle` shows and changes what the running server has.
func TestBundleCommands(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := administered(t, td)

	t.Run("list", func(t *testing.T) {
		rows := strings.Split(strings.TrimSuffix(s.done(t, "bundle", "list"), "\n"), "\n")
		if len(rows) != 2 || !strings.HasPrefix(rows[0], "TRUST DOMAIN ") {
			t.Fatalf("%q", rows)
		}
		fields := strings.Fields(rows[1])
		want := []string{"example.org", "ready", fields[2], "1", "1", "1", "0", "0", td.url}
		if !slices.Equal(fields, want) {
			t.Errorf("%q, want %q", fields, want)
		}
		all := asJSON[[]admin.Bundle](t, s, "bundle", "list")
		if len(all) != 1 || all[0].TrustDomain != td.name || !all[0].Ready || all[0].Source != td.url || *all[0].Sequence != 1 ||
			all[0].MaxAgeSeconds != 86400 || all[0].Keys["x509-svid"] != 1 || all[0].Keys["jwt-svid"] != 1 || all[0].NextRefresh == nil {
			t.Errorf("%+v", all)
		}
	})
	t.Run("status", func(t *testing.T) {
		kid, _, _ := td.JWTKey()
		for _, args := range [][]string{{"bundle", "status"}, {"bundle", "status", td.name}} {
			out := s.done(t, args...)
			for _, want := range []string{"example.org", "ready", td.url, "kid " + kid, "too old at ", "next refresh", "x509-svid"} {
				if !strings.Contains(out, want) {
					t.Errorf("%v does not say %q:\n%s", args, want, out)
				}
			}
		}
		one := asJSON[admin.Bundle](t, s, "bundle", "status", td.name)
		if len(one.Entries) != 2 || one.Entries[0].KeyID != kid || one.Entries[0].Use != "jwt-svid" || one.Entries[1].Use != "x509-svid" ||
			len(one.Entries[1].Fingerprint) != 64 || one.Entries[1].NotAfter == nil || one.KeptFromDisk {
			t.Errorf("%+v", one)
		}
		if all := asJSON[[]admin.Bundle](t, s, "bundle", "status"); len(all) != 1 || len(all[0].Entries) != 2 {
			t.Errorf("%+v", all)
		}
		s.refuses(t, "nobody.test", "bundle", "status", "nobody.test")
		s.refuses(t, "not the name of a trust domain", "bundle", "status", "Not A Name")
		s.refuses(t, "not the name of a trust domain", "bundle", "status", "../keys")
	})
	t.Run("diff", func(t *testing.T) {
		if out := s.done(t, "bundle", "diff", td.name); out != "no difference\n" {
			t.Errorf("%q", out)
		}
		file := filepath.Join(t.TempDir(), "other.json")
		if err := os.WriteFile(file, td.Bundle(), 0o600); err != nil {
			t.Fatal(err)
		}
		kid := must(td.PrepareJWTKey())
		for range 2 { // the second shows that the first took nothing
			out := s.done(t, "bundle", "diff", td.name)
			if !strings.HasPrefix(out, "sequence 1 -> 2\n+ jwt-svid: ") || !strings.Contains(out, "kid "+kid) || strings.Count(out, "\n") != 2 {
				t.Errorf("%q", out)
			}
		}
		d := asJSON[admin.Difference](t, s, "bundle", "diff", td.name)
		if d.Same || len(d.Added) != 1 || d.Added[0].KeyID != kid || len(d.Removed) != 0 || *d.SequenceBefore != 1 || *d.SequenceAfter != 2 {
			t.Errorf("%+v", d)
		}
		if out := s.done(t, "bundle", "diff", td.name, file); out != "no difference\n" {
			t.Errorf("%q", out)
		}
		out, errs, code := commandWith(t, s.dir, nil, td.Bundle(), "bundle", "diff", "--socket", s.socket(t), td.name, "-")
		if code != 0 || errs != "" || !strings.Contains(out, "+ jwt-svid: ") {
			t.Errorf("from standard input: code %d, %q, %q", code, out, errs)
		}
		for name, document := range map[string]string{"no JSON": "nonsense", "empty": "", "two megabytes": strings.Repeat(" ", 2<<20)} {
			out, errs, code := commandWith(t, s.dir, nil, []byte(document), "bundle", "diff", "--socket", s.socket(t), td.name, "-")
			if code != 1 || out != "" || errs == "" {
				t.Errorf("%s: code %d, %q, %q", name, code, out, errs)
			}
		}
		s.refuses(t, "no such file", "bundle", "diff", td.name, filepath.Join(s.dir, "nothing.json"))
		s.refuses(t, "nobody.test", "bundle", "diff", "nobody.test")
		if lines := s.record.find(t, "event", audit.EventBundleRefresh); len(lines) != 0 {
			t.Errorf("looking was recorded as a change: %v", lines)
		}
	})
	t.Run("refresh", func(t *testing.T) {
		sequence := td.Sequence()
		if out := s.done(t, "bundle", "refresh", td.name); !strings.HasPrefix(out, "sequence 1 -> 2\n+ jwt-svid: ") {
			t.Errorf("%q", out)
		}
		if out := s.done(t, "bundle", "refresh", td.name); out != "confirmed; nothing changed\n" {
			t.Errorf("%q", out)
		}
		if b := asJSON[admin.Bundle](t, s, "bundle", "status", td.name); *b.Sequence != sequence || len(b.Entries) != 3 {
			t.Errorf("%+v", b)
		}
		if d := asJSON[admin.Difference](t, s, "bundle", "refresh", td.name); !d.Same || *d.SequenceAfter != sequence {
			t.Errorf("%+v", d)
		}
		lines := s.record.find(t, "event", audit.EventBundleRefresh)
		if len(lines) != 3 {
			t.Fatalf("%d audit lines", len(lines))
		}
		for _, l := range lines {
			if l.text("outcome") != "granted" || l.text("trust_domain") != td.name || l["bundle_sequence"] != float64(sequence) || l.text("request_id") == "" || !strings.HasPrefix(l.text("source"), "admin socket") {
				t.Errorf("audit line %v", l)
			}
		}
		s.refuses(t, "nobody.test", "bundle", "refresh", "nobody.test")

		// BU-14: an older bundle is refused, until the operator insists.
		td.serve(t, `{"keys":[],"spiffe_sequence":1}`)
		s.refuses(t, "BU-14", "bundle", "refresh", td.name)
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
		out := s.done(t, "bundle", "refresh", "--accept-older", td.name)
		if !strings.HasPrefix(out, "sequence 2 -> 1\n- jwt-svid: ") || !strings.Contains(out, "warning: ") {
			t.Errorf("%q", out)
		}
		if l := s.record.find(t, "event", audit.EventBundleOverride); len(l) != 1 || l[0].text("trust_domain") != td.name || l[0]["bundle_sequence"] != 1.0 {
			t.Errorf("audit lines of the override: %v", l)
		}
		s.refused(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)), refusal{"invalid_client", oauth.ReasonBundleNoKeys, "BU-12"})
		td.document.Store(nil)
		s.done(t, "bundle", "refresh", td.name)
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))

		// What the endpoint says of itself is what the operator is told.
		td.status.Store(&answers{http.StatusInternalServerError})
		recorded := len(s.record.find(t, "event", audit.EventBundleRefresh))
		s.refuses(t, "500", "bundle", "refresh", td.name)
		s.refuses(t, "500", "bundle", "diff", td.name)
		if b := asJSON[admin.Bundle](t, s, "bundle", "status", td.name); !b.Ready || b.Failures != 1 || !strings.Contains(b.LastError, "500") {
			t.Errorf("%+v", b)
		}
		if n := len(s.record.find(t, "event", audit.EventBundleRefresh)); n != recorded {
			t.Errorf("a refresh that changed nothing has an audit line")
		}
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
		td.status.Store(nil)
	})
}

// published are the kids of the key set as it is now.
func (s *server) published(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	s.keys = nil
	s.mu.Unlock()
	var kids []string
	for _, k := range s.jwks(t).Keys {
		kids = append(kids, k.KeyID)
	}
	return kids
}

// KR-2 and KR-3 by hand: `svidgate keys`.
func TestKeysCommands(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := administered(t, td)
	ask := func() granted { return s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer))) }
	first := ask()
	list := func() []keys.Key {
		t.Helper()
		all := asJSON[[]keys.Key](t, s, "keys", "list")
		var kids []string
		for _, k := range all {
			kids = append(kids, k.ID)
		}
		if published := s.published(t); !slices.Equal(kids, published) {
			t.Errorf("KR-1 listed %q, published %q", kids, published)
		}
		return all
	}
	states := func(want ...keys.State) []keys.Key {
		t.Helper()
		all := list()
		var got []keys.State
		for _, k := range all {
			got = append(got, k.State)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("KR-2 the keys are %q, want %q", got, want)
		}
		return all
	}
	all := states(keys.StateActive)
	if k := all[0]; k.ID != first.keyID || k.Algorithm != "ES256" || k.Created.IsZero() || k.Activated.IsZero() || !k.Retired.IsZero() {
		t.Errorf("%+v", k)
	}
	if out := s.done(t, "keys", "list"); !strings.HasPrefix(out, "KID ") || !strings.Contains(out, first.keyID) || !strings.Contains(out, "active") {
		t.Errorf("%s", out)
	}

	// A rotation publishes the next key, and the one there is goes on to sign.
	out := s.done(t, "keys", "rotate")
	all = states(keys.StateActive, keys.StatePending)
	next := all[1].ID
	if all[0].ID != first.keyID || all[1].ActivatesAt.IsZero() || !strings.Contains(out, next) {
		t.Errorf("%+v, %s", all, out)
	}
	if g := ask(); g.keyID != first.keyID {
		t.Errorf("KR-2 a pending key signed")
	}
	// Another one changes nothing: there is one next key.
	if change := asJSON[keys.Change](t, s, "keys", "rotate"); change.Key.ID != next || len(change.Steps) != 0 {
		t.Errorf("%+v", change)
	}
	// With --now it signs at once, and what the old one signed verifies still.
	change := asJSON[keys.Change](t, s, "keys", "rotate", "--now")
	if change.Key.ID != next || change.Key.State != keys.StateActive {
		t.Errorf("%+v", change)
	}
	all = states(keys.StateActive, keys.StateRetiring)
	if all[0].ID != next || all[1].ID != first.keyID || all[1].RemovesAt.IsZero() {
		t.Errorf("%+v", all)
	}
	second := ask()
	if second.keyID != next {
		t.Errorf("KR-2 the token is signed with %s, not %s", second.keyID, next)
	}
	verifies := func(g granted) bool {
		t.Helper()
		s.published(t)
		parsed := must(jose.ParseSignedCompact(string(g.token.AccessToken), []jose.SignatureAlgorithm{jose.ES256}))
		_, err := parsed.Verify(s.jwks(t))
		return err == nil
	}
	if !verifies(first) || !verifies(second) {
		t.Error("KR-2 a token does not verify")
	}

	// KR-3: a key that leaked is gone at once, its tokens with it; if it was the
	// active one, the next signs.
	s.done(t, "keys", "remove", first.keyID)
	states(keys.StateActive)
	if verifies(first) || !verifies(second) {
		t.Error("KR-3 what the removed key signed verifies, or what the other signed does not")
	}
	removed := asJSON[keys.Change](t, s, "keys", "remove", next)
	all = states(keys.StateActive)
	if all[0].ID == next || removed.Key.ID != next {
		t.Errorf("%+v, %+v", all, removed)
	}
	if third := ask(); third.keyID != all[0].ID || verifies(second) || !verifies(third) {
		t.Error("KR-3 after the active key was removed")
	}
	before := len(s.record.all(t))
	for _, kid := range []string{next, "nobody", "-", strings.Repeat("k", 3000)} {
		s.refuses(t, "no key has this kid", "keys", "remove", "--", kid)
	}
	s.refuses(t, "accepts 1 arg", "keys", "remove")
	if n := len(s.record.all(t)); n != before {
		t.Error("what was not done is in the audit record")
	}

	var got []string
	for _, l := range s.record.all(t) {
		if event := l.text("event"); slices.Contains(operatorEvents, event) {
			got = append(got, event+" "+l.text("key_id"))
			if l.text("outcome") != "granted" || l.text("request_id") == "" || !strings.HasPrefix(l.text("source"), "admin socket") {
				t.Errorf("audit line %v", l)
			}
			if runtime.GOOS == "linux" && !strings.HasSuffix(l.text("source"), fmt.Sprintf("uid %d", os.Getuid())) {
				t.Errorf("the audit line does not say who: %v", l)
			}
		}
	}
	rotate, remove := audit.EventKeyRotate+" ", audit.EventKeyRemove+" "
	if want := []string{rotate + next, rotate + next, remove + first.keyID, remove + next}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// A command finds its server, or says what is in its way.
func TestSocketIsFound(t *testing.T) {
	t.Parallel()
	s := administered(t, newDomain(t, "example.org", devca.Options{}))
	socket := s.socket(t)
	beside := shortFolder(t)
	if err := os.Symlink(socket, filepath.Join(beside, "svidgate-admin.sock")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(beside, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, dir, env, flag string
		says                 string // empty when the server answers
	}{
		{"by the flag", "/", "", socket, ""},
		{"by the environment", "/", socket, "", ""},
		{"in this folder", beside, "", "", ""},
		{"the flag goes before the environment", "/", filepath.Join(beside, "nothing"), socket, ""},
		{"nothing is named", "/", "", "", "there is no socket svidgate-admin.sock"},
		{"what is named is not there", beside, "", filepath.Join(beside, "nothing"), "--socket"},
		{"a file", beside, "", file, "is no socket"},
		{"written as a URL", "/", "unix://" + socket, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"bundle", "list"}
			if row.flag != "" {
				args = append(args, "--socket", row.flag)
			}
			out, errs, code := commandWith(t, row.dir, []string{"SVIDGATE_SOCKET=" + row.env}, nil, args...)
			if row.says == "" {
				if code != 0 || errs != "" || !strings.Contains(out, "example.org") {
					t.Errorf("code %d, %q, %q", code, out, errs)
				}
			} else if code != 1 || out != "" || !strings.HasPrefix(errs, "svidgate: ") || !strings.Contains(errs, row.says) {
				t.Errorf("code %d, %q, %q", code, out, errs)
			}
		})
	}
}

// The socket is the owner's alone and lives as long as its server.
func TestSocketLife(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := administered(t, td)
	socket := s.socket(t)
	look := func(s *server) {
		t.Helper()
		info, err := os.Lstat(socket)
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Fatalf("the socket is %v, %v", info.Mode(), err)
		}
		s.done(t, "keys", "list")
	}
	look(s)

	// Another server does not take it away.
	other := prepare(t, worldConfig+fmt.Sprintf("\nadmin: {socket: %q}\n", socket), newFileDomain(t, "example.org", devca.Options{}))
	refused := func(says string) {
		t.Helper()
		other.spawn(t)
		other.wait(t)
		if said := said(t, other.stderr); other.cmd.ProcessState.ExitCode() != 1 || !bytes.Contains(said, []byte(says)) || bytes.Contains(said, []byte(`"ready"`)) {
			t.Errorf("code %d, %s", other.cmd.ProcessState.ExitCode(), said)
		}
	}
	refused("another server answers there")
	look(s)

	// What a killed server leaves is replaced, and what stops properly leaves nothing.
	s.lastLook(t)
	s.kill(t)
	if _, err := os.Lstat(socket); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := command(t, s.dir, "keys", "list", "--socket", socket); code != 1 || !strings.Contains(errs, "is it running?") {
		t.Errorf("code %d, %s", code, errs)
	}
	s.run(t)
	look(s)
	s.stop(t)
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("after the stop: %v", err)
	}
	other.run(t)
	look(other)
	other.stop(t)

	// Somebody's file is not removed.
	if err := os.WriteFile(socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("no socket")
	if data, err := os.ReadFile(socket); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
}

// Whoever gets at the socket's file is still not its user.
func TestSocketIsForItsUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root on Linux can be two users")
	}
	const nobody = 65534
	s := administered(t, newDomain(t, "example.org", devca.Options{}))
	socket := s.socket(t)
	dir := shortFolder(t)
	binary := filepath.Join(dir, "svidgate")
	if err := os.WriteFile(binary, must(os.ReadFile(program())), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, open := range []string{dir, filepath.Dir(socket)} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	as := func(uid uint32, args ...string) (string, string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, append(args, "--socket", socket)...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	if out, errs, code := as(0, "keys", "list"); code != 0 || out == "" {
		t.Fatalf("code %d, %s", code, errs)
	}
	if out, errs, code := as(nobody, "keys", "list"); code != 1 || out != "" || !strings.Contains(errs, "run as the user that the server runs as") {
		t.Errorf("mode 0600: code %d, %s%s", code, out, errs)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	before := s.published(t)
	for _, args := range [][]string{{"keys", "list"}, {"keys", "rotate", "--now"}, {"keys", "remove", before[0]}, {"bundle", "list"}, {"bundle", "refresh", "example.org"}, {"reload"}} {
		if out, errs, code := as(nobody, args...); code != 1 || out != "" || !strings.Contains(errs, "only the user that the server runs as, and root, may do this") {
			t.Errorf("%v: code %d, %s%s", args, code, out, errs)
		}
	}
	if after := s.published(t); !slices.Equal(before, after) {
		t.Errorf("the keys are %q, and were %q", after, before)
	}
	if n := s.operated(t); n != 0 {
		t.Errorf("%d changes are in the audit record", n)
	}
	refused := s.log.find(t, "msg", "admin socket: refused")
	if len(refused) != 6 || refused[0].text("caller") != fmt.Sprint("uid ", nobody) {
		t.Errorf("%d log lines: %v", len(refused), refused)
	}
	if out, errs, code := as(0, "keys", "list"); code != 0 || out == "" {
		t.Errorf("the owner afterwards: code %d, %s", code, errs)
	}
}

// The interface itself: what is not an interface is not found, and nothing it
// says may be kept.
func TestSocketInterface(t *testing.T) {
	t.Parallel()
	s := administered(t, newDomain(t, "example.org", devca.Options{}))
	socket := s.socket(t)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	for _, row := range []struct {
		request string
		status  int
	}{
		{"GET /bundles", 200},
		{"GET /bundles/example.org", 200},
		{"GET /bundles/example.org/difference", 200},
		{"GET /keys", 200},
		{"GET /", 404},
		{"GET /token", 404},
		{"GET /debug/pprof/", 404},
		{"POST /bundles", 405},
		{"GET /reload", 405},
		{"GET /keys/rotate", 405},
		{"GET /bundles/example.org/refresh", 405},
		{"GET /bundles/nobody.test", 404},
		{"GET /bundles/UPPER", 400},
		{"POST /keys/unknown/remove", 409},
	} {
		method, path, _ := strings.Cut(row.request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "http://svidgate"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != row.status {
			t.Errorf("%s: status %d, want %d; %v", row.request, resp.StatusCode, row.status, err)
		}
		if cache := resp.Header.Get("Cache-Control"); cache != "no-store" {
			t.Errorf("%s: Cache-Control %q", row.request, cache)
		}
		if resp.Header.Get("Content-Type") == "application/json" && !json.Valid(body.Bytes()) {
			t.Errorf("%s: %s", row.request, body.Bytes())
		}
		evidence.add("admin "+row.request, body.Bytes())
	}
}
