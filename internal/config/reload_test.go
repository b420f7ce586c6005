package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/keys"
)

// TestKeysDefaults: where one of the two is given, the other follows.
func TestKeysDefaults(t *testing.T) {
	for _, row := range []struct {
		keys          string
		rotate, ahead time.Duration
	}{
		{"{}", 720 * time.Hour, time.Hour},
		{"{rotate: 720h}", 720 * time.Hour, time.Hour},
		{"{rotate: 2h}", 2 * time.Hour, time.Hour},
		{"{rotate: 1h}", time.Hour, 30 * time.Minute},
		{"{rotate: 15s}", 15 * time.Second, 7 * time.Second},
		{"{rotate: 0}", 0, time.Hour},
		{"{rotate: 0s, publish_ahead: 168h}", 0, 168 * time.Hour},
		{"{publish_ahead: 168h}", 720 * time.Hour, 168 * time.Hour},
		{"{publish_ahead: 3s}", 720 * time.Hour, 3 * time.Second},
	} {
		cfg, err := config.Parse("a.yaml", []byte(server+"keys: "+row.keys+"\n"))
		if err != nil {
			t.Errorf("%s: %v", row.keys, err)
			continue
		}
		if cfg.Keys.Rotate != row.rotate || cfg.Keys.PublishAhead != row.ahead {
			t.Errorf("%s: %v, %v", row.keys, cfg.Keys.Rotate, cfg.Keys.PublishAhead)
		}
	}
}

// TestKeysAgree: what is accepted here, package keys accepts, and what it would
// refuse is refused here, where the fault has a place.
func TestKeysAgree(t *testing.T) {
	for i, row := range []struct {
		lifetime, rotate, ahead string
		ok                      bool
	}{
		{"1s", "6s", "3s", true},
		{"1s", "6s", "2s", false},
		{"1s", "5s", "3s", false},
		{"5m", "10s", "3s", true},
		{"5m", "9s", "3s", false},
		{"1h", "81s", "3s", true},
		{"1h", "80s", "3s", false},
		{"24h", "1881s", "3s", true},
		{"24h", "1880s", "3s", false},
		{"5m", "8760h", "168h", true},
		{"5m", "336h", "168h", true},
		{"5m", "335h", "168h", false},
		{"24h", "0s", "168h", true},
	} {
		_, err := config.Parse("a.yaml", []byte(server+"access_token: {lifetime: "+row.lifetime+"}\nkeys: {rotate: "+row.rotate+", publish_ahead: "+row.ahead+"}\n"))
		if (err == nil) != row.ok {
			t.Errorf("%+v: %v", row, err)
		}
		parse := func(s string) time.Duration { d, _ := time.ParseDuration(s); return d }
		_, err = keys.Open(keys.Config{
			File:        filepath.Join(t.TempDir(), strconv.Itoa(i)),
			RotateEvery: parse(row.rotate), PublishAhead: parse(row.ahead), LongestToken: parse(row.lifetime),
		})
		if row.ok && err != nil {
			t.Errorf("%+v: package keys: %v", row, err)
		}
	}
}

// TestNeedsRestart has rows that change one configuration in one place.
func TestNeedsRestart(t *testing.T) {
	const running = `issuer: https://as.example.com
mtls_url: https://mtls.as.example.com
listen:
  public: "127.0.0.1:8443"
  mtls: "127.0.0.1:8444"
tls:
  certificate: as.crt
  key: as.key
audit: {file: audit.jsonl}
log: {level: info}
`
	const restart = " cannot change while the server runs"
	for _, row := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"a default written out", "log:", "keys: {file: ./svidgate-keys.json}\nadmin: {socket: svidgate-admin.sock}\nbundles: {folder: svidgate-bundles/}\nstore: \"memory:\"\nlog:", ""},
		{"a path in another spelling", "as.crt", "./x/../as.crt", ""},
		{"what may change", "log: {level: info}", `log: {level: debug}
profile: latest
binding: required
svid: {leeway: 0s}
access_token: {lifetime: 1m, alg: EdDSA}
limits: {requests_per_client: 1/s}
keys: {rotate: 1h, publish_ahead: 3s}
trust_domains: {a: {bundle_file: b}}
resources: [{resource: https://a/}]
clients: [{client_id: spiffe://a/b, auth_methods: [spiffe_jwt]}]`, ""},

		{"issuer", "https://as.", "https://as2.", `1:9: issuer` + restart + ` (it is "https://as.example.com"); restart the server to change it`},
		{"issuer by a slash", "//as.example.com", "//as.example.com/", `1:9: issuer` + restart + ` (it is "https://as.example.com"); restart the server to change it`},
		{"mtls_url", "//mtls.", "//m.", `2:11: mtls_url` + restart + ` (it is "https://mtls.as.example.com"); restart the server to change it`},
		{"public_client_certificates", "log:", "public_client_certificates: true\nlog:", `10:29: public_client_certificates` + restart + ` (it is "false"); restart the server to change it`},
		{"listen.public", ":8443", ":8445", `4:11: listen.public` + restart + ` (it is "127.0.0.1:8443"); restart the server to change it`},
		{"listen.mtls", ":8444", ":8445", `5:9: listen.mtls` + restart + ` (it is "127.0.0.1:8444"); restart the server to change it`},
		{"listen.mtls gone", "mtls_url: https://mtls.as.example.com\nlisten:\n  public: \"127.0.0.1:8443\"\n  mtls: \"127.0.0.1:8444\"", "listen:\n  public: \"127.0.0.1:8443\"",
			"1:1: mtls_url" + restart + ` (it is "https://mtls.as.example.com"); restart the server to change it` + "\n" +
				"2:1: listen.mtls" + restart + ` (it is "127.0.0.1:8444"); restart the server to change it`},
		{"listen.status", "tls:\n", "  status: \"127.0.0.1:1\"\ntls:\n", `6:11: listen.status` + restart + ` (it is not set); restart the server to change it`},
		{"tls.certificate", "as.crt", "new.crt", `7:16: tls.certificate` + restart + ` (it is "/as/as.crt"); restart the server to change it`},
		{"tls.key", "as.key", "new.key", `8:8: tls.key` + restart + ` (it is "/as/as.key"); restart the server to change it`},
		{"admin.socket", "log:", "admin: {socket: a.sock}\nlog:", `10:17: admin.socket` + restart + ` (it is "/as/svidgate-admin.sock"); restart the server to change it`},
		{"store", "log:", "store: sqlite:x.db\nlog:", `10:8: store` + restart + ` (it is "memory:"); restart the server to change it`},
		{"keys.in", "log:", "store: sqlite:x\nkeys: {in: store}\nlog:", `10:8: store` + restart + " (it is \"memory:\"); restart the server to change it\n" + `11:12: keys.in` + restart + ` (it is "file"); restart the server to change it`},
		{"keys.encryption_key_file", "log:", "keys: {encryption_key_file: k}\nlog:", `10:29: keys.encryption_key_file` + restart + ` (it is not set); restart the server to change it`},
		{"audit.file", "audit.jsonl", "a.jsonl", `9:15: audit.file` + restart + ` (it is "/as/audit.jsonl"); restart the server to change it`},
		{"audit.file to standard output", "audit.jsonl", "\"-\"", `9:15: audit.file` + restart + ` (it is "/as/audit.jsonl"); restart the server to change it`},
		{"audit.fsync", "audit.jsonl", "audit.jsonl, fsync: every", `9:35: audit.fsync` + restart + ` (it is not set); restart the server to change it`},
		{"keys.file", "log:", "keys: {file: k}\nlog:", `10:14: keys.file` + restart + ` (it is "/as/svidgate-keys.json"); restart the server to change it`},
		{"bundles.folder", "log:", "bundles: {folder: b}\nlog:", `10:19: bundles.folder` + restart + ` (it is "/as/svidgate-bundles"); restart the server to change it`},
		{"tracing.endpoint", "log:", "tracing: {endpoint: https://a}\nlog:", `10:21: tracing.endpoint` + restart + ` (it is not set); restart the server to change it`},
		{"two of them, in the order of the file", "log:", "store: sqlite:a\nkeys: {file: k}\nlog:",
			`10:8: store` + restart + " (it is \"memory:\"); restart the server to change it\n" + `11:14: keys.file` + restart + ` (it is "/as/svidgate-keys.json"); restart the server to change it`},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := load(t, running)
			after := load(t, strings.Replace(running, row.old, row.new, 1))
			if got := strings.ReplaceAll(before.NeedsRestart(after).Error(), "/as/a.yaml:", ""); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			if back := after.NeedsRestart(before); (len(back) == 0) != (row.want == "") {
				t.Errorf("the way back: %v", back)
			}
		})
	}
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("/as/a.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestManualNamesWhatNeedsARestart: the manual names the keys that need a restart,
// and those are the ones that NeedsRestart looks at.
func TestManualNamesWhatNeedsARestart(t *testing.T) {
	_, section, found := strings.Cut(readManual(t), "## What a running server takes over")
	if !found {
		t.Fatal("the manual does not say what is reloaded")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, list, found := strings.Cut(section, "A restart is needed for ")
	if !found {
		t.Fatal("the manual does not say what needs a restart")
	}
	list, _, _ = strings.Cut(list, ".\n")
	var named []string
	for i, word := range strings.Split(list, "`") {
		if i%2 == 1 {
			named = append(named, word)
		}
	}
	fixed := config.FixedKeys()
	slices.Sort(named)
	slices.Sort(fixed)
	if !slices.Equal(named, fixed) {
		t.Errorf("the manual names %q, the code %q", named, fixed)
	}
}

// TestChanged: by content, of every watched file, and back again.
func TestChanged(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const table = "a: {spiffe_bundle_endpoint: {url: https://a/, ca_file: ca.pem}}\nb: {spiffe_bundle_endpoint: {url: https://b/, ca_file: ca.pem}}\nc: {bundle_file: c.json}\n"
	write("a.yaml", server+"trust_domains: table.yaml\n")
	write("table.yaml", table)
	write("ca.pem", "one")
	cfg, err := config.Load(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "table.yaml"), filepath.Join(dir, "ca.pem")}
	if got := cfg.Watched(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	first, changed := cfg.Changed()
	if changed {
		t.Error("changed as it was loaded")
	}
	seen := map[string]bool{first: true}
	for _, c := range []struct{ file, text, back string }{
		{"a.yaml", server, server + "trust_domains: table.yaml\n"}, {"table.yaml", table + "#", table}, {"ca.pem", "two", "one"},
	} {
		write(c.file, c.text)
		now, changed := cfg.Changed()
		if !changed || seen[now] {
			t.Errorf("%s: %v, %s", c.file, changed, now)
		}
		seen[now] = true
		if again, _ := cfg.Changed(); again != now {
			t.Errorf("%s: two answers", c.file)
		}
		if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
			t.Fatal(err)
		}
		if gone, changed := cfg.Changed(); !changed || seen[gone] {
			t.Errorf("%s: removed: %v", c.file, changed)
		}
		write(c.file, c.back)
		if now, changed := cfg.Changed(); changed || now != first {
			t.Errorf("%s: put back, and still changed", c.file)
		}
	}
	write("c.json", "a bundle is watched by whoever uses it")
	if _, changed := cfg.Changed(); changed {
		t.Error("a bundle_file is watched")
	}
}
