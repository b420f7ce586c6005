package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Watched are the files, absolute and each once, whose change is a reason to
// load again: those that were read, the ca_file of each bundle endpoint and provider,
// and each initial_bundle_file.
// Certificates, keys and bundles are not among them: whoever uses them watches
// them.
func (c *Config) Watched() []string {
	files := slices.Clone(c.Files)
	var named []string
	for _, d := range c.TrustDomains {
		named = append(named, d.BundleEndpoint.CAFile, d.BundleEndpoint.InitialBundleFile)
	}
	for _, p := range c.Login.Providers {
		named = append(named, p.CAFile)
	}
	for _, f := range named {
		if f != "" && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	return files
}

// Changed compares the watched files with what they were when they were read.
// now stands for their present content, or for their absence: two equal ones
// say that nothing changed in between.
func (c *Config) Changed() (now string, changed bool) {
	var all []string
	for _, f := range c.Watched() {
		d := digestOf(readFile(f))
		changed = changed || d != c.read[f]
		all = append(all, d)
	}
	return strings.Join(all, " "), changed
}

func digestOf(data []byte, err error) string {
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// rememberFiles keeps what the watched files are. Those that were not read here
// are read for it now, before whoever uses them does.
func (c *Config) rememberFiles(read map[string]string) {
	c.read = read
	for _, f := range c.Watched() {
		if _, done := read[f]; !done {
			read[f] = digestOf(readFile(f))
		}
	}
}

// A setting is a key that cannot change while the server runs.
type setting struct {
	key   string
	value string
}

// fixed are the settings of c, always the same keys in the same order.
func (c *Config) fixed() []setting {
	fsync := ""
	if c.Audit.SyncEvery {
		fsync = "every"
	}
	in := "file"
	if c.Keys.InStore {
		in = "store"
	}
	return []setting{
		{key: "issuer", value: c.Issuer},
		{key: "mtls_url", value: c.MTLSURL},
		{key: "public_client_certificates", value: strconv.FormatBool(c.PublicClientCertificates)},
		{key: "listen.public", value: c.Listen.Public},
		{key: "listen.mtls", value: c.Listen.MTLS},
		{key: "listen.status", value: c.Listen.Status},
		{key: "tls.certificate", value: c.TLS.Certificate},
		{key: "tls.key", value: c.TLS.Key},
		{key: "admin.socket", value: c.Admin.Socket},
		{key: "store", value: c.Store.Address()},
		{key: "audit.file", value: c.Audit.File},
		{key: "audit.fsync", value: fsync},
		{key: "keys.file", value: c.Keys.File},
		{key: "keys.in", value: in},
		{key: "keys.encryption_key_file", value: c.Keys.EncryptionKeyFile},
		{key: "bundles.folder", value: c.Bundles.Folder},
		{key: "tracing.endpoint", value: c.Tracing.Endpoint},
	}
}

// remember keeps where the settings stand. One that is left out stands where
// its table does.
func (c *Config) remember(t *table) {
	c.places = map[string]position{}
	for _, s := range c.fixed() {
		at := t
		section, key, within := strings.Cut(s.key, ".")
		if within {
			at = t.sub(section, section)
		} else {
			key = section
		}
		c.places[s.key] = at.place(key)
	}
}

// NeedsRestart says what of next cannot take effect while a server runs with
// this configuration: one fault for each such key, at its place in the files of
// next, in their order. Without any, next may replace the running one.
//
// Paths count as they are resolved; what is in the files they name may change.
func (running *Config) NeedsRestart(next *Config) Faults {
	var faults Faults
	wanted := next.fixed()
	for i, is := range running.fixed() {
		if is.value == wanted[i].value {
			continue
		}
		now := " (it is " + quoted(is.value) + ")"
		if is.value == "" {
			now = " (it is not set)"
		}
		faults = append(faults, next.places[is.key].fault("%s cannot change while the server runs%s; restart the server to change it", is.key, now))
	}
	return faults.sorted()
}
