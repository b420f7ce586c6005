package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

var soak = flag.Duration("soak", 0, "how long TestRotationUnderLoad rotates in real time; 0 is its compressed form")

// A pace is how fast everything turns.
type pace struct {
	lasts     time.Duration
	perSecond int           // requests for tokens, and half as many calls of APIs
	server    time.Duration // life of a signing key
	ahead     time.Duration // of it, published and not used yet
	svid      time.Duration // between two SVIDs of a workload
	svidLives time.Duration
	bundle    time.Duration // between two rotations of a trust domain's keys
}

func thePace() pace {
	if *soak > 0 {
		return pace{*soak, 200, time.Minute, 30 * time.Second, 10 * time.Second, 40 * time.Second, time.Minute}
	}
	p := pace{45 * time.Second, 200, 20 * time.Second, 10 * time.Second, time.Second, 16 * time.Second, 4 * time.Second}
	if raceDetector {
		p.perSecond = 60
	}
	return p
}

// Shows e (KR-2, F1, F11, BU-22, LC-3): the keys of the server, of the trust domain
// and of the workloads are all replaced while tokens are asked for and used. The
// server refuses nothing and no API refuses a token, not with keys that are copied
// for as long as the server's Cache-Control says, and no longer or sooner.
func TestRotationUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes most of a minute: ./test has it")
	}
	t.Parallel()
	r := newRotating(t, thePace())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, loop := range []func(context.Context){r.renewSVIDs, r.rotateBundle, r.askForTokens, r.callAPIs, r.verifyAgain} {
		running.Go(func() { loop(ctx) })
	}
	begin := time.Now()
	for time.Since(begin) < r.pace.lasts || !r.enough() && time.Since(begin) < r.pace.lasts+2*time.Minute { // a busy machine takes longer
		select {
		case <-time.After(100 * time.Millisecond):
			continue
		case <-r.failed:
		}
		break
	}
	cancel()
	running.Wait()
	r.finish(t)
}

// rotating is everything that turns, and what came of it.
type rotating struct {
	*server
	t         *testing.T
	pace      pace
	td        *domain
	workloads *workloads
	apis      []*api
	failed    chan struct{} // closed at the first refusal
	failing   sync.Once

	asked, called, checked, refused atomic.Int64
	bundleRotations, bundleRemovals atomic.Int64

	mu     sync.Mutex
	signed map[string]bool // guarded by mu; kids that signed tokens
	kept   []keptToken     // guarded by mu
}

// A keptToken is verified again until it ends.
type keptToken struct {
	text string
	peer *x509.Certificate // that it is bound to
	ends time.Time         // at the earliest
}

// refuse notes a refusal that must not be.
func (r *rotating) refuse(format string, args ...any) {
	if r.refused.Add(1) <= 10 {
		r.t.Errorf(format, args...)
	}
	r.failing.Do(func() { close(r.failed) })
}

const soakConfig = `
issuer: https://127.0.0.1:%[1]d
listen: {public: "127.0.0.1:%[1]d", mtls: "127.0.0.1:%[2]d", status: "127.0.0.1:0"}
mtls_url: https://127.0.0.1:%[2]d
keys: {rotate: %[3]s, publish_ahead: %[4]s}
access_token: {lifetime: 1m}
log: {level: info}
resources:
  - {resource: https://api.example.com/, scopes: [read]}
clients:
  - {client_id: "spiffe://example.org/jwt", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://example.org/x509", token_endpoint_auth_method: spiffe_x509, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://example.org/both", auth_methods: [spiffe_jwt, spiffe_x509], resources: ["https://api.example.com/"], scope: read, binding: required}
`

func newRotating(t *testing.T, p pace) *rotating {
	t.Helper()
	r := &rotating{t: t, pace: p, failed: make(chan struct{}), signed: map[string]bool{}}
	r.td = newDomain(t, "example.org", devca.Options{Intermediate: true, X509Lifetime: p.svidLives, JWTLifetime: p.svidLives})
	r.server = prepare(t, fmt.Sprintf(soakConfig, freePort(t), freePort(t), p.server, p.ahead), r.td)
	r.record = nil // it grows too long to be kept in memory; finish reads it
	r.run(t)
	r.workloads = &workloads{td: r.td, issuer: r.issuer, dir: t.TempDir(), certs: map[string]*tls.Certificate{}}
	if err := r.workloads.renew(); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		r.apis = append(r.apis, r.newAPI(t, n))
	}
	return r
}

// freePort is a port below those that the system gives away by itself.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// workloads have their SVIDs in files that are replaced all the time, as an agent
// does it.
type workloads struct {
	td     *domain
	issuer string
	dir    string

	mu    sync.Mutex
	certs map[string]*tls.Certificate // guarded by mu; by path
	made  int                         // guarded by mu
}

func (w *workloads) file(path, kind string) string { return filepath.Join(w.dir, path[1:]+kind) }

// renew makes a new SVID of each kind for each, and puts it in place in one step.
func (w *workloads) renew() error {
	for _, path := range []string{"/jwt", "/x509", "/both"} {
		svid, err := w.td.X509SVID(path)
		if err != nil {
			return err
		}
		token, err := w.td.JWTSVID(path, []string{w.issuer})
		if err != nil {
			return err
		}
		key, err := svid.KeyPEM()
		if err != nil {
			return err
		}
		der, err := svid.KeyDER()
		if err != nil {
			return err
		}
		for kind, data := range map[string][]byte{".pem": append(svid.ChainPEM(), key...), ".jwt": []byte(token)} {
			name := w.file(path, kind)
			if err := errors.Join(os.WriteFile(name+".new", data, 0o600), os.Rename(name+".new", name)); err != nil {
				return err
			}
		}
		secrets.jwt(token)
		secrets.add("private key of "+path, string(der))
		pair := svid.TLSCertificate()
		w.mu.Lock()
		w.certs[path] = &pair
		w.made += 2
		w.mu.Unlock()
	}
	return nil
}

func (w *workloads) certificate(path string) *tls.Certificate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.certs[path]
}

// renewSVIDs goes on replacing them.
func (r *rotating) renewSVIDs(ctx context.Context) {
	for r.each(ctx, r.pace.svid) {
		if err := r.workloads.renew(); err != nil {
			r.refuse("an SVID: %v", err)
			return
		}
	}
}

// each waits; it is false when it is time to end.
func (r *rotating) each(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// An old key is published for as long as an SVID that it signed may live.
type oldKey struct {
	kid  string
	root *x509.Certificate
	ends time.Time
}

// rotateBundle replaces root and key of the trust domain in the order of BU-22:
// publish, wait, use, wait until the last SVID has ended, remove.
func (r *rotating) rotateBundle(ctx context.Context) {
	var old []oldKey
	for {
		_, err := r.td.PrepareX509()
		if err == nil {
			_, err = r.td.PrepareJWTKey()
		}
		if err != nil {
			r.refuse("the trust domain: %v", err)
			return
		}
		if old, err = r.removeEnded(old); err != nil || !r.each(ctx, r.pace.bundle/2) || !r.serverHas(ctx, r.td.Sequence()) {
			return
		}
		roots := r.td.Roots()
		kid, _, _ := r.td.JWTKey()
		_, err = r.td.RotateJWTKey()
		if err = errors.Join(err, r.td.RotateX509()); err != nil {
			r.refuse("the trust domain: %v", err)
			return
		}
		r.bundleRotations.Add(1)
		old = append(old, oldKey{kid, roots[len(roots)-2], time.Now().Add(r.pace.svid + r.pace.svidLives)})
		if !r.each(ctx, r.pace.bundle/2) {
			return
		}
		if old, err = r.removeEnded(old); err != nil {
			return
		}
	}
}

func (r *rotating) removeEnded(old []oldKey) ([]oldKey, error) {
	for len(old) > 0 && time.Now().After(old[0].ends) {
		if err := errors.Join(r.td.RemoveKey(old[0].kid), r.td.RemoveRoot(old[0].root)); err != nil {
			r.refuse("the trust domain: %v", err)
			return nil, err
		}
		r.bundleRemovals.Add(1)
		old = old[1:]
	}
	return old, nil
}

// serverHas waits until the server has a sequence of the bundle.
func (r *rotating) serverHas(ctx context.Context, sequence uint64) bool {
	asking := &http.Client{Timeout: patience}
	for r.each(ctx, 50*time.Millisecond) {
		resp, err := asking.Get("http://" + r.addresses["status"] + "/readyz")
		if err != nil {
			r.refuse("/readyz: %v", err)
			return false
		}
		var state struct {
			TrustDomains map[string]struct{ Sequence uint64 } `json:"trust_domains"`
		}
		err = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&state)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			r.refuse("/readyz: status %d, %v", resp.StatusCode, err)
			return false
		}
		if state.TrustDomains[r.td.name].Sequence >= sequence {
			return true
		}
	}
	return false
}

// at makes so many calls a second, by several callers. Who was held up makes up
// for it.
func (r *rotating) at(ctx context.Context, perSecond int, callers []func(context.Context)) {
	var (
		running sync.WaitGroup
		made    atomic.Int64
		begin   = time.Now()
	)
	for _, call := range callers {
		running.Go(func() {
			for {
				due := begin.Add(time.Duration(made.Add(1)) * time.Second / time.Duration(perSecond))
				if !r.each(ctx, time.Until(due)) {
					return
				}
				call(context.WithoutCancel(ctx)) // what was begun is ended
			}
		})
	}
	running.Wait()
}

// askForTokens asks with a JWT-SVID, with an X.509-SVID and with both, and has
// every token verified by every API.
func (r *rotating) askForTokens(ctx context.Context) {
	var callers []func(context.Context)
	for range 4 {
		for _, path := range []string{"/jwt", "/x509", "/both"} {
			a := &asker{r: r, path: path}
			callers = append(callers, a.ask)
		}
	}
	r.at(ctx, r.pace.perSecond, callers)
}

// An asker asks with the SVIDs of this moment, over a connection that it keeps as
// long as its certificate is the one of this moment.
type asker struct {
	r    *rotating
	path string
	cert *tls.Certificate
	http *http.Client
}

func (a *asker) connect() {
	var cert *tls.Certificate
	if a.path != "/jwt" {
		cert = a.r.workloads.certificate(a.path)
	}
	if a.http != nil && cert == a.cert {
		return
	}
	if a.http != nil {
		a.http.CloseIdleConnections()
	}
	config := &tls.Config{RootCAs: serverCA().Pool()}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	a.cert, a.http = cert, &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: config}}
}

func (a *asker) ask(ctx context.Context) {
	r := a.r
	a.connect()
	listener, body := "public", form("client_id", r.td.id(a.path))
	if a.cert != nil {
		listener = "mtls"
	}
	if a.path != "/x509" {
		token, err := r.td.JWTSVID(a.path, []string{r.issuer})
		if err != nil {
			r.refuse("%v", err)
			return
		}
		body = withJWT(r.td.id(a.path), token).form
	}
	r.asked.Add(1)
	begin := time.Now()
	resp, err := a.http.PostForm("https://"+r.addresses[listener]+oauth.PathToken, body)
	if err != nil {
		r.refuse("%s: %v", a.path, err)
		return
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	var answer oauth.TokenResponse
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(data, &answer)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		r.refuse("%s: status %d %s, %v", a.path, resp.StatusCode, data, err)
		return
	}
	token := string(answer.AccessToken)
	var peer *x509.Certificate
	if a.cert != nil {
		peer = a.cert.Leaf
	}
	k := keptToken{token, peer, begin.Add(time.Duration(answer.ExpiresIn-1) * time.Second)} // iat is at most a second before
	r.verify(ctx, k)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signed[keyIDOf(token)] = true
	if r.asked.Load()%50 == 0 {
		secrets.jwt(token)
		r.kept = append(r.kept, k)
	}
}

func keyIDOf(token string) string {
	header, _, _ := strings.Cut(token, ".")
	var h struct{ Kid string }
	if data, err := base64.RawURLEncoding.DecodeString(header); err != nil || json.Unmarshal(data, &h) != nil {
		return ""
	}
	return h.Kid
}

// verify has a token judged by every API, unless it ends meanwhile.
func (r *rotating) verify(ctx context.Context, k keptToken) {
	for _, a := range r.apis {
		caller, err := a.verifier.VerifyToken(ctx, k.text, k.peer, "read")
		if time.Now().After(k.ends) {
			return
		}
		r.checked.Add(1)
		if err != nil || caller.Bound() != (k.peer != nil) {
			r.refuse("F11 %s: bound %t, %v", a.name, caller.Bound(), err)
		}
	}
}

// verifyAgain has tokens judged until they end, whatever has happened to the key
// that signed them.
func (r *rotating) verifyAgain(ctx context.Context) {
	for r.each(ctx, time.Second) {
		r.mu.Lock()
		r.kept = slices.DeleteFunc(r.kept, func(k keptToken) bool { return time.Now().After(k.ends) })
		kept := slices.Clone(r.kept)
		r.mu.Unlock()
		for _, k := range kept {
			r.verify(ctx, k)
		}
	}
}

// An api is one of several copies of an API.
type api struct {
	name     string
	verifier *resource.Verifier
	server   *httptest.Server
}

// newAPI makes a copy that keeps the keys by package resource's RemoteKeys, or,
// the last one, in the way that asks most of the server: it copies them for just
// as long as it is allowed, and never asks for a key that it does not know.
func (r *rotating) newAPI(t *testing.T, n int) *api {
	t.Helper()
	var keys resource.KeySource
	name := fmt.Sprintf("API %d with RemoteKeys", n)
	if n < 2 {
		remote := must(resource.NewRemoteKeys(resource.RemoteKeysConfig{
			Issuer: r.issuer, RootCAs: serverCA().Pool(),
		}))
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { remote.Run(ctx) })
		t.Cleanup(func() { cancel(); running.Wait() })
		until(t, "the keys of an API", func() bool { return remote.Status().Usable })
		keys = remote
	} else {
		name = fmt.Sprintf("API %d with copied keys", n)
		keys = &copiedKeys{r: r, http: &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: serverCA().Pool()}}}}
	}
	a := &api{name: name, verifier: must(resource.New(resource.Config{Resource: apiURL, Issuers: []resource.KeySource{keys}}))}
	guarded := a.verifier.Require("read")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		status := &statusOf{ResponseWriter: w}
		guarded.ServeHTTP(status, request)
		r.called.Add(1)
		if status.refused { // a client that tries again would hide it
			r.refuse("F11 %s answers %v", a.name, w.Header())
		}
	}))
	pair := must(serverCA().Certificate("127.0.0.1"))
	a.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	return a
}

type statusOf struct {
	http.ResponseWriter
	refused bool
}

func (s *statusOf) WriteHeader(status int) {
	s.refused = status != http.StatusOK
	s.ResponseWriter.WriteHeader(status)
}

// copiedKeys is a resource.KeySource that takes the server at its word.
type copiedKeys struct {
	r    *rotating
	http *http.Client

	mu   sync.Mutex
	set  *resource.KeySet // guarded by mu
	ends time.Time        // guarded by mu
}

func (k *copiedKeys) Issuer() string { return k.r.issuer }

func (k *copiedKeys) KeySet(_ context.Context, _ string) (*resource.KeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.ends) {
		return k.set, nil
	}
	resp, err := k.http.Get(k.r.issuer + oauth.PathJWKS)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	m := regexp.MustCompile(`^public, max-age=([1-9][0-9]*)$`).FindStringSubmatch(resp.Header.Get("Cache-Control"))
	if m == nil {
		return nil, fmt.Errorf("KR-2 the keys may be copied for %q", resp.Header.Get("Cache-Control"))
	}
	if k.set, err = resource.ParseKeySet(body); err != nil {
		return nil, err
	}
	k.ends = time.Now().Add(time.Duration(must(strconv.Atoi(m[1]))) * time.Second)
	return k.set, nil
}

// callAPIs has package client do what it is for, with each kind of SVID.
func (r *rotating) callAPIs(ctx context.Context) {
	var origins []string
	for _, a := range r.apis {
		origins = append(origins, a.server.URL)
	}
	var callers []func(context.Context)
	for path, config := range map[string]client.Config{
		"/jwt":  {Credentials: []client.Credential{r.workloads.jwt("/jwt")}},
		"/x509": {Credentials: []client.Credential{r.workloads.x509("/x509")}},
		"/both": {Credentials: []client.Credential{r.workloads.jwt("/both"), r.workloads.x509("/both")}, Method: oauth.MethodJWT},
	} {
		config.Issuer, config.ClientID, config.RootCAs = r.issuer, r.td.id(path), serverCA().Pool()
		c, err := client.New(ctx, config)
		if err != nil {
			r.refuse("client of %s: %v", path, err)
			return
		}
		base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: serverCA().Pool()}}
		calling := &http.Client{Timeout: patience, Transport: c.Transport(base, client.Request{Resource: apiURL}, origins...)}
		for _, origin := range origins {
			callers = append(callers, func(context.Context) {
				resp, err := calling.Get(origin + "/")
				if err != nil {
					r.refuse("client of %s: %v", path, err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					r.refuse("client of %s: status %d", path, resp.StatusCode)
				}
			})
		}
	}
	r.at(ctx, r.pace.perSecond/2, callers)
}

func (w *workloads) jwt(path string) client.Credential {
	return client.JWTSVID(client.JWTSVIDFile(w.file(path, ".jwt")))
}

func (w *workloads) x509(path string) client.Credential {
	return client.X509SVID(client.X509SVIDFiles(w.file(path, ".pem"), w.file(path, ".pem")))
}

// enough reports whether what happened shows anything.
func (r *rotating) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.signed) > 2 && r.bundleRotations.Load() >= 2 && r.bundleRemovals.Load() >= 1 && r.called.Load() > 0
}

// finish compares what everybody says: no refusal in the metrics nor in the audit
// record, and a line of it for each token.
func (r *rotating) finish(t *testing.T) {
	t.Helper()
	_, metrics := r.status(t, "/metrics")
	var issued, refusals float64
	for _, m := range regexp.MustCompile(`(?m)^svidgate_(tokens_issued|refusals)_total\{.*\} (.*)$`).FindAllSubmatch(metrics, -1) {
		n := must(strconv.ParseFloat(string(m[2]), 64))
		if string(m[1]) == "refusals" {
			refusals += n
		} else {
			issued += n
		}
	}
	r.stop(t)
	data := must(os.ReadFile(filepath.Join(r.dir, "audit.jsonl")))
	evidence.add(t.Name()+" audit record", data)
	if _, err := audit.Verify(bytes.NewReader(data)); err != nil {
		t.Errorf("AU-3 %v", err)
	}
	granted, others := bytes.Count(data, []byte(`"outcome":"granted"`)), bytes.Count(data, []byte(`"outcome":"refused"`))
	// Each client may have renewed its token in the background since.
	if late := granted - int(issued); refusals != 0 || others != 0 || late < 0 || late > 3 || granted < int(r.asked.Load()) {
		t.Errorf("%v refusals counted and %d recorded; %v tokens counted and %d recorded, of which %d were asked for here", refusals, others, issued, granted, r.asked.Load())
	}
	fmt.Printf("e2e: rotation under load for %v: %d requests for tokens, %d tokens verified, %d calls of APIs; rotated: server keys %d times, bundle keys %d times (%d removed), SVIDs %d; refused: %d\n",
		r.pace.lasts, granted, r.checked.Load(), r.called.Load(), len(r.signed)-1, r.bundleRotations.Load(), r.bundleRemovals.Load(), r.workloads.made, r.refused.Load())
	if !r.enough() {
		t.Error("not enough was rotated, or nothing was called")
	}
}
