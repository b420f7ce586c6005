package config

import (
	"path/filepath"
	"strings"
)

// A claim is a file that a key names.
type claim struct {
	path string
	what string // as messages call it
	at   position
}

// checkFiles refuses a configuration in which the server would write over a
// file that is something else: each of the files it writes must be alone, and
// nothing may lie in the folder that it fills.
func checkFiles(t *table, cfg *Config) {
	audit, keys, admin, bundles := t.sub("audit", "audit"), t.sub("keys", "keys"), t.sub("admin", "admin"), t.sub("bundles", "bundles")
	named := []claim{{path: cfg.TLS.Certificate, what: "tls.certificate"}, {path: cfg.TLS.Key, what: "tls.key"}}
	for _, f := range cfg.Files {
		named = append(named, claim{path: f, what: "a file of the configuration"})
	}
	for _, d := range cfg.TrustDomains {
		named = append(named, claim{path: d.BundleFile, what: "a bundle_file"}, claim{path: d.BundleEndpoint.CAFile, what: "a ca_file"},
			claim{path: d.BundleEndpoint.InitialBundleFile, what: "an initial_bundle_file"})
	}
	for _, p := range cfg.Login.Providers {
		named = append(named, p.files()...)
	}
	if cfg.Keys.EncryptionKeyFile != "" {
		named = append(named, claim{path: cfg.Keys.EncryptionKeyFile, what: "keys.encryption_key_file"})
	}
	for _, w := range []claim{
		{cfg.Store.File, "store", t.place("store")},
		{cfg.Keys.File, "keys.file", keys.place("file")},
		{cfg.Audit.File, "audit.file", audit.place("file")},
		{cfg.Admin.Socket, "admin.socket", admin.place("socket")},
	} {
		for _, other := range named {
			if w.path != "" && w.path == other.path {
				t.r.fault(w.at, "%s is written by the server and must not be %s", w.what, other.what)
				break
			}
		}
		named = append(named, w)
	}
	for _, n := range named {
		if within(n.path, cfg.Bundles.Folder) {
			t.r.fault(bundles.place("folder"), "bundles.folder is filled by the server and must not hold %s; give it a folder of its own", n.what)
		}
	}
}

// within reports whether an absolute path is folder or lies in it.
func within(path, folder string) bool {
	if path == "" || path == "-" || folder == "" {
		return false
	}
	rest, err := filepath.Rel(folder, path)
	return err == nil && rest != ".." && !strings.HasPrefix(rest, "../")
}
