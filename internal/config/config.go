package config

import (
	"log/slog"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/policy"
)

// A Config is a configuration file as read: defaults filled in, relative paths
// made absolute, every value within its limits. The key of each field stands
// first; docs/configuration.md says the same at greater length.
//
// Only Load and Parse make one.
type Config struct {
	// Files are the files that were read, absolute, the configuration first.
	// Watched adds those whose change is a reason to load again, too.
	Files []string

	// Issuer, `issuer`, required: the one issuer identifier, an https URL
	// without query, fragment and user information (AM-2). It is kept as it is
	// written, with or without a slash at its end, because clients and APIs
	// compare it byte for byte. Danger: changing it makes every token worthless
	// and every client's audience wrong.
	Issuer string

	// Profile, `profile`, default transition: the edition of the client
	// authentication draft whose rules apply where editions differ.
	Profile svidgate.Profile

	// Listen, `listen`: where the server listens.
	Listen Listen

	// MTLSURL, `mtls_url`: base of the endpoints that are advertised as
	// mtls_endpoint_aliases, an https URL. Required with listen.mtls, unless the
	// host of the issuer is loopback; then it may be empty here and is to be
	// made from the address that listen.mtls is bound to.
	MTLSURL string

	// PublicClientCertificates, `public_client_certificates`, default false:
	// the public listener asks for a client certificate, too. Danger: browsers
	// then show a certificate dialogue on every page.
	PublicClientCertificates bool

	// TLS, `tls`, required: the certificate of the listeners.
	TLS TLS

	// Store, `store`: where what several requests and starts share is kept.
	Store Store

	// Audit, `audit`: where decisions are recorded.
	Audit Audit

	// Keys, `keys`: what tokens are signed with.
	Keys Keys

	// Admin, `admin`: where the running server is looked into and told to act.
	Admin Admin

	// Bundles, `bundles`: what is kept of the trust domains over a restart.
	Bundles Bundles

	// LogLevel, `log.level`, default info: info or debug.
	LogLevel slog.Level

	// Tracing, `tracing`, default off: which requests are followed through their
	// stages, and where that is told.
	Tracing Tracing

	// SVID, `svid`: how JWT-SVIDs are judged where a trust domain does not say.
	SVID SVID

	// WIT, `wit`: what is asked of WIT-SVIDs and their proofs.
	WIT WIT

	// AccessToken, `access_token`: the tokens that are issued.
	AccessToken AccessToken

	// RefreshToken, `refresh_token`: the refresh tokens that are issued.
	RefreshToken RefreshToken

	// RequirePushed, `require_pushed_authorization_requests`, default false: refuse
	// authorization requests that were not pushed (PA-6).
	RequirePushed bool

	// Binding, `binding`, default auto: whether a token is bound to the
	// certificate of its client. Trust domains, resources and clients may say so,
	// too, and the strictest word counts: required before none before auto.
	// Danger of none: whoever sees a token can use it (warned).
	Binding policy.BindingMode

	// Limits, `limits`: how much one caller may ask for.
	Limits Limits

	// Login, `login`, default nobody: how people sign in, where a client asks for a
	// token in their name.
	Login Login

	// TrustDomains, `trust_domains`, default none: in the order of the file.
	TrustDomains []TrustDomain

	// Resources, `resources`, default none: the APIs that tokens are for, in the
	// order of the file. Which resource a client gets that names none is settled
	// by the client's own list.
	Resources []Resource

	// Clients, `clients`, default none: in the order of the file.
	Clients []Client

	// Warnings are what an operator may do and should know about, in the form
	// and order of faults. The daemon logs each at start and at each reload.
	Warnings []Fault

	// places is where the keys stand that cannot change while the server runs.
	places map[string]position
	// read has the digest of each watched file when it was read.
	read map[string]string
}

// Listen is where the server listens. An address is host:port; the host may be
// empty, which is every address of the machine, and port 0 takes a free port.
type Listen struct {
	// Public, `listen.public`, required: all OAuth endpoints, over TLS.
	Public string
	// MTLS, `listen.mtls`, default off: the same endpoints, asking for a client
	// certificate. Without it (and without PublicClientCertificates) X.509-SVIDs
	// and certificate-bound tokens are off.
	MTLS string
	// Status, `listen.status`, default off: /livez, /readyz and /metrics.
	Status string
	// StatusTLS says that the status listener is not on loopback, and so must
	// serve TLS with the certificate of TLS. Danger: its answers name trust
	// domains and clients to whoever can reach it.
	StatusTLS bool
}

// TLS is a certificate chain and its key, in PEM files that are read again when
// they change. The files are not opened here.
type TLS struct {
	Certificate string // `tls.certificate`, required
	Key         string // `tls.key`, required
}

// Store is where state is kept that is neither configuration nor record.
type Store struct {
	// File, `store: sqlite:FILE`: a SQLite file, made on the first start. Empty is
	// `store: "memory:"`, the default. Danger of memory: all of it is gone with the
	// process.
	File string
}

// Address is the store's, with the file as an absolute path.
func (s Store) Address() string {
	if s.File == "" {
		return memory
	}
	return "sqlite:" + s.File
}

// Audit is where decisions are recorded: one JSON object a line.
type Audit struct {
	// File, `audit.file`, default audit.jsonl; "-" is standard output.
	File string
	// SyncEvery, `audit.fsync: every`, default false: sync the file before each
	// answer leaves instead of at most 1 s later. Danger when false: a machine
	// that loses power may lose the last second of decisions, not the order of
	// the rest. When true, each answer waits for the disk.
	SyncEvery bool
}

// Keys is what tokens are signed with, and how often that is renewed.
type Keys struct {
	// File, `keys.file`, default svidgate-keys.json: the private keys; made on
	// the first start. Danger: whoever reads it can make tokens, whoever loses it
	// makes every token unverifiable.
	File string
	// Rotate, `keys.rotate`, default 720h, 6s to 8760h; 0 is never (warned): how
	// long one key signs. The bound is higher where tokens live long, so that no
	// more than 48 keys are published at once. Danger of 0: a key that was copied is good for ever.
	Rotate time.Duration
	// PublishAhead, `keys.publish_ahead`, default 1h (or half of rotate, when
	// that is shorter), 3s to 168h and at most half of rotate: how long a new key
	// is published before it signs (KR-2). Danger: an API that looks for keys
	// less often than this meets tokens whose key it does not know.
	PublishAhead time.Duration
	// InStore, `keys.in: store`, default `file`: the keys are in the store, which
	// must be no memory, and encrypted. Those of File are taken over when the store has
	// none.
	InStore bool
	// EncryptionKeyFile, `keys.encryption_key_file`, default none: what the keys in
	// the store are encrypted with. Without it the environment has that. Danger:
	// without it the keys cannot be read, and every token is unverifiable.
	EncryptionKeyFile string
}

// Admin is where the running server shows its state and is told to change it.
type Admin struct {
	// Socket, `admin.socket`, default svidgate-admin.sock: a Unix socket, for the
	// user the server runs as. At most 103 bytes, absolute. Empty where there is
	// none because the default is longer than that (warned). Danger: whoever can
	// open it can do what an administrator can.
	Socket string
}

// Bundles is what is kept of the trust domains over a restart.
type Bundles struct {
	// Folder, `bundles.folder`, default svidgate-bundles: holds the last good
	// bundle of each trust domain, and nothing that others put there. Danger:
	// whoever can write to it can make SVIDs that are accepted after a restart.
	Folder string
}

// SVID is how a JWT-SVID is judged, the leeway of a WIT-SVID, and the key usage of an
// X.509-SVID.
type SVID struct {
	// Leeway, `leeway`, default 60s, 0s to 5m: clock skew forgiven on exp, nbf
	// and iat (JS-10), of which a WIT-SVID gets 2m at most (WS-7). Danger: an expired SVID is good for that much longer.
	Leeway time.Duration
	// MaxAssertionLifetime, `max_assertion_lifetime`, default 1h, 1s to 8760h; 0
	// is no bound: an SVID that is valid for longer than this from now on is
	// refused (JS-19). Danger of 0: a stolen SVID may be good for years.
	MaxAssertionLifetime time.Duration
	// RequireKID, `require_kid`, default false: refuse an SVID without kid even
	// where only one key fits (JS-14).
	RequireKID bool
	// StrictKeyUsageCritical, `strict_key_usage_critical`, default false: refuse an
	// X.509-SVID whose key usage is not marked critical, which otherwise is told in the
	// log (XS-6).
	StrictKeyUsageCritical bool
}

// WIT is what is asked of WIT-SVIDs and their proofs.
type WIT struct {
	// Challenge, `wit.challenge`, off, offered or required, default off: whether
	// the server gives challenges that a proof repeats (PP-12). With offered a
	// proof may do without one, with required it may not. Danger of required:
	// clients that know no challenges are refused.
	Challenge Challenge
}

// A Challenge is a value of `wit.challenge`.
type Challenge string

const (
	ChallengeOff      Challenge = "off"
	ChallengeOffered  Challenge = "offered"
	ChallengeRequired Challenge = "required"
)

// AccessToken is what is issued.
type AccessToken struct {
	// Lifetime, `access_token.lifetime`, default 5m, 1s to 24h. A bearer token
	// never lives longer than 5m, whatever stands here. Danger: a token cannot
	// be taken back before it expires.
	Lifetime time.Duration
	// Alg, `access_token.alg`, default ES256: ES256, EdDSA, PS256 or RS256.
	Alg jose.Algorithm
}

// Limits are rates; the zero Rate is no limit. Over a limit the answer is 429.
type Limits struct {
	// FailuresPerSource, `limits.failures_per_source`, default 200/s:
	// requests from one address (with IPv6, one /64) that are refused before
	// their client is authenticated (GL-16). A source over it is turned away
	// before a signature is checked.
	// Danger of 0: a flood of bad assertions costs a signature check each.
	FailuresPerSource Rate
	// RequestsPerClient, `limits.requests_per_client`, default 0 (no limit).
	RequestsPerClient Rate
}
