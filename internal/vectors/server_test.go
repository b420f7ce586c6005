package vectors

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/server"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/oauth"
)

// A serverContext is an authorization server: what verifies SVIDs, and who may
// have which tokens.
type serverContext struct {
	verifierContext
	MTLSURL           string            `json:"mtls_url"`
	Clients           []clientContext   `json:"clients"`
	Resources         []resourceContext `json:"resources"`
	Binding           string            `json:"binding,omitempty"`
	FailuresPerSource float64           `json:"failures_per_source,omitempty"`
	RequestsPerClient float64           `json:"requests_per_client,omitempty"`
	// ProofsSince is the moment, in seconds from now, from which it is remembered
	// which proofs were used; 0 is for ever.
	ProofsSince int `json:"proofs_since,omitempty"`
	// Audit says that no event can be recorded where it is "full".
	Audit string `json:"audit,omitempty"`
}

type clientContext struct {
	ClientID   string   `json:"client_id"`
	SPIFFEID   string   `json:"spiffe_id,omitempty"`
	Depth      int      `json:"spiffe_id_depth,omitempty"`
	Methods    []string `json:"methods"`
	Profile    string   `json:"profile,omitempty"`
	GrantTypes []string `json:"grant_types"`
	Resources  []string `json:"resources"`
	Scope      []string `json:"scope,omitempty"`
	Binding    string   `json:"binding,omitempty"`
}

type resourceContext struct {
	Resource string   `json:"resource"`
	Scopes   []string `json:"scopes"`
	Binding  string   `json:"binding,omitempty"`
}

// A requestInput is one HTTP request to a listener.
type requestInput struct {
	Listener string      `json:"listener"` // public, mtls, or plain: without TLS
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Headers  [][2]string `json:"headers"`
	Body     string      `json:"body"`
	BodyPad  int         `json:"body_pad_to,omitempty"` // with the letter x at its end
	Chain    string      `json:"chain,omitempty"`       // what the TLS peer sent
	Source   string      `json:"source"`
	Times    int         `json:"times,omitempty"` // how often it is sent; 0 is once
}

// judgeTokenRequest sends requests to a server of their own. The answer to the
// last one counts.
func judgeTokenRequest(t testing.TB, f *file, input json.RawMessage) expectation {
	var in struct {
		Context  string         `json:"context"`
		Requests []requestInput `json:"requests"`
	}
	read(t, input, &in)
	var c serverContext
	f.context(t, in.Context, &c)
	s, refusals, closed := f.server(t, c)
	defer closed()
	var last expectation
	for _, r := range in.Requests {
		for range max(1, r.Times) {
			*refusals = expectation{}
			last = f.send(t, s, c, r, refusals)
		}
	}
	return last
}

// refusalLog takes reason and rule from the log line of a refusal: the caller is
// told neither.
type refusalLog struct {
	slog.Handler
	last *expectation
	tell func(refusal)
}

func (l refusalLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "refused" {
		var told refusal
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "reason":
				told.reason = a.Value.String()
			case "rule":
				told.rule = a.Value.String()
			case "expected":
				told.expected = a.Value.String()
			case "presented":
				told.presented = a.Value.String()
			}
			return true
		})
		l.last.Reason, l.last.Rule = told.reason, told.rule
		l.tell(told)
	}
	return nil
}

func (f *file) server(t testing.TB, c serverContext) (s *server.Server, refusals *expectation, closed func()) {
	t.Helper()
	now := func() time.Time { return f.Now }
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "vectors-")
	fatal(err)
	verifier := f.verifier(t, c.verifierContext, now)
	clients, table, resources := registered(t, c, verifier.Profile)
	ring, err := keys.Open(keys.Config{File: filepath.Join(dir, "keys.json"), Now: now})
	fatal(err)
	recordFile := filepath.Join(dir, "audit.jsonl")
	if c.Audit == "full" {
		if recordFile = "/dev/full"; runtime.GOOS != "linux" {
			t.Skip("no device that is always full")
		}
	}
	record, err := audit.Open(audit.Config{File: recordFile, Now: now})
	fatal(err)
	closed = func() { record.Close(); os.RemoveAll(dir) }
	set, err := bundle.NewSet(bundle.Config{Now: now})
	fatal(err)

	singleUse := map[spiffeid.TrustDomain]bool{}
	for name, td := range c.TrustDomains {
		singleUse[spiffeid.RequireTrustDomainFromString(name)] = td.SingleUse
	}
	granted, err := authorization.NewGrants(authorization.GrantsConfig{
		Records: empty().Authorizations(), Policy: table, LongestToken: 5 * time.Minute, Now: now,
		Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: 24 * time.Hour},
	})
	fatal(err)
	introspector, err := introspection.New(introspection.Config{Tokens: introspection.NewTokens(c.Issuer, ring, now), Revocations: noneRevoked(), Grants: granted, Blocked: func(string, spiffeid.ID) bool { return false }})
	fatal(err)
	refusals = &expectation{}
	authenticator := &clientauth.Authenticator{
		Verifier: verifier, Clients: clients, SingleUse: singleUse, Used: replay.New(1000, now),
		Proofs: replay.New(1000, now), ChallengeRequired: c.Challenge == "required",
	}
	if c.ProofsSince != 0 {
		authenticator.ProofsSince = f.Now.Add(seconds(c.ProofsSince))
	}
	if c.Challenge != "" {
		authenticator.Challenges = challenge.New([challenge.KeySize]byte{}, now) // of a key that everybody knows
	}
	s, err = server.New(server.Config{
		Issuer: c.Issuer, MTLSURL: c.MTLSURL,
		Grants:        grant.New(),
		Authenticator: authenticator,
		Policy:        table, Resources: resources, Keys: ring, Audit: record, Bundles: set,
		Introspector: introspector, Revocations: noneRevoked(), Granted: granted,
		Methods:           []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509},
		FailuresPerSource: c.FailuresPerSource, RequestsPerClient: c.RequestsPerClient,
		Log: slog.New(refusalLog{slog.NewTextHandler(os.Stderr, nil), refusals, f.tell}), Now: now,
	}, nil)
	fatal(err)
	return s, refusals, closed
}

// empty is a store that no vector writes to.
var empty = sync.OnceValue(func() *sqlite.Store {
	kept, err := sqlite.Open(context.Background(), sqlite.Config{Address: "memory:"})
	if err != nil {
		panic(err)
	}
	return kept
})

// noneRevoked is a list that no vector writes to.
var noneRevoked = sync.OnceValue(func() *revocation.List {
	list, err := revocation.Open(context.Background(), revocation.Config{Store: empty(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	return list
})

// registered are the clients of a context, for authentication and for policy.
func registered(t testing.TB, c serverContext, profile func(spiffeid.TrustDomain) svidgate.Profile) (*registration.Registry, *policy.Table, []policy.Resource) {
	t.Helper()
	var known []registration.Metadata
	p := policy.Config{Binding: policy.BindingMode(c.Binding), Lifetime: policy.BearerLifetime, TrustDomains: map[string]policy.BindingMode{}}
	for name, td := range c.TrustDomains {
		p.TrustDomains[name] = policy.BindingMode(td.Binding)
	}
	for _, r := range c.Resources {
		p.Resources = append(p.Resources, policy.Resource{Resource: r.Resource, Scopes: r.Scopes, Binding: policy.BindingMode(r.Binding)})
	}
	for _, client := range c.Clients {
		m := registration.Metadata{ClientID: client.ClientID, Profile: svidgate.Profile(client.Profile)}
		for _, method := range client.Methods {
			m.AuthMethods = append(m.AuthMethods, oauth.AuthMethod(method))
		}
		if client.SPIFFEID != "" {
			pattern, err := svidgate.ParsePattern(client.SPIFFEID)
			if err != nil {
				t.Fatal(err)
			}
			m.SPIFFEID = pattern.WithDepth(client.Depth)
		}
		known = append(known, m)
		allowed := policy.Client{ClientID: client.ClientID, Resources: client.Resources, Scope: client.Scope, Binding: policy.BindingMode(client.Binding)}
		for _, grant := range client.GrantTypes {
			allowed.GrantTypes = append(allowed.GrantTypes, oauth.GrantType(grant))
		}
		p.Clients = append(p.Clients, allowed)
	}
	registry, err := registration.New(known, profile)
	if err != nil {
		t.Fatal(err)
	}
	return registry, policy.New(p), p.Resources
}

func (f *file) send(t testing.TB, s *server.Server, c serverContext, in requestInput, refusals *expectation) expectation {
	t.Helper()
	base, handler := c.Issuer, s.Public()
	if in.Listener == "mtls" {
		base, handler = c.MTLSURL, s.MTLS()
	}
	body := in.Body
	if n := in.BodyPad - len(body); n > 0 {
		body += strings.Repeat("x", n)
	}
	r := httptest.NewRequest(in.Method, base+in.Target, strings.NewReader(body))
	r.RemoteAddr = in.Source
	for _, h := range in.Headers {
		r.Header.Add(h[0], h[1])
	}
	var chain []*x509.Certificate
	if r.TLS = nil; in.Listener != "plain" {
		chain = f.chain(t, in.Chain)
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: chain}
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return answered(t, w, chain, r.Header.Get(oauth.HeaderClientAttestation), *refusals)
}

func (f *file) chain(t testing.TB, name string) []*x509.Certificate {
	t.Helper()
	if name == "" {
		return nil
	}
	all, ok := f.Chains[name]
	if !ok {
		t.Fatalf("no chain %q", name)
	}
	return certificates(t, all)
}

// answered is what a response says, with what the log says beside it.
func answered(t testing.TB, w *httptest.ResponseRecorder, chain []*x509.Certificate, wit string, e expectation) expectation {
	t.Helper()
	e.Status = w.Code
	var body struct {
		Error       string `json:"error"`
		AccessToken string `json:"access_token"`
	}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
	}
	if e.Error = body.Error; w.Code != http.StatusOK {
		if e.Outcome = refused; e.Rule == "" {
			e.Reason = byHTTP
		}
		return e
	}
	e.Outcome = accepted
	e.SPIFFEID, e.Binding = tokenOf(t, body.AccessToken, chain, wit)
	return e
}

// byHTTP is the reason of what is refused before the endpoint sees it.
const byHTTP = "http"

// tokenOf is whom a token is for and what it is bound to. One that is bound to
// anything but the certificate of the connection or the key of the WIT-SVID is a
// failure.
func tokenOf(t testing.TB, encoded string, chain []*x509.Certificate, wit string) (subject, binding string) {
	t.Helper()
	var claims struct {
		Sub string            `json:"sub"`
		Cnf map[string]string `json:"cnf"`
	}
	claimsOf(t, encoded, &claims)
	if claims.Cnf == nil {
		return claims.Sub, string(oauth.BindingBearer)
	}
	binding = "something else"
	if jkt := claims.Cnf[string(oauth.BindingKey)]; jkt != "" && len(claims.Cnf) == 1 && wit != "" && jkt == holderOf(t, wit) {
		binding = string(oauth.BindingKey)
	}
	if len(chain) > 0 {
		sum := sha256.Sum256(chain[0].Raw)
		if claims.Cnf[string(oauth.BindingCertificate)] == base64.RawURLEncoding.EncodeToString(sum[:]) {
			binding = string(oauth.BindingCertificate)
		}
	}
	return claims.Sub, binding
}

func claimsOf(t testing.TB, jwt string, into any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatal("the answer has no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// holderOf is the thumbprint of the key that a WIT-SVID names.
func holderOf(t testing.TB, wit string) string {
	t.Helper()
	var claims struct {
		Cnf struct {
			JWK json.RawMessage `json:"jwk"`
		} `json:"cnf"`
	}
	claimsOf(t, wit, &claims)
	key, err := jose.ParseJWK(claims.Cnf.JWK)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := jose.Thumbprint(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
