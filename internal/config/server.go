package config

import (
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/loopback"
	"github.com/svidgate/svidgate/internal/policy"
)

// config reads the whole file and then judges what its parts say together.
func (r *reader) config(file, abs string, root *node) *Config {
	start := position{file, 1, 1}
	if root.kind == null {
		r.fault(start, "the configuration is empty; it needs at least issuer, listen and tls")
		return nil
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
	r.readLogin(t, cfg)
	checkFiles(t, cfg)
	cfg.remember(t)
	return cfg
}

func (t *table) profile(otherwise svidgate.Profile) svidgate.Profile {
	return oneOf(t, "profile", otherwise, svidgate.Profiles...)
}

// readServer reads the sections that say how the server runs.
func readServer(t *table, cfg *Config) {
	listen := t.sub("listen", "listen")
	cfg.Listen.Public = listen.address("public")
	cfg.Listen.MTLS = listen.address("mtls")
	cfg.Listen.Status = listen.address("status")
	checkListeners(t, listen, cfg)

	tls := t.sub("tls", "tls")
	cfg.TLS = TLS{Certificate: tls.path("certificate", ""), Key: tls.path("key", "")}

	cfg.Store = readStore(t)

	audit := t.sub("audit", "audit")
	if file, ok := audit.text("file", "the name of a file"); ok && file == "-" {
		cfg.Audit.File = "-"
	} else if ok || !audit.has("file") {
		cfg.Audit.File = audit.path("file", "audit.jsonl")
	}
	cfg.Audit.SyncEvery = oneOf(audit, "fsync", "", "every") == "every"

	cfg.Keys = readKeys(t.sub("keys", "keys"))
	cfg.Admin.Socket = readSocket(t.sub("admin", "admin"))
	cfg.Bundles.Folder = t.sub("bundles", "bundles").folderPath("folder", "svidgate-bundles")

	if oneOf(t.sub("log", "log"), "level", "info", "info", "debug") == "debug" {
		cfg.LogLevel = slog.LevelDebug
	}

	cfg.Tracing = readTracing(t.sub("tracing", "tracing"))

	cfg.SVID = readSVID(t.sub("svid", "svid"), SVID{Leeway: 60 * time.Second, MaxAssertionLifetime: time.Hour})

	cfg.WIT.Challenge = oneOf(t.sub("wit", "wit"), "challenge", ChallengeOff, ChallengeOff, ChallengeOffered, ChallengeRequired)

	token := t.sub("access_token", "access_token")
	cfg.AccessToken.Lifetime = token.duration("lifetime", span{5 * time.Minute, time.Second, 24 * time.Hour, false})
	cfg.AccessToken.Alg = oneOf(token, "alg", jose.ES256, jose.ES256, jose.EdDSA, jose.PS256, jose.RS256)

	cfg.RefreshToken = readRefreshToken(t.sub("refresh_token", "refresh_token"))
	cfg.RequirePushed = t.boolean("require_pushed_authorization_requests", false)

	checkRotation(t.sub("keys", "keys"), cfg)
	checkKeyPlace(t.sub("keys", "keys"), cfg)

	limits := t.sub("limits", "limits")
	cfg.Limits.FailuresPerSource = limits.rate("failures_per_source", Rate{200, time.Second})
	cfg.Limits.RequestsPerClient = limits.rate("requests_per_client", Rate{})
}

// memory is the address of a store that keeps nothing.
const memory = "memory:"

// readStore reads where state is kept. The value is not repeated: the URL of a
// database may hold a password.
func readStore(t *table) Store {
	address, ok := t.text("store", "the address of a store")
	file, isFile := strings.CutPrefix(address, "sqlite:")
	switch {
	case !ok || address == memory:
	case isFile && !badPath(file):
		return Store{absolute(t.folder, file)}
	case isFile:
		t.r.fault(t.place("store"), "store: after sqlite: comes the name of a file")
	case strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://"):
		t.r.fault(t.place("store"), `store: PostgreSQL %s; use sqlite: and a file`, later)
	default:
		t.r.fault(t.place("store"), `store must be "memory:", or sqlite: and a file`)
	}
	return Store{}
}

// readKeys reads how often the signing key is replaced. A new key is published
// before it signs, and that takes no more than half of the time until the next
// one; where only rotate is given, publish_ahead follows it.
func readKeys(t *table) Keys {
	k := Keys{
		File:              t.path("file", "svidgate-keys.json"),
		InStore:           oneOf(t, "in", "file", "file", "store") == "store",
		EncryptionKeyFile: t.path("encryption_key_file", ""),
	}
	before := len(t.r.faults)
	k.Rotate = t.duration("rotate", span{720 * time.Hour, 6 * time.Second, 8760 * time.Hour, true})
	k.PublishAhead = t.duration("publish_ahead", span{otherwise: time.Hour, min: 3 * time.Second, max: 168 * time.Hour})
	switch {
	case len(t.r.faults) > before: // what cannot be read is not compared
	case k.Rotate == 0:
		t.r.warn(t.place("rotate"), "%s is 0: the signing key is never replaced, so one that was copied makes tokens for ever", t.name("rotate"))
	case k.Rotate >= 2*k.PublishAhead:
	case !t.has("publish_ahead"):
		k.PublishAhead = (k.Rotate / 2).Truncate(time.Second)
	default:
		t.r.fault(t.place("rotate"), "%s must be at least twice keys.publish_ahead (%s), so %s or more, not %s: each key is published that long before it signs",
			t.name("rotate"), short(k.PublishAhead), short(2*k.PublishAhead), t.members["rotate"].value.written())
	}
	return k
}

// checkRotation bounds how many keys are published at once: a key is published
// until the tokens it signed have expired and two minutes more, so keys that
// change faster than tokens expire pile up. Package keys has the same bound; here
// it has a place in the file.
func checkRotation(t *table, cfg *Config) {
	const most = 48 - 2 // besides the key that signs and the one that is next
	least := (cfg.AccessToken.Lifetime + 2*time.Minute + most*time.Second - 1) / most
	if least = least.Truncate(time.Second); cfg.Keys.Rotate != 0 && cfg.Keys.Rotate < least {
		t.r.fault(t.place("rotate"), "%s must be at least %s where access_token.lifetime is %s, not %s: more than 48 keys would be published at once",
			t.name("rotate"), short(least), short(cfg.AccessToken.Lifetime), t.members["rotate"].value.written())
	}
}

// checkKeyPlace holds keys.in and store together.
func checkKeyPlace(t *table, cfg *Config) {
	switch {
	case cfg.Keys.InStore && cfg.Store.File == "":
		t.r.fault(t.place("in"), "%s is store, but the store is memory: every restart would make new keys, and all tokens that are out unverifiable; set store to sqlite: and a file", t.name("in"))
	case !cfg.Keys.InStore && t.has("encryption_key_file"):
		t.r.warn(t.place("encryption_key_file"), "%s encrypts nothing: keys.in is not store, and keys.file is not encrypted", t.name("encryption_key_file"))
	}
}

// maxSocket is the longest path in bytes that every system takes for a Unix
// socket; Linux takes four more.
const maxSocket = 103

// readSocket reads where the administrator's socket is. A default that is too
// long is no fault, because the operator did not ask for it.
func readSocket(t *table) string {
	path := t.path("socket", "svidgate-admin.sock")
	switch {
	case len(path) <= maxSocket:
		return path
	case t.has("socket"):
		t.r.fault(t.place("socket"), "%s is %d bytes long as an absolute path (%s), and the path of a socket has at most %d; choose a shorter one", t.name("socket"), len(path), quoted(path), maxSocket)
	default:
		t.r.warn(t.at, "there is no admin socket: beside the configuration its path would be %d bytes long, and the path of a socket has at most %d; name a shorter one as admin.socket", len(path), maxSocket)
	}
	return ""
}

// readSVID reads a section `svid`; what it leaves out is as in otherwise.
func readSVID(t *table, otherwise SVID) SVID {
	s := SVID{
		Leeway:                 t.duration("leeway", span{otherwise: otherwise.Leeway, max: 5 * time.Minute}),
		MaxAssertionLifetime:   t.duration("max_assertion_lifetime", span{otherwise.MaxAssertionLifetime, time.Second, 8760 * time.Hour, true}),
		RequireKID:             t.boolean("require_kid", otherwise.RequireKID),
		StrictKeyUsageCritical: t.boolean("strict_key_usage_critical", otherwise.StrictKeyUsageCritical),
	}
	if s.MaxAssertionLifetime == 0 && t.has("max_assertion_lifetime") {
		t.r.warn(t.place("max_assertion_lifetime"), "%s is 0: an SVID is accepted however long it is valid (JS-19)", t.name("max_assertion_lifetime"))
	}
	return s
}

func checkListeners(t, listen *table, cfg *Config) {
	if host, _, err := net.SplitHostPort(cfg.Listen.Status); err == nil && !loopback.Host(host) {
		cfg.Listen.StatusTLS = true
		if !t.has("tls") {
			t.r.fault(listen.place("status"), "listen.status is not on loopback and so needs TLS, but there is no tls")
		}
	}
	type listener struct{ key, address string }
	var taken []listener
	for _, l := range []listener{
		{"public", cfg.Listen.Public}, {"mtls", cfg.Listen.MTLS}, {"status", cfg.Listen.Status},
	} {
		for _, other := range taken {
			if collide(l.address, other.address) {
				t.r.fault(listen.place(l.key), "listen.%s has the same address as listen.%s (%s); each needs its own port", l.key, other.key, other.address)
				break
			}
		}
		taken = append(taken, l)
	}
}

// collide reports whether two addresses cannot be bound at once: the port is
// the same, and so is the host, or one of them is every address.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	numberA, _ := strconv.Atoi(portA)
	numberB, _ := strconv.Atoi(portB)
	if errA != nil || errB != nil || numberA == 0 || numberA != numberB {
		return false
	}
	return strings.EqualFold(hostA, hostB) || everyAddress(hostA) || everyAddress(hostB)
}

func everyAddress(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
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
	case mtls && !t.has("mtls_url") && !t.slips["mtls_url"] && u != nil && !loopback.Host(u.Hostname()):
		t.r.fault(t.sub("listen", "listen").place("mtls"), "listen.mtls needs mtls_url, the URL by which clients reach it, because the issuer is not on loopback")
	}
}
