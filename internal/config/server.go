package config

import (
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/policy"
)

// config reads the whole file and then judges what its parts say together.
func (r *reader) config(file, abs string, root *node) *Config {
	start := position{file, 1, 1}
	if root.kind == null {
		root = &node{kind: mapping, at: start} // an empty file lacks every required key
	}
	if root.kind != mapping {
		r.fault(root.at, "a configuration must be a table of keys, not %s", root.written())
		return nil
	}
	t := r.open("", "", filepath.Dir(abs), start, root)
	cfg := &Config{
		Files:                    []string{abs},
		Profile:                  t.profile(svidgate.Transition),
		PublicClientCertificates: t.boolean("public_client_certificates", false),
	}
	r.certificates = cfg.PublicClientCertificates || t.sub("listen", "listen").has("mtls")
	cfg.Binding = t.binding(policy.BindAuto)
	readServer(t, cfg)
	readURLs(t, cfg)
	known := r.readTrustDomains(t, cfg)
	resources := r.readResources(t, cfg)
	r.readClients(t, cfg, known, resources)
	checkFiles(t, cfg)
	return cfg
}

func (t *table) profile(otherwise svidgate.Profile) svidgate.Profile {
	return oneOf(t, "profile", otherwise, svidgate.Profiles...)
}

// stores are how the address of a store that keeps something begins.
var stores = []string{"sqlite:", "postgres://", "postgresql://"}

// readServer reads the sections that say how the server runs.
func readServer(t *table, cfg *Config) {
	listen := t.sub("listen", "listen")
	cfg.Listen.Public = listen.address("public")
	cfg.Listen.MTLS = listen.address("mtls")
	cfg.Listen.Status = listen.address("status")
	checkListeners(t, listen, cfg)

	tls := t.sub("tls", "tls")
	cfg.TLS = TLS{Certificate: tls.path("certificate", ""), Key: tls.path("key", "")}

	if store, ok := t.text("store", "the address of a store"); ok && store != "memory:" {
		// The value is not repeated: the URL of a database may hold a password.
		if !slices.ContainsFunc(stores, func(prefix string) bool { return strings.HasPrefix(store, prefix) }) {
			t.r.fault(t.place("store"), `store must be "memory:", sqlite: and a file, or a postgres:// URL`)
		} else {
			t.r.warn(t.place("store"), "store does nothing in this version, which keeps no state but its keys and its audit record")
		}
	}

	audit := t.sub("audit", "audit")
	if file, ok := audit.text("file", "the name of a file"); ok && file == "-" {
		cfg.Audit.File = "-"
	} else if ok || !audit.has("file") {
		cfg.Audit.File = audit.path("file", "audit.jsonl")
	}
	cfg.Audit.SyncEvery = oneOf(audit, "fsync", "", "every") == "every"

	cfg.KeysFile = t.sub("keys", "keys").path("file", "svidgate-keys.json")

	if oneOf(t.sub("log", "log"), "level", "info", "info", "debug") == "debug" {
		cfg.LogLevel = slog.LevelDebug
	}

	cfg.SVID = readSVID(t.sub("svid", "svid"), SVID{Leeway: 60 * time.Second, MaxAssertionLifetime: time.Hour})

	token := t.sub("access_token", "access_token")
	cfg.AccessToken.Lifetime = token.duration("lifetime", span{5 * time.Minute, time.Second, 24 * time.Hour, false})
	cfg.AccessToken.Alg = oneOf(token, "alg", jose.ES256, jose.ES256, jose.EdDSA, jose.PS256, jose.RS256)

	limits := t.sub("limits", "limits")
	cfg.Limits.FailuresPerSource = limits.rate("failures_per_source", Rate{200, time.Second})
	cfg.Limits.RequestsPerClient = limits.rate("requests_per_client", Rate{})
}

// readSVID reads a section `svid`; what it leaves out is as in otherwise.
func readSVID(t *table, otherwise SVID) SVID {
	s := SVID{
		Leeway:               t.duration("leeway", span{otherwise: otherwise.Leeway, max: 5 * time.Minute}),
		MaxAssertionLifetime: t.duration("max_assertion_lifetime", span{otherwise.MaxAssertionLifetime, time.Second, 8760 * time.Hour, true}),
		RequireKID:           t.boolean("require_kid", otherwise.RequireKID),
	}
	if s.MaxAssertionLifetime == 0 && t.has("max_assertion_lifetime") {
		t.r.warn(t.place("max_assertion_lifetime"), "%s is 0: an SVID is accepted however long it is valid (JS-19)", t.name("max_assertion_lifetime"))
	}
	return s
}

func checkListeners(t, listen *table, cfg *Config) {
	if host, _, err := net.SplitHostPort(cfg.Listen.Status); err == nil && !loopback(host) {
		cfg.Listen.StatusTLS = true
		if !t.has("tls") {
			t.r.fault(listen.place("status"), "listen.status is not on loopback and so needs TLS, but there is no tls")
		}
	}
	taken := map[string]string{}
	for _, l := range []struct{ key, address string }{
		{"public", cfg.Listen.Public}, {"mtls", cfg.Listen.MTLS}, {"status", cfg.Listen.Status},
	} {
		if l.address == "" || strings.HasSuffix(l.address, ":0") {
			continue
		}
		if other, twice := taken[l.address]; twice {
			t.r.fault(listen.place(l.key), "listen.%s has the same address as listen.%s", l.key, other)
			continue
		}
		taken[l.address] = l.key
	}
}

// readURLs reads the addresses by which the world knows the server.
func readURLs(t *table, cfg *Config) {
	issuer, u := t.httpsURL("issuer", urlForm{plainPath: true})
	cfg.Issuer = issuer
	cfg.MTLSURL, _ = t.httpsURL("mtls_url", urlForm{plainPath: true})
	mtls := t.sub("listen", "listen").has("mtls")
	switch {
	case t.has("mtls_url") && !mtls:
		t.r.fault(t.place("mtls_url"), "mtls_url is the address of listen.mtls, but there is no listen.mtls")
	case cfg.MTLSURL != "" && strings.TrimSuffix(cfg.MTLSURL, "/") == strings.TrimSuffix(issuer, "/"):
		// One address cannot both ask for a certificate and not ask.
		t.r.fault(t.place("mtls_url"), "mtls_url must differ from the issuer: it is the address of another listener")
	case mtls && !t.has("mtls_url") && u != nil && !loopback(u.Hostname()):
		t.r.fault(t.sub("listen", "listen").place("mtls"), "listen.mtls needs mtls_url, the URL by which clients reach it, because the issuer is not on loopback")
	}
}

// checkFiles refuses a configuration in which the server would write over a
// file that is something else: each of the files it writes must be alone.
func checkFiles(t *table, cfg *Config) {
	audit, keys := t.sub("audit", "audit"), t.sub("keys", "keys")
	others := map[string]string{cfg.TLS.Certificate: "tls.certificate", cfg.TLS.Key: "tls.key"}
	for _, f := range cfg.Files {
		others[f] = "a file of the configuration"
	}
	for _, d := range cfg.TrustDomains {
		others[d.BundleFile] = "a bundle_file"
		others[d.BundleEndpoint.CAFile] = "a ca_file"
	}
	delete(others, "")
	if what, same := others[cfg.KeysFile]; same {
		t.r.fault(keys.place("file"), "keys.file is written by the server and must not be %s", what)
	}
	others[cfg.KeysFile] = "keys.file"
	delete(others, "")
	if what, same := others[cfg.Audit.File]; same {
		t.r.fault(audit.place("file"), "audit.file is written by the server and must not be %s", what)
	}
}
