package workloadapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

func newDomain(t *testing.T, path string, options devca.Options) *devdomain.Domain {
	t.Helper()
	d, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org", SocketPath: path, Identities: []devdomain.Identity{{Path: "/server"}}, CA: options,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestNew(t *testing.T) { // CL-1
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///run/agent.sock") // never asked: AV-1
	for _, tt := range []struct {
		name, address string
		good          bool
	}{
		{"a socket", "unix:///run/spire/agent.sock", true},
		{"a socket with a space", "unix:///run/my%20agent.sock", true},
		{"IPv4 and port", "tcp://127.0.0.1:8081", true},
		{"IPv6 and port", "tcp://[::1]:8081", true},
		{"none", "", false},
		{"a path", "/run/spire/agent.sock", false},
		{"a relative path", "unix:agent.sock", false},
		{"an authority", "unix://host/run/agent.sock", false},
		{"no path", "unix://", false},
		{"a query", "unix:///run/agent.sock?a=b", false},
		{"an empty query", "unix:///run/agent.sock?", false},
		{"a fragment", "unix:///run/agent.sock#a", false},
		{"a user", "unix://me:secret@/run/agent.sock", false},
		{"a zero byte", "unix:///run/agent%00.sock", false},
		{"a host name", "tcp://localhost:8081", false},
		{"no port", "tcp://127.0.0.1", false},
		{"port 0", "tcp://127.0.0.1:0", false},
		{"a path after the port", "tcp://127.0.0.1:8081/x", false},
		{"another scheme", "https://127.0.0.1:8081", false},
		{"no URL", "unix://\x7f", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(Config{Address: tt.address, TrustDomain: exampleOrg})
			if tt.good {
				if err != nil || s.Origin() != tt.address {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "CL-1") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := New(Config{Address: "run"}); err == nil || !strings.Contains(err.Error(), "CL-1") || !strings.Contains(err.Error(), "trust domain") {
		t.Errorf("not every fault is told: %v", err)
	}
}

func TestUnencryptedNetworkIsLogged(t *testing.T) {
	for address, want := range map[string]bool{
		"tcp://192.0.2.1:8081": true, "tcp://127.0.0.1:8081": false, "tcp://[::ffff:127.0.0.1]:1": false, "unix:///run/agent.sock": false,
	} {
		var lines bytes.Buffer
		newSource(t, Config{Address: address, Log: slog.New(slog.NewTextHandler(&lines, nil))})
		if got := strings.Contains(lines.String(), "without encryption"); got != want {
			t.Errorf("%s: warned: %v", address, got)
		}
	}
}

// What a server takes from the Workload API is what it takes from the bundle
// endpoint of the same trust domain.
func TestFetch(t *testing.T) {
	for _, alg := range []devca.KeyAlgorithm{devca.P256, devca.RSA2048} {
		t.Run(string(alg), func(t *testing.T) {
			d := newDomain(t, socketPath(t), devca.Options{KeyAlgorithm: alg})
			s := newSource(t, Config{Address: d.SocketAddr()})
			document, got := fetch(t, s)
			want := parse(t, exampleOrg, d.Authority().Bundle())
			if !got.Same(want) || len(got.LeftOut())+len(got.Notes()) > 0 {
				t.Errorf("got %s, left out %v", document, got.LeftOut())
			}
			if _, ok := got.Sequence(); ok || got.RefreshHint() != 300*time.Second {
				t.Error("BU-15 a sequence or a hint from nowhere")
			}
			if again, _ := fetch(t, s); !bytes.Equal(again, document) {
				t.Error("the same bundle gave other bytes")
			}
			if err := d.Rotate(); err != nil {
				t.Fatal(err)
			}
			if err := d.Authority().RemoveOld(); err != nil {
				t.Fatal(err)
			}
			until(t, "the agent has the new keys only", func() bool {
				_, got = fetch(t, s)
				return got.Same(parse(t, exampleOrg, d.Authority().Bundle()))
			})
		})
	}
}

func TestTCP(t *testing.T) { // CL-1
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	newAgent(said{x509: own(root(t, nil)), jwt: own(jwks(t))}).serve(t, l)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // no proxy is asked
	_, got := fetch(t, newSource(t, Config{Address: "tcp://" + l.Addr().String()}))
	if has(got) != [2]int{1, 0} {
		t.Errorf("got %v", has(got))
	}
}

func TestFederatedBundles(t *testing.T) { // AV-1, BU-18, BU-19
	d := newDomain(t, socketPath(t), devca.Options{})
	named, unnamed := newAuthority(t, "partner.example", devca.Options{}), newAuthority(t, "stranger.example", devca.Options{})
	s := newSource(t, Config{Address: d.SocketAddr()})
	before, _ := fetch(t, s)
	for _, other := range []*devca.Authority{named, unnamed} {
		if err := d.AddFederated(other.TrustDomain().Name(), other.Bundle()); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := fetch(t, s); !bytes.Equal(before, after) {
		t.Error("another trust domain's bundle changed the document")
	}
	partner := newSource(t, Config{Address: d.SocketAddr(), TrustDomain: named.TrustDomain()})
	if document, got := fetch(t, partner); !got.Same(parse(t, named.TrustDomain(), named.Bundle())) {
		t.Errorf("a federated trust domain that is named got %s", document)
	}
	if err := d.RemoveFederated("partner.example"); err != nil {
		t.Fatal(err)
	}
	// The agent goes on to have its own: the relation was ended (CL-4, BU-3).
	if document, got := fetch(t, partner); has(got) != [2]int{} || string(document) != `{"keys":[]}` {
		t.Errorf("CL-4 after the end of the relation: %s", document)
	}
	fetch(t, s)
}

func TestOnlyTheExactName(t *testing.T) { // AV-1, BU-18
	mine, other := root(t, nil), root(t, nil)
	good := own(mine)
	for _, name := range []string{"example.org", "spiffe://EXAMPLE.org", "spiffe://example.org/", "spiffe://example.org/path", "spiffe://sub.example.org", "spiffe://example.org.evil.example", ""} {
		good[name] = other
		_, got := fetch(t, newSource(t, Config{Address: start(t, said{x509: good, jwt: map[string][]byte{name: []byte("not parsed")}})}))
		if has(got) != [2]int{1, 0} || !bytes.Equal(got.Anchors()[0].Raw, mine) {
			t.Errorf("%q counted for example.org", name)
		}
		for _, says := range []said{
			{x509: map[string][]byte{name: other}, jwt: map[string][]byte{name: jwks(t)}}, {x509: map[string][]byte{name: other}}, {jwt: map[string][]byte{name: jwks(t)}},
		} {
			if document, got := fetch(t, newSource(t, Config{Address: start(t, says)})); has(got) != [2]int{} || string(document) != `{"keys":[]}` {
				t.Errorf("%q counted for example.org: %s", name, document)
			}
		}
		delete(good, name)
	}
}

func TestAnswers(t *testing.T) {
	ca, set := root(t, nil), jwks(t, jwk(t, "a", nil))
	denied := status.Error(codes.PermissionDenied, "no identity issued\x1b[31m\n")
	big := bytes.Repeat([]byte{' '}, 2<<20)
	for _, tt := range []struct {
		name  string
		says  said
		want  [2]int   // certificates and keys
		error []string // instead
	}{
		{"both", said{x509: own(ca), jwt: own(set)}, [2]int{1, 1}, nil},
		{"CL-4 no JWT bundle", said{x509: own(ca)}, [2]int{1, 0}, nil},
		{"CL-4 no X.509 bundle", said{jwt: own(set)}, [2]int{0, 1}, nil},
		{"CL-4 neither", said{}, [2]int{}, []string{"no bundle for example.org"}},
		{"BU-3 both there and empty", said{x509: own(nil), jwt: own(jwks(t))}, [2]int{}, nil},
		{"CL-3 without the JWT profile", said{x509: own(ca), jwtErr: status.Error(codes.Unimplemented, "off")}, [2]int{1, 0}, nil},
		{"CL-3 without the X.509 profile", said{jwt: own(set), x509Err: status.Error(codes.Unimplemented, "off")}, [2]int{0, 1}, nil},
		{"CL-3 without both profiles", said{x509Err: status.Error(codes.Unimplemented, "off"), jwtErr: status.Error(codes.Unimplemented, "off")},
			[2]int{}, []string{"no bundle for example.org", "Unimplemented"}},
		{"permission denied", said{x509Err: denied, jwtErr: denied}, [2]int{}, []string{"PermissionDenied", "registered"}},
		{"permission denied for JWT only", said{x509: own(ca), jwtErr: denied}, [2]int{}, []string{"JWT bundles", "PermissionDenied"}},
		{"permission denied for X.509 only", said{x509Err: denied, jwt: own(set)}, [2]int{}, []string{"X.509 bundles", "PermissionDenied"}},
		{"BE-9 2 MiB of JWT bundle", said{x509: own(ca), jwt: own(append(bytes.Clone(set), big...))}, [2]int{}, []string{"BE-9"}},
		{"BE-9 2 MiB of X.509 bundle", said{x509: own(bytes.Repeat(ca, 2<<20/len(ca))), jwt: own(set)}, [2]int{}, []string{"BE-9"}},
		{"AV-1 2 MiB of a trust domain that nobody named", said{x509: map[string][]byte{"spiffe://example.org": ca, "spiffe://other.example": big}, jwt: own(set)}, [2]int{1, 1}, nil},
		{"5 MiB", said{x509: map[string][]byte{"spiffe://example.org": ca, "spiffe://other.example": bytes.Repeat(big, 3)}, jwt: own(set)}, [2]int{}, []string{"ResourceExhausted", "4194304"}},
		{"BU-2 a JWT bundle without keys", said{x509: own(ca), jwt: own([]byte(`{}`))}, [2]int{}, []string{"BU-2"}},
		{"BU-1 an empty JWT bundle", said{x509: own(ca), jwt: own([]byte{})}, [2]int{}, []string{"BU-1"}},
		{"BU-1 an X.509 bundle that is cut", said{x509: own(ca[:len(ca)-1]), jwt: own(set)}, [2]int{}, []string{"certificate 0", "BU-1"}},
		{"the stream ends without an answer", said{x509Err: io.EOF, jwt: own(set)}, [2]int{}, []string{"X.509 bundles: the agent ended the stream"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSource(t, Config{Address: start(t, tt.says)})
			if tt.error != nil {
				refused(t, s, tt.error...)
				return
			}
			if document, got := fetch(t, s); has(got) != tt.want || len(got.LeftOut()) > 0 {
				t.Errorf("got %v of %s, want %v", has(got), document, tt.want)
			}
		})
	}
}

func TestNothingOfTheCallerIsSent(t *testing.T) { // CL-2
	s := newSource(t, Config{Address: start(t, said{x509: own(root(t, nil)), jwt: own(jwks(t))})})
	// The agent of this test refuses a call that has it.
	if _, err := s.Fetch(metadata.AppendToOutgoingContext(t.Context(), "authorization", "secret")); err != nil {
		t.Error(err)
	}
}

func TestAgentDownAndBack(t *testing.T) {
	path := socketPath(t)
	s := newSource(t, Config{Address: "unix://" + path})
	refused(t, s, "no such file", "is the agent running")
	d := newDomain(t, path, devca.Options{})
	fetch(t, s)
	d.Close()
	refused(t, s, "is the agent running")
	newDomain(t, path, devca.Options{})
	fetch(t, s) // at once: nothing of the failure before is remembered
}

func TestHungAgent(t *testing.T) {
	path := socketPath(t)
	l := listen(t, path)
	s := newSource(t, Config{Address: "unix://" + path})
	for name, accept := range map[string]bool{"nobody accepts": false, "nobody answers": true} {
		t.Run(name, func(t *testing.T) {
			if accept {
				go func() {
					if c, err := l.Accept(); err == nil {
						t.Cleanup(func() { c.Close() })
					}
				}()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := s.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "X.509 bundles") {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	path := socketPath(t)
	l := listen(t, path)
	s := newSource(t, Config{Address: "unix://" + path})
	fetched := make(chan error)
	go func() {
		_, err := s.Fetch(t.Context())
		fetched <- err
	}()
	c, err := l.Accept() // and say nothing
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-fetched; !errors.Is(err, errClosed) {
		t.Errorf("the fetch under way: %v", err)
	}
	if _, err := s.Fetch(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("a later fetch: %v", err)
	}
	s.Watch(t.Context(), func() { t.Error("changed") }) // returns
}

// In a set, the agent's failures leave the bundle of before (BE-15), and what it
// withdraws is gone (CL-4).
func TestInASet(t *testing.T) {
	path := socketPath(t)
	a := newAgent(said{x509: own(root(t, nil)), jwt: own(jwks(t, jwk(t, "a", nil)))})
	a.serve(t, listen(t, path))
	set, err := bundle.NewSet(bundle.Config{TrustDomains: []bundle.TrustDomain{
		{Name: exampleOrg, Source: newSource(t, Config{Address: "unix://" + path})},
		{Name: spiffeid.RequireTrustDomainFromString("other.example"), Source: newSource(t, Config{Address: "unix://" + path, TrustDomain: spiffeid.RequireTrustDomainFromString("other.example")})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Load(t.Context()); err != nil {
		t.Errorf("AV-1 of two trust domains the agent has one: %v", err)
	}
	other, err := set.Bundle(spiffeid.RequireTrustDomainFromString("other.example"))
	if err != nil || has(other) != [2]int{} {
		t.Errorf("CL-4 the one it lacks: %v, %v", has(other), err)
	}
	for _, tt := range []struct {
		name string
		says said
		want [2]int
	}{
		{"BE-15 permission denied", said{x509Err: status.Error(codes.PermissionDenied, "")}, [2]int{1, 1}},
		{"BE-15 no bundle", said{}, [2]int{1, 1}},
		{"BU-11 one kid on two keys", said{x509: own(root(t, nil)), jwt: own(jwks(t, jwk(t, "b", nil), jwk(t, "b", nil)))}, [2]int{1, 1}},
		{"CL-4 the JWT bundle withdrawn", said{x509: own(root(t, nil))}, [2]int{1, 0}},
		{"CL-4 F10 only bundles of others", said{x509: others(root(t, nil)), jwt: others(jwks(t))}, [2]int{0, 0}},
		{"both again", said{x509: own(root(t, nil)), jwt: own(jwks(t, jwk(t, "a", nil)))}, [2]int{1, 1}},
		{"BE-15 no bundle, of nobody", said{}, [2]int{1, 1}},
		{"CL-4 F10 only the X.509 bundle of another", said{x509: others(root(t, nil))}, [2]int{0, 0}},
		{"both again", said{x509: own(root(t, nil)), jwt: own(jwks(t, jwk(t, "a", nil)))}, [2]int{1, 1}},
		{"BU-3 both empty", said{x509: own(nil), jwt: own(jwks(t))}, [2]int{0, 0}},
	} {
		a.say(tt.says)
		_ = set.Load(t.Context()) // some fail
		got, err := set.Bundle(exampleOrg)
		if err != nil || has(got) != tt.want {
			t.Errorf("%s: got %v, %v, want %v", tt.name, has(got), err, tt.want)
		}
	}
}

// others are bundles of another trust domain.
func others(data []byte) map[string][]byte {
	return map[string][]byte{"spiffe://agent.example": data}
}

// What was kept on disk is good for one address (BE-16).
func TestOriginIsUnique(t *testing.T) {
	long := "unix:///" + strings.Repeat("a", 300)
	a, b, short := newSource(t, Config{Address: long + "1"}), newSource(t, Config{Address: long + "2"}), newSource(t, Config{Address: "unix:///a"})
	if a.Origin() == b.Origin() || a.Origin() != newSource(t, Config{Address: long + "1"}).Origin() {
		t.Errorf("BE-16 %s and %s", a.Origin(), b.Origin())
	}
	if short.Origin() != "unix:///a" {
		t.Errorf("a short one is %s", short.Origin())
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
