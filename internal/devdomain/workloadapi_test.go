package devdomain_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

const audience = "https://as.example.com"

var (
	example = spiffeid.RequireTrustDomainFromString("example.org")
	other   = spiffeid.RequireTrustDomainFromString("other.test")
)

func at(d *devdomain.Domain) workloadapi.SourceOption {
	return workloadapi.WithClientOptions(workloadapi.WithAddr(d.SocketAddr()))
}

func x509Source(t *testing.T, d *devdomain.Domain) *workloadapi.X509Source {
	t.Helper()
	s, err := workloadapi.NewX509Source(t.Context(), at(d))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func jwtSource(t *testing.T, d *devdomain.Domain) *workloadapi.JWTSource {
	t.Helper()
	s, err := workloadapi.NewJWTSource(t.Context(), at(d))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func client(t *testing.T, d *devdomain.Domain) *workloadapi.Client {
	t.Helper()
	c, err := workloadapi.New(t.Context(), workloadapi.WithAddr(d.SocketAddr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw speaks to the socket without go-spiffe's client. With ctx it sends the
// security header.
func raw(t *testing.T, d *devdomain.Domain) (workload.SpiffeWorkloadAPIClient, context.Context) {
	t.Helper()
	conn, err := grpc.NewClient(d.SocketAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return workload.NewSpiffeWorkloadAPIClient(conn), metadata.AppendToOutgoingContext(t.Context(), "workload.spiffe.io", "true")
}

func TestX509Source(t *testing.T) {
	for _, intermediate := range []bool{false, true} {
		d := start(t, func(c *devdomain.Config) { c.CA.Intermediate = intermediate })
		source := x509Source(t, d)
		svid, err := source.GetX509SVID()
		if err != nil {
			t.Fatal(err)
		}
		if svid.ID.String() != "spiffe://example.org/billing" || svid.Hint != "internal" {
			t.Errorf("CL-5 the default is %v, hint %q", svid.ID, svid.Hint)
		}
		if _, _, err := x509svid.Verify(svid.Certificates, source); err != nil {
			t.Error(err)
		}
		if all, err := client(t, d).FetchX509SVIDs(t.Context()); err != nil || len(all) != 2 || all[1].ID.Path() != "/ns/ci/build" {
			t.Errorf("%d SVIDs, %v", len(all), err)
		}
	}
}

func TestRotationReachesTheSources(t *testing.T) {
	d := start(t)
	x509, jwt := x509Source(t, d), jwtSource(t, d)
	bundles, err := workloadapi.NewBundleSource(t.Context(), at(d))
	if err != nil {
		t.Fatal(err)
	}
	defer bundles.Close()

	before, err := x509.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	sees := func(roots, keys int) bool {
		return eventually(func() bool {
			b, err := bundles.GetBundleForTrustDomain(example)
			return err == nil && len(b.X509Authorities()) == roots && len(b.JWTAuthorities()) == keys
		})
	}
	if !sees(1, 1) {
		t.Fatal("the BundleSource does not see one root and one key")
	}

	if err := d.Rotate(); err != nil {
		t.Fatal(err)
	}
	if !sees(2, 2) {
		t.Fatal("BU-22 after a rotation the BundleSource does not see old and new")
	}
	var after *x509svid.SVID
	if !eventually(func() bool {
		after, err = x509.GetX509SVID()
		return err == nil && !after.Certificates[0].Equal(before.Certificates[0])
	}) {
		t.Fatal("CL-4 the X509Source sees no new SVID")
	}
	for name, svid := range map[string]*x509svid.SVID{"old": before, "new": after} {
		if _, _, err := x509svid.Verify(svid.Certificates, bundles); err != nil {
			t.Errorf("the %s X.509-SVID: %v", name, err)
		}
	}
	renewed, err := jwt.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	for name, svid := range map[string]*jwtsvid.SVID{"old": token, "new": renewed} {
		if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), bundles, []string{audience}); err != nil {
			t.Errorf("the %s JWT-SVID: %v", name, err)
		}
	}

	// What leaves the authority's bundle leaves every client's.
	if err := d.Authority().RemoveOld(); err != nil {
		t.Fatal(err)
	}
	if !sees(1, 1) {
		t.Fatal("CL-4 the removed keys are still there")
	}
	if _, _, err := x509svid.Verify(before.Certificates, bundles); err == nil {
		t.Error("CL-4 an SVID of a withdrawn root verifies")
	}
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), bundles, []string{audience}); err == nil {
		t.Error("CL-4 an SVID of a withdrawn key verifies")
	}
	if _, _, err := x509svid.Verify(after.Certificates, bundles); err != nil {
		t.Error(err)
	}
}

func TestReissueKeepsTheKeysOfTheDomain(t *testing.T) {
	d := start(t)
	source := x509Source(t, d)
	before, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	sequence := d.Authority().Sequence()
	if err := d.Reissue(); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool {
		after, err := source.GetX509SVID()
		return err == nil && !after.Certificates[0].Equal(before.Certificates[0])
	}) {
		t.Error("no new SVID")
	}
	if d.Authority().Sequence() != sequence {
		t.Error("the bundle changed")
	}
}

func TestSVIDsAreReissuedByTime(t *testing.T) {
	d := start(t, func(c *devdomain.Config) { c.CA.X509Lifetime = 2 * time.Second })
	source := x509Source(t, d)
	first, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool {
		svid, err := source.GetX509SVID()
		return err == nil && !svid.Certificates[0].Equal(first.Certificates[0])
	}) {
		t.Fatal("the SVID is not reissued")
	}
	if !time.Now().Before(first.Certificates[0].NotAfter) {
		t.Error("the new SVID came only after the old one had expired")
	}
}

func TestFetchJWTSVID(t *testing.T) {
	d := start(t)
	c, ctx := raw(t, d)
	for _, row := range []struct {
		name string
		req  *workload.JWTSVIDRequest
		want codes.Code
		ids  []string
	}{
		{"all identities, the default first", &workload.JWTSVIDRequest{Audience: []string{"a"}}, codes.OK,
			[]string{"spiffe://example.org/billing", "spiffe://example.org/ns/ci/build"}},
		{"one identity", &workload.JWTSVIDRequest{Audience: []string{"a"}, SpiffeId: "spiffe://example.org/ns/ci/build"}, codes.OK,
			[]string{"spiffe://example.org/ns/ci/build"}},
		{"no audience", &workload.JWTSVIDRequest{}, codes.InvalidArgument, nil},
		{"JS-8 an empty audience", &workload.JWTSVIDRequest{Audience: []string{"a", ""}}, codes.InvalidArgument, nil},
		{"an identity of somebody else", &workload.JWTSVIDRequest{Audience: []string{"a"}, SpiffeId: "spiffe://example.org/root"}, codes.PermissionDenied, nil},
		{"an identity in another spelling", &workload.JWTSVIDRequest{Audience: []string{"a"}, SpiffeId: "SPIFFE://example.org/billing"}, codes.InvalidArgument, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			res, err := c.FetchJWTSVID(ctx, row.req)
			if status.Code(err) != row.want {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			var ids []string
			for _, s := range res.GetSvids() {
				ids = append(ids, s.SpiffeId)
				svid, err := jwtsvid.ParseInsecure(s.Svid, row.req.Audience)
				if err != nil || svid.ID.String() != s.SpiffeId {
					t.Errorf("%s: %v", s.SpiffeId, err)
				}
			}
			if !cmp.Equal(ids, row.ids) {
				t.Errorf("got %v", ids)
			}
		})
	}
}

func TestJWTSource(t *testing.T) {
	d := start(t, func(c *devdomain.Config) { c.CA.JWTLifetime = time.Minute })
	source := jwtSource(t, d)
	svid, err := source.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: audience, ExtraAudiences: []string{"https://api.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if svid.ID.String() != "spiffe://example.org/billing" || time.Until(svid.Expiry) > time.Minute {
		t.Errorf("%v until %v", svid.ID, svid.Expiry)
	}
	if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{audience}); err != nil {
		t.Error(err)
	}
	if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{"https://evil.example.com"}); err == nil {
		t.Error("JS-8 accepted for another audience")
	}
}

func TestSecurityHeader(t *testing.T) {
	d := start(t)
	c, _ := raw(t, d)
	for _, row := range []struct {
		name   string
		header []string
		want   codes.Code
	}{
		{"there", []string{"workload.spiffe.io", "true"}, codes.OK},
		{"CL-2 missing", nil, codes.InvalidArgument},
		{"CL-2 false", []string{"workload.spiffe.io", "false"}, codes.InvalidArgument},
		{"CL-2 empty", []string{"workload.spiffe.io", ""}, codes.InvalidArgument},
		{"CL-2 twice", []string{"workload.spiffe.io", "true", "workload.spiffe.io", "false"}, codes.InvalidArgument},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), row.header...)
			if _, err := c.FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{"a"}}); status.Code(err) != row.want {
				t.Errorf("unary: %v", err)
			}
			stream, err := c.FetchX509SVID(ctx, &workload.X509SVIDRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); status.Code(err) != row.want {
				t.Errorf("stream: %v", err)
			}
		})
	}
}

func TestFederatedBundles(t *testing.T) {
	d := start(t)
	foreign, err := devca.New("other.test", devca.Options{WIT: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddFederated("other.test", foreign.Bundle()); err != nil {
		t.Fatal(err)
	}
	x509, jwt := x509Source(t, d), jwtSource(t, d)
	svid, err := foreign.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x509svid.Verify(svid.Certificates, x509); err != nil {
		t.Errorf("the federated X.509 bundle: %v", err)
	}
	token, err := foreign.JWTSVID("/a", []string{audience})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwtsvid.ParseAndValidate(token, jwt, []string{audience}); err != nil {
		t.Errorf("the federated JWT bundle: %v", err)
	}
	if set, err := client(t, d).FetchX509Bundles(t.Context()); err != nil || set.Len() != 2 || !set.Has(other) {
		t.Errorf("FetchX509Bundles: %v", err)
	}
	if id, err := client(t, d).ValidateJWTSVID(t.Context(), token, audience); err != nil || id.ID.TrustDomain() != other {
		t.Errorf("ValidateJWTSVID: %v", err)
	}

	if err := d.RemoveFederated("other.test"); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { _, err := x509.GetX509BundleForTrustDomain(other); return err != nil }) {
		t.Error("CL-4 the X.509 bundle is not withdrawn")
	}
	if !eventually(func() bool { _, err := jwt.GetJWTBundleForTrustDomain(other); return err != nil }) {
		t.Error("CL-4 the JWT bundle is not withdrawn")
	}

	for _, row := range []struct{ name, td, document, want string }{
		{"BU-19 the domain itself", "example.org", string(foreign.Bundle()), "BU-19"},
		{"BU-2 no keys", "other.test", `{}`, "other.test"},
		{"SI-13 a path", "spiffe://other.test/a", string(foreign.Bundle()), "SI-13"},
	} {
		if err := d.AddFederated(row.td, []byte(row.document)); !strings.Contains(fmt.Sprint(err), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestWITProfile(t *testing.T) {
	d := start(t, func(c *devdomain.Config) { c.CA.WIT = true })
	c := client(t, d)
	svids, err := c.FetchWITSVIDs(t.Context(), "")
	if err != nil || len(svids) != 2 {
		t.Fatalf("%d WIT-SVIDs, %v", len(svids), err)
	}
	bundles, err := c.FetchWITBundles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, svid := range svids {
		if svid.PrivateKey == nil {
			t.Error("no private key")
		}
		if _, err := witsvid.ParseAndValidate(svid.Marshal(), bundles); err != nil {
			t.Error(err)
		}
	}
	one, err := c.FetchWITSVID(t.Context(), "spiffe://example.org/ns/ci/build")
	if err != nil || one.Hint != "external" {
		t.Errorf("%v", err)
	}
	if _, err := c.FetchWITSVID(t.Context(), "spiffe://example.org/root"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an identity of somebody else: %v", err)
	}
	// JWT bundles must not show the key for WIT-SVIDs (JS-12).
	set, err := c.FetchJWTBundles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := set.GetJWTBundleForTrustDomain(example)
	if err != nil || len(b.JWTAuthorities()) != 1 {
		t.Errorf("%d keys, %v", len(b.JWTAuthorities()), err)
	}

	without := client(t, start(t))
	if _, err := without.FetchWITSVID(t.Context(), ""); status.Code(err) != codes.Unimplemented {
		t.Errorf("CL-6 without the profile: %v", err)
	}
	if _, err := without.FetchWITBundles(t.Context()); status.Code(err) != codes.Unimplemented {
		t.Errorf("CL-6 without the profile: %v", err)
	}
}
