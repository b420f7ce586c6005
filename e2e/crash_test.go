package e2e

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	ourjose "github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/oauth"
)

var crashSeed = flag.Uint64("crash-seed", 0, "seed of the moments at which TestKilledAtAnyMoment kills; 0 takes any")

// Shows c (BE-15, KR-2, AU-6, AK-31): a server that is killed at any moment, while
// tokens are issued, keys are rotated and bundles are written, goes on as if it
// had only slept. With the bundle endpoints down it is ready at once with the
// bundles it had; every key that signed a token which a client has is published
// still; every such token is in the audit record, once; and the record is whole.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test -run '^TestKilledAtAnyMoment$' -args -crash-seed %d", seed)
	c := newCrashing(t, rand.New(rand.NewPCG(seed, 0)))
	c.run(t)
	for _, p := range c.publishers {
		c.refresh(t, p)
	}
	for n := range rounds {
		if t.Failed() {
			t.Fatalf("in round %d", n)
		}
		c.storm(t)
		if c.random.IntN(8) == 0 { // also before it is ready
			c.spawn(t)
			c.killAfter(t, 300*time.Millisecond)
		}
		c.run(t)
		c.recovered(t)
		c.goOn(t)
	}
	c.stop(t)
	c.audited(t)
	out, errs, code := command(t, c.dir, "audit", "verify", "audit.jsonl")
	if code != 0 || !strings.Contains(out, " whole") {
		t.Errorf("svidgate audit verify: code %d, %s%s", code, out, errs)
	}
	t.Logf("%d tokens received; killed in the middle of writing keys %d times, bundles %d times, the record %d times; %d of the bundles before were newer than any confirmed",
		len(c.tokens), c.tornKeys, c.tornBundles, len(c.record.find(t, "event", "recovered")), c.unconfirmed)
	if len(c.tokens) < rounds || len(c.rotated) < rounds/4 {
		t.Errorf("%d tokens, %d rotations: the server was not busy", len(c.tokens), len(c.rotated))
	}
}

// A crashing server, and what is known of it from outside.
type crashing struct {
	*server
	random     *rand.Rand
	publishers []*publisher

	mu       sync.Mutex
	tokens   []issued          // guarded by mu; all that clients received
	mustHave map[string]string // guarded by mu; by kid, why it must be published
	removed  map[string]bool   // guarded by mu; kids that an operator removed, or tried to
	rotated  []string          // guarded by mu; kids of rotations that were confirmed

	verified    int            // tokens whose signature was checked after a restart
	lines       map[string]int // audit lines by jti
	counted     int            // audit lines that are in lines
	tornKeys    int
	tornBundles int
	torn        map[string]bool // files that were cut off, each counted once
	unconfirmed int
}

// An issued token is one that a client received whole.
type issued struct{ text, id, keyID string }

// crashConfig rotates as fast as the limits allow. Nobody's tokens end while the
// test runs, so no key may go.
const crashConfig = `
keys: {rotate: 6s, publish_ahead: 3s}
access_token: {lifetime: 2m}
log: {level: info}
resources:
  - {resource: https://api.example.com/, scopes: [read]}
clients:
`

func newCrashing(t *testing.T, random *rand.Rand) *crashing {
	t.Helper()
	c := &crashing{random: random, mustHave: map[string]string{}, removed: map[string]bool{}, torn: map[string]bool{}, lines: map[string]int{}}
	config := crashConfig
	var domains []*domain
	for _, name := range []string{"example.org", "partner.test"} {
		p := &publisher{domain: newDomain(t, name, devca.Options{}), published: map[uint64]publication{}}
		p.note()
		c.publishers = append(c.publishers, p)
		domains = append(domains, p.domain)
		for path, method := range map[string]oauth.AuthMethod{"/billing": oauth.MethodJWT, "/orders": oauth.MethodX509} {
			config += fmt.Sprintf("  - {client_id: %q, token_endpoint_auth_method: %s, resources: [%q], scope: read}\n", p.id(path), method, apiURL)
		}
	}
	c.server = prepare(t, config+adminAt(shortFolder(t)), domains...)
	return c
}

// A publisher is a trust domain that remembers what it has published.
type publisher struct {
	*domain
	published map[uint64]publication // by sequence
	confirmed uint64                 // the highest that the server said it has
	seen      uint64                 // the highest that a client's token was judged by
}

// A publication is one bundle, and what signed SVIDs when it was published.
type publication struct {
	fingerprints []string
	keyID        string
	alg          ourjose.Algorithm
	key          crypto.Signer
	issuer       *devca.Issuer
}

// note remembers the bundle that is published now.
func (p *publisher) note() {
	snapshot := must(bundle.Parse(p.TrustDomain(), p.Bundle(), time.Now()))
	now := publication{issuer: p.Issuer()}
	for _, e := range snapshot.Entries() {
		now.fingerprints = append(now.fingerprints, e.Fingerprint)
	}
	slices.Sort(now.fingerprints)
	now.keyID, now.alg, now.key = p.JWTKey()
	p.published[p.Sequence()] = now
}

// down makes the endpoint useless, or useful again.
func (p *publisher) down(is bool) {
	if is {
		p.status.Store(&answers{http.StatusServiceUnavailable})
		return
	}
	p.status.Store(nil)
}

// A workload asks for tokens with one SVID.
type workload struct {
	http *http.Client
	url  string
	form string
}

// workloads have SVIDs that were signed when this was published.
func (c *crashing) workloads(t *testing.T, p *publisher, of publication) []*workload {
	t.Helper()
	now := time.Now()
	assertion, err := devca.SignJWT(
		map[string]any{"alg": string(of.alg), "kid": of.keyID, "typ": "JWT"},
		map[string]any{"sub": p.id("/billing"), "aud": []string{issuer}, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()},
		of.key, of.alg)
	if err != nil {
		t.Fatal(err)
	}
	svid, err := of.issuer.X509SVID("/orders")
	cert := shown(t, svid, err)
	at := func(listener string, cert *tls.Certificate, text string) *workload {
		address := c.addresses[listener]
		return &workload{
			http: &http.Client{Timeout: patience, Transport: &http.Transport{
				TLSClientConfig: tlsConfig(listener, cert),
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", address)
				},
			}},
			url: map[string]string{"public": tokenURL, "mtls": aliasURL}[listener], form: text,
		}
	}
	return []*workload{
		at("public", nil, withJWT(p.id("/billing"), secrets.jwt(assertion)).form.Encode()),
		at("mtls", cert, form("client_id", p.id("/orders")).Encode()),
	}
}

// ask asks for one token. ok is false when the answer did not arrive whole.
func (c *crashing) ask(t *testing.T, w *workload) (ok bool) {
	resp, err := w.http.Post(w.url, "application/x-www-form-urlencoded", strings.NewReader(w.form))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return false
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d %s", resp.StatusCode, body)
		return false
	}
	var answer oauth.TokenResponse
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Errorf("%v: %s", err, body)
		return false
	}
	parsed, err := jose.ParseSignedCompact(string(answer.AccessToken), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Error(err)
		return false
	}
	var claims struct{ JTI string }
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tokens)%100 == 0 { // enough to find tokens where they do not belong
		secrets.jwt(string(answer.AccessToken))
	}
	got := issued{string(answer.AccessToken), claims.JTI, parsed.Signatures[0].Header.KeyID}
	c.tokens = append(c.tokens, got)
	c.mustHave[got.keyID] = "it signed a token that a client has"
	c.decided++
	return true
}

// refresh has the server fetch the newest bundle, and waits until it says that it
// has it.
func (c *crashing) refresh(t *testing.T, p *publisher) {
	t.Helper()
	if err := c.tryRefresh(t.Context(), c.admin(t), p); err != nil {
		t.Fatal(err)
	}
}

func (c *crashing) tryRefresh(ctx context.Context, client *admin.Client, p *publisher) error {
	d, err := client.Refresh(ctx, p.name, false)
	if err == nil && d.SequenceAfter != nil {
		p.confirmed = max(p.confirmed, *d.SequenceAfter)
	}
	return err
}

// storm makes the server do everything at once and kills it in the middle.
func (c *crashing) storm(t *testing.T) {
	t.Helper()
	client := c.admin(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var busy sync.WaitGroup
	for _, p := range c.publishers {
		for _, w := range c.workloads(t, p, p.published[p.Sequence()]) {
			busy.Go(func() {
				defer w.http.CloseIdleConnections()
				for c.pause(ctx) && c.ask(t, w) {
				}
			})
		}
		busy.Go(func() { // writes bundles
			for n := 0; ctx.Err() == nil; n++ {
				var err error
				if n%2 == 0 {
					_, err = p.RotateJWTKey()
				} else {
					err = p.RotateX509()
				}
				if err != nil {
					t.Error(err)
					return
				}
				p.note()
				if c.tryRefresh(ctx, client, p) != nil {
					return
				}
			}
		})
	}
	busy.Go(func() { // writes signing keys
		for ctx.Err() == nil && c.changeKeys(ctx, client) == nil {
		}
	})
	c.killAfter(t, 400*time.Millisecond)
	cancel()
	busy.Wait()
	for _, p := range c.publishers {
		p.down(true)
	}
	evidence.add(t.Name()+" standard error", said(t, c.stderr))
	c.keepSigningKeys(t)
	c.tornKeys += c.left(t, filepath.Join(c.dir, "svidgate-keys.json.tmp*"))
	c.tornBundles += c.left(t, filepath.Join(c.dir, "svidgate-bundles", "*.tmp*"))
	c.audited(t)
}

// pause keeps the record at a size that can be read again and again.
func (c *crashing) pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(5 * time.Millisecond):
		return true
	}
}

// killAfter kills at a random moment of the next while.
func (c *crashing) killAfter(t *testing.T, most time.Duration) {
	t.Helper()
	<-time.After(time.Duration(c.random.Int64N(int64(most))))
	c.kill(t)
}

// left counts the files that a kill cut off, each once: they lie there for a while.
func (c *crashing) left(t *testing.T, pattern string) (n int) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		info, err := os.Stat(name)
		if err != nil {
			continue // it was tidied away
		}
		if seen := name + info.ModTime().String(); !c.torn[seen] {
			c.torn[seen] = true
			n++
		}
	}
	return n
}

// mostKeys leaves room for those that rotate by themselves.
const mostKeys = 24

// changeKeys makes the next key, or removes the oldest one when there are many.
func (c *crashing) changeKeys(ctx context.Context, client *admin.Client) error {
	list, err := client.Keys(ctx)
	if err != nil {
		return err
	}
	if oldest := list[len(list)-1]; len(list) > mostKeys && oldest.State == keys.StateRetiring {
		c.mu.Lock()
		c.removed[oldest.ID] = true // whatever comes of it
		c.mu.Unlock()
		_, err := client.Remove(ctx, oldest.ID)
		return err
	}
	change, err := client.Rotate(ctx, true)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rotated = append(c.rotated, change.Key.ID)
	c.mustHave[change.Key.ID] = "its rotation was confirmed"
	return nil
}

// audited looks for every token that a client has in the audit record.
func (c *crashing) audited(t *testing.T) {
	t.Helper()
	all := c.record.all(t)
	for _, l := range all[c.counted:] {
		if id := l.text("jti"); id != "" {
			c.lines[id]++
		}
		if l.text("event") == audit.EventKeyRotate {
			c.lines["rotation "+l.text("key_id")]++
		}
		if l.text("event") == audit.EventToken && l["bundle_sequence"] != nil {
			for _, p := range c.publishers {
				if p.name == l.text("trust_domain") {
					p.seen = max(p.seen, uint64(l["bundle_sequence"].(float64)))
				}
			}
		}
	}
	c.counted = len(all)
	for _, token := range c.tokens {
		if n := c.lines[token.id]; n != 1 {
			t.Fatalf("AU-6 a client has the token with the jti %s, and the audit record has %d lines of it", token.id, n)
		}
	}
	for _, kid := range c.rotated {
		if c.lines["rotation "+kid] == 0 {
			t.Fatalf("the rotation to %s was confirmed, and the audit record does not have it", kid)
		}
	}
}

// recovered looks at a server that was killed and runs again, while the bundle
// endpoints are down.
func (c *crashing) recovered(t *testing.T) {
	t.Helper()
	for _, l := range c.log.find(t, "msg", "kept bundle put aside") {
		t.Errorf("BE-15 %v", l)
	}
	client := c.admin(t)
	for _, p := range c.publishers {
		b, err := client.Bundle(t.Context(), p.name)
		if err != nil || !b.Ready || !b.KeptFromDisk || b.Sequence == nil || b.LastError == "" {
			t.Fatalf("BE-15 after the restart %s has %+v, %v", p.name, b, err)
		}
		if *b.Sequence < p.confirmed || *b.Sequence > p.Sequence() {
			t.Errorf("BE-15 after the restart %s has the sequence %d; it had said %d, and %d was published", p.name, *b.Sequence, p.confirmed, p.Sequence())
		}
		if *b.Sequence < p.seen {
			t.Errorf("BE-15 after the restart %s has the sequence %d; SVIDs were judged by %d", p.name, *b.Sequence, p.seen)
		}
		if *b.Sequence > p.confirmed {
			c.unconfirmed++
		}
		was := p.published[*b.Sequence]
		var got []string
		for _, e := range b.Entries {
			got = append(got, e.Fingerprint)
		}
		slices.Sort(got)
		if !slices.Equal(got, was.fingerprints) {
			t.Errorf("BE-15 the keys of %s with the sequence %d are not those that were published with it", p.name, *b.Sequence)
		}
		for _, w := range c.workloads(t, p, was) {
			if !c.ask(t, w) {
				t.Fatalf("BE-15 no token with the kept bundle of %s", p.name)
			}
			w.http.CloseIdleConnections()
		}
	}
	if ready, body := c.status(t, "/readyz"); ready.StatusCode != http.StatusOK {
		t.Errorf("BE-15 readiness: %d %s", ready.StatusCode, body)
	}
	c.published(t)
}

// published looks for every key that must be there, and verifies with them what
// was received since the last time.
func (c *crashing) published(t *testing.T) {
	t.Helper()
	c.keys = nil // they are other ones now
	set := c.jwks(t)
	kids := map[string]bool{}
	for _, k := range set.Keys {
		kids[k.KeyID] = true
	}
	for kid, why := range c.mustHave {
		if !kids[kid] && !c.removed[kid] {
			t.Errorf("KR-2 the key %s is not published any more: %s", kid, why)
		}
	}
	for _, token := range c.tokens[c.verified:] {
		if c.removed[token.keyID] {
			continue
		}
		parsed, err := jose.ParseSignedCompact(token.text, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(set); err != nil {
			t.Errorf("KR-2 a token signed with %s: %v", token.keyID, err)
		}
	}
	c.verified = len(c.tokens)
}

// goOn brings the endpoints back and ends what is old, so that bundles do not
// grow for ever.
func (c *crashing) goOn(t *testing.T) {
	t.Helper()
	for _, p := range c.publishers {
		p.down(false)
		if err := p.RemoveOld(); err != nil {
			t.Fatal(err)
		}
		p.note()
		c.refresh(t, p)
		if p.confirmed != p.Sequence() {
			t.Fatalf("%s has the sequence %d after a refresh, not %d", p.name, p.confirmed, p.Sequence())
		}
	}
}
