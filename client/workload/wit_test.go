package workload_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/svidgate/svidgate/client"
	svids "github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
	"github.com/svidgate/svidgate/internal/jose"
)

func newWITDomain(t *testing.T, path string) *devdomain.Domain {
	t.Helper()
	d, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org",
		SocketPath:  path,
		CA:          devca.Options{WIT: true},
		Identities:  []devdomain.Identity{{Path: "/billing", Hint: "internal"}, {Path: "/ledger", Hint: "external"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// witOf reads the WIT-SVID of the source and checks that the key is its own.
func witOf(t *testing.T, s *svids.Source) (token, sub string) {
	t.Helper()
	token, key, err := s.GetWITSVID()
	if err != nil {
		t.Fatal(err)
	}
	parts, err := jose.ParseCompact(token)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := parts.Payload.Get("cnf")
	cnf, err := v.Object()
	if err != nil {
		t.Fatal(err)
	}
	jwk, _ := cnf.Get("jwk")
	named, err := jose.ParseJWK([]byte(jwk))
	if err != nil {
		t.Fatal(err)
	}
	want, err := jose.Thumbprint(named.Key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jose.Thumbprint(key.Public()); err != nil || got != want {
		t.Errorf("the key has the thumbprint %s and the WIT-SVID names %s, %v", got, want, err)
	}
	v, _ = parts.Payload.Get("sub")
	sub, _ = v.Text()
	return token, sub
}

func TestWITIdentities(t *testing.T) { // CL-5
	d := newWITDomain(t, socketPath(t))
	start(t, d)
	for _, row := range []struct{ name, id, hint, want string }{
		{"the first", "", "", "spiffe://example.org/billing"},
		{"by SPIFFE ID", "spiffe://example.org/ledger", "", "spiffe://example.org/ledger"},
		{"by hint", "", "external", "spiffe://example.org/ledger"},
		{"by both", "spiffe://example.org/ledger", "external", "spiffe://example.org/ledger"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := open(t, svids.Config{Address: d.SocketAddr(), SPIFFEID: row.id, Hint: row.hint})
			if _, sub := witOf(t, s); sub != row.want {
				t.Errorf("got %s", sub)
			}
			if n := len(s.Credentials()); n != 3 {
				t.Errorf("%d credentials, want all three", n)
			}
		})
	}
	var _ client.WITSource = open(t, svids.Config{Address: d.SocketAddr()})
}

func TestWITRotationIsFollowed(t *testing.T) { // CL-4
	d := newWITDomain(t, socketPath(t))
	start(t, d)
	s := open(t, svids.Config{Address: d.SocketAddr()})
	first, _ := witOf(t, s)
	if err := d.Reissue(); err != nil {
		t.Fatal(err)
	}
	until(t, "the next WIT-SVID is there", func() bool {
		token, _, err := s.GetWITSVID()
		return err == nil && token != first
	})
	witOf(t, s)
}

// CL-6: a Workload API without WIT-SVIDs has the other kinds, and is asked for this
// one once.
func TestNoWITProfile(t *testing.T) {
	d := newDomain(t, socketPath(t))
	start(t, d)
	s := open(t, svids.Config{Address: d.SocketAddr()})
	if _, _, err := s.GetWITSVID(); err == nil || !strings.Contains(err.Error(), "does not have that kind of SVID") {
		t.Errorf("got %v", err)
	}
	if n := len(s.Credentials()); n != 2 {
		t.Errorf("%d credentials, want X.509-SVID and JWT-SVID", n)
	}

	path := socketPath(t)
	deny(t, path, codes.Unimplemented)
	s = open(t, svids.Config{Address: "unix://" + path})
	svids.Watched(s) // returns, although nobody has closed the source
	if n := len(s.Credentials()); n != 1 {
		t.Errorf("%d credentials, want the JWT-SVID alone", n)
	}
}

func TestLookSeesWITSVIDs(t *testing.T) {
	d := newWITDomain(t, socketPath(t))
	start(t, d)
	v, err := svids.Look(t.Context(), d.SocketAddr(), "")
	if err != nil || len(v.WITSVIDs) != 2 || v.WITBundles == nil {
		t.Errorf("%v, %v", v, err)
	}
	without := newDomain(t, socketPath(t))
	start(t, without)
	if v, err := svids.Look(t.Context(), without.SocketAddr(), ""); err != nil || v.WITSVIDs != nil || v.WITBundles != nil {
		t.Errorf("%v, %v", v, err)
	}
}

// A source that is asked before the Workload API has said anything says so.
func TestNoWITSVIDYet(t *testing.T) {
	_, _, err := new(svids.Source).GetWITSVID()
	if err == nil || strings.Contains(err.Error(), "%!") || !strings.Contains(err.Error(), "has not said") {
		t.Errorf("got %v", err)
	}
}
