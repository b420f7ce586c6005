package devca_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

func newAuthority(t *testing.T, opts devca.Options) *devca.Authority {
	t.Helper()
	a, err := devca.New("example.org", opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// parsed reads the published document with go-spiffe.
func parsed(t *testing.T, a *devca.Authority) *spiffebundle.Bundle {
	t.Helper()
	b, err := spiffebundle.Parse(a.TrustDomain(), a.Bundle())
	if err != nil {
		t.Fatalf("go-spiffe does not read the bundle: %v", err)
	}
	return b
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		td   string
		opts devca.Options
		want string // empty: accepted
	}{
		{"a name", "example.org", devca.Options{}, ""},
		{"a SPIFFE ID without a path", "spiffe://example.org", devca.Options{}, ""},
		{"SI-13 a path", "spiffe://example.org/a", devca.Options{}, "SI-13"},
		{"SI-4 upper case", "Example.org", devca.Options{}, "SI-4"},
		{"a negative lifetime", "example.org", devca.Options{X509Lifetime: -1}, "X509Lifetime"},
		{"JS-2 an algorithm no JWT-SVID has", "example.org", devca.Options{JWTAlgorithm: "EdDSA"}, "JS-2"},
		{"an unknown kind of key", "example.org", devca.Options{KeyAlgorithm: "DSA"}, "DSA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := devca.New(c.td, c.opts)
			if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	_, err := devca.New("Example.org", devca.Options{RefreshHint: -1})
	if s := fmt.Sprint(err); !strings.Contains(s, "SI-4") || !strings.Contains(s, "RefreshHint") {
		t.Errorf("two faults are not both told: %v", err)
	}
}

func TestBundleDocument(t *testing.T) {
	a := newAuthority(t, devca.Options{WIT: true, RefreshHint: 90 * time.Second})
	var doc struct {
		Keys     []map[string]any `json:"keys"`
		Sequence uint64           `json:"spiffe_sequence"`
		Hint     int              `json:"spiffe_refresh_hint"`
	}
	if err := json.Unmarshal(a.Bundle(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Sequence != 1 || doc.Hint != 90 || len(doc.Keys) != 3 {
		t.Fatalf("sequence %d, hint %d, %d keys", doc.Sequence, doc.Hint, len(doc.Keys))
	}
	for i, want := range []struct {
		use      string
		kid, x5c bool
	}{{"x509-svid", false, true}, {"jwt-svid", true, false}, {"wit-svid", true, false}} {
		entry := doc.Keys[i]
		_, kid := entry["kid"]
		_, x5c := entry["x5c"]
		if entry["use"] != want.use || entry["kty"] != "EC" || kid != want.kid || x5c != want.x5c {
			t.Errorf("entry %d is %v", i, entry)
		}
		if _, private := entry["d"]; private {
			t.Fatalf("entry %d has a private key", i)
		}
		raw, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.ParseJWK(raw); err != nil {
			t.Errorf("BU-8 entry %d: %v", i, err)
		}
	}
	b := parsed(t, a)
	if len(b.X509Authorities()) != 1 || len(b.JWTAuthorities()) != 1 {
		t.Errorf("go-spiffe sees %d roots and %d JWT keys", len(b.X509Authorities()), len(b.JWTAuthorities()))
	}
}

func TestBundleIsEmptyNotNullWhenAllIsRemoved(t *testing.T) {
	a := newAuthority(t, devca.Options{})
	kid, _, _ := a.JWTKey()
	if err := a.RemoveKey(kid); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveRoot(a.Roots()[0]); err != nil {
		t.Fatal(err)
	}
	if got := string(a.Bundle()); got != `{"keys":[],"spiffe_sequence":3,"spiffe_refresh_hint":300}` {
		t.Error(got)
	}
	if err := a.RemoveKey(kid); err == nil {
		t.Error("a key was removed twice")
	}
	if _, err := a.JWTSVID("/a", []string{"x"}); err != nil {
		t.Errorf("signing with a withdrawn key: %v", err)
	}
}

func TestRotation(t *testing.T) {
	a := newAuthority(t, devca.Options{WIT: true, Intermediate: true})
	step := func(what string, want uint64, roots, jwt, wit int) {
		t.Helper()
		if got := a.Sequence(); got != want {
			t.Fatalf("BU-13 after %s: sequence %d, want %d", what, got, want)
		}
		if s, ok := parsed(t, a).SequenceNumber(); !ok || s != want {
			t.Errorf("after %s the document says %d", what, s)
		}
		if r, j, w := len(a.Roots()), len(a.JWTKeys()), len(a.WITKeys()); r != roots || j != jwt || w != wit {
			t.Errorf("after %s: %d roots, %d JWT keys, %d WIT keys", what, r, j, w)
		}
	}
	step("nothing", 1, 1, 1, 1)

	oldRoot, oldIssuer := a.Roots()[0], a.Issuer()
	oldKid, _, _ := a.JWTKey()
	root, err := a.PrepareX509()
	if err != nil {
		t.Fatal(err)
	}
	step("PrepareX509", 2, 2, 1, 1)
	if a.Issuer() != oldIssuer {
		t.Error("a prepared root signs already")
	}
	if err := a.RotateX509(); err != nil {
		t.Fatal(err)
	}
	step("RotateX509 of a prepared root", 2, 2, 1, 1)
	if err := a.Issuer().Certificate().CheckSignatureFrom(root); err != nil {
		t.Errorf("the prepared root is not the one in use: %v", err)
	}

	next, err := a.PrepareJWTKey()
	if err != nil {
		t.Fatal(err)
	}
	step("PrepareJWTKey", 3, 2, 2, 1)
	if kid, _, _ := a.JWTKey(); kid != oldKid {
		t.Error("a prepared key signs already")
	}
	kid, err := a.RotateJWTKey()
	if err != nil || kid != next {
		t.Fatalf("RotateJWTKey: %q, %v; prepared was %q", kid, err, next)
	}
	if now, _, _ := a.JWTKey(); now != next {
		t.Error("the rotated key does not sign")
	}
	step("RotateJWTKey of a prepared key", 3, 2, 2, 1)
	if _, err := a.RotateWITKey(); err != nil {
		t.Fatal(err)
	}
	step("RotateWITKey", 4, 2, 2, 2)
	if err := a.RemoveOld(); err != nil {
		t.Fatal(err)
	}
	step("RemoveOld", 5, 1, 1, 1)
	if a.Roots()[0].Equal(oldRoot) || a.JWTKeys()[oldKid] != nil {
		t.Error("RemoveOld kept the old and removed the new")
	}
	if err := a.RemoveOld(); err != nil {
		t.Fatal(err)
	}
	step("RemoveOld with nothing old", 5, 1, 1, 1)
	if err := a.RotateX509(); err != nil {
		t.Fatal(err)
	}
	step("RotateX509 unprepared", 6, 2, 1, 1)
}

func TestChanged(t *testing.T) {
	a := newAuthority(t, devca.Options{})
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	changed := a.Changed()
	if _, err := a.JWTSVID("/a", []string{"x"}); err != nil || closed(changed) {
		t.Fatalf("making an SVID is no change: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func() error
	}{
		{"RotateJWTKey", func() error { _, err := a.RotateJWTKey(); return err }},
		{"RotateX509", a.RotateX509},
		{"RemoveOld", a.RemoveOld},
	} {
		changed = a.Changed()
		if err := c.change(); err != nil || !closed(changed) {
			t.Errorf("%s: %v, channel closed: %v", c.name, err, closed(changed))
		}
	}
}

func TestWITNeedsTheOption(t *testing.T) {
	a := newAuthority(t, devca.Options{})
	key, err := devca.GenerateKey(devca.P256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.WITSVID("/a", key.Public()); err == nil {
		t.Error("BU-12 a WIT-SVID of a trust domain that has no key for it")
	}
	if _, err := a.RotateWITKey(); err == nil {
		t.Error("BU-12 RotateWITKey made a key")
	}
	if len(a.WITKeys()) != 0 {
		t.Error("BU-12 the bundle has a wit-svid key")
	}
}

func TestSVIDPrintsNoKey(t *testing.T) {
	s, err := newAuthority(t, devca.Options{}).X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "svid", s)
	for _, got := range []string{fmt.Sprintf("%v", s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s)} {
		if got != "spiffe://example.org/a" {
			t.Errorf("printed %d bytes that are not the SPIFFE ID", len(got))
		}
	}
	if !strings.Contains(log.String(), `"svid":"spiffe://example.org/a"`) {
		t.Error("the log line does not show the SPIFFE ID alone")
	}
}

func TestConcurrentUse(t *testing.T) {
	a := newAuthority(t, devca.Options{WIT: true, Intermediate: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			path := fmt.Sprintf("/w/%d", i)
			for range 5 {
				s, err := a.X509SVID(path, func(c *x509.Certificate) { c.Subject = pkix.Name{} })
				if err != nil {
					t.Error(err)
					return
				}
				_, jwtErr := a.JWTSVID(path, []string{"x"})
				_, witErr := a.WITSVID(path, s.PrivateKey.Public())
				_, rotateErr := a.RotateJWTKey()
				for _, err := range []error{jwtErr, witErr, rotateErr, a.RotateX509(), a.RemoveOld()} {
					if err != nil {
						t.Error(err)
					}
				}
				if _, err := spiffebundle.Parse(spiffeid.RequireTrustDomainFromString("example.org"), a.Bundle()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
