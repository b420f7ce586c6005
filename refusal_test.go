package svidgate_test

import (
	"context"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// What a refusal says of the credential, for the audit record.
type credentialNames struct {
	keyID, tokenID string
	sequence       uint64
	sequenced      bool
}

// checkNames: an identity and a refusal name the credential and its bundle alike.
func checkNames(t *testing.T, id svidgate.Identity, err error, w want, names credentialNames) {
	t.Helper()
	checkOutcome(t, id, err, w)
	got := credentialNames{keyID: id.KeyID(), tokenID: id.TokenID()}
	got.sequence, got.sequenced = id.BundleSequence()
	if err != nil {
		e := oauth.AsError(err)
		got = credentialNames{e.KeyID, e.TokenID, e.BundleSequence, e.HasBundleSequence}
	}
	if got != names {
		t.Errorf("CA-14 named %+v, want %+v", got, names)
	}
}

// CA-14: a refusal names the credential and the bundle as an acceptance does, as far as
// both were known by then.
func TestRefusalNamesTheCredential(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	waiting, stranger := newDomain(t, "waiting.example", devca.Options{}), newDomain(t, "stranger.example", devca.Options{})
	b := bundlesOf(t, d)
	b[waiting.TrustDomain()] = nil
	v := newVerifier(t, b)
	jti, past := claim("jti", "id-1"), claim("exp", noon.Add(-time.Hour).Unix())
	kid := kidOf(d)
	token := d.svid(t)

	for _, row := range []struct {
		name, assertion string
		want            want
		names           credentialNames
	}{
		{"the twin", d.svid(t, jti), accepted, credentialNames{kid, "id-1", 1, true}},
		{"expired", d.svid(t, jti, past), refused(oauth.ReasonExpired, "CJ-5"), credentialNames{kid, "id-1", 1, true}},
		{"expired, with the one key that fits", d.svid(t, past, withoutHeader("kid")), refused(oauth.ReasonExpired, "CJ-5"), credentialNames{kid, "", 1, true}},
		{"a kid of nobody", d.svid(t, jti, header("kid", "x")), refused(oauth.ReasonKIDUnknown, "JS-15"), credentialNames{"x", "id-1", 1, true}},
		{"a kid that is no text", d.svid(t, jti, header("kid", 7)), refused(oauth.ReasonAssertionMalformed, "JS-14"), credentialNames{"", "id-1", 1, true}},
		{"a jti that is no text", d.svid(t, claim("jti", 7), past), refused(oauth.ReasonExpired, "CJ-5"), credentialNames{kid, "", 1, true}},
		{"before a bundle is chosen", d.svid(t, jti, header("typ", "at+jwt")), refused(oauth.ReasonWrongTokenType, "JS-4"), credentialNames{kid, "id-1", 0, false}},
		{"of an unknown trust domain", stranger.svid(t, jti), refused(oauth.ReasonTDUnknown, "JS-13"), credentialNames{kidOf(stranger), "id-1", 0, false}},
		{"of one without a bundle", waiting.svid(t, jti), refused(oauth.ReasonTDNotReady, "GL-15"), credentialNames{kidOf(waiting), "id-1", 0, false}},
		{"no JWS", "x", refused(oauth.ReasonAssertionMalformed, "JS-1"), credentialNames{}},
		{"none", "", refused(oauth.ReasonAssertionMalformed, "JS-1"), credentialNames{}},
		{"too large", strings.Repeat("x", oauth.MaxJWT+1), refused(oauth.ReasonAssertionTooLarge, "GL-8"), credentialNames{}},
		{"odd characters", d.svid(t, header("kid", "a\n\"\x1b"), claim("jti", "é\r")), refused(oauth.ReasonKIDUnknown, "JS-15"), credentialNames{"a???", "??", 1, true}},
		{"any length", d.svid(t, header("kid", strings.Repeat("k", 4000)), claim("jti", strings.Repeat("j", 4000))), refused(oauth.ReasonKIDUnknown, "JS-15"),
			credentialNames{strings.Repeat("k", 200) + "…", strings.Repeat("j", 200) + "…", 1, true}},
		{"a token in their place", d.svid(t, header("kid", token), claim("jti", token)), refused(oauth.ReasonKIDUnknown, "JS-15"), credentialNames{"[redacted]", "[redacted]", 1, true}},
	} {
		t.Run("CA-14 "+row.name, func(t *testing.T) {
			id, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: row.assertion})
			checkNames(t, id, err, row.want, row.names)
		})
	}

	// A bundle without a sequence has none to name.
	bare := newVerifier(t, bundles{exampleOrg: bundleOf(t, exampleOrg)})
	id, err := bare.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: d.svid(t)})
	checkNames(t, id, err, refused(oauth.ReasonBundleNoKeys, "BU-12"), credentialNames{keyID: kid})

	// After a fetch on demand it is the bundle that came.
	before := d.snapshot(t)
	if _, err := d.RotateJWTKey(); err != nil {
		t.Fatal(err)
	}
	newer := d.snapshot(t)
	fetching := newVerifier(t, bundles{exampleOrg: before}, func(c *svidgate.Config) {
		c.Refresh = func(context.Context, spiffeid.TrustDomain) (*bundle.Snapshot, error) { return newer, nil }
	})
	id, err = fetching.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: d.svid(t, header("kid", "x"))})
	checkNames(t, id, err, refused(oauth.ReasonKIDUnknownAfterRefresh, "JS-15"), credentialNames{"x", "", 2, true})
}

func TestRefusalNamesTheCertificate(t *testing.T) {
	d, stranger := newDomain(t, "example.org", devca.Options{}), newDomain(t, "stranger.example", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	serial := func(c chain) string { return "serial " + c[0].SerialNumber.Text(16) }
	good, unknown := d.chain(t), stranger.chain(t)
	expired := d.chain(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	forgedOne := chain{forged(t, good[0])}
	twoNames := d.chain(t, rawURIs("spiffe://example.org/a", "spiffe://example.org/b"))
	huge := *unknown[0]
	huge.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 8000)
	for _, row := range []struct {
		name  string
		sent  chain
		want  want
		names credentialNames
	}{
		{"the twin", good, accepted, credentialNames{serial(good), "", 1, true}},
		{"another key in it", forgedOne, chainBad, credentialNames{serial(good), "", 1, true}},
		{"expired", expired, refused(oauth.ReasonExpired, "XS-22"), credentialNames{serial(expired), "", 0, false}},
		{"two names", twoNames, uriCount, credentialNames{serial(twoNames), "", 0, false}},
		{"of an unknown trust domain", unknown, refused(oauth.ReasonTDUnknown, "JS-13"), credentialNames{serial(unknown), "", 0, false}},
		{"none", nil, refused(oauth.ReasonCertMissing, "CX-1"), credentialNames{}},
		{"a serial number of any length", chain{&huge}, refused(oauth.ReasonTDUnknown, "JS-13"), credentialNames{"serial 1" + strings.Repeat("0", 192) + "…", "", 0, false}},
	} {
		t.Run("CA-14 "+row.name, func(t *testing.T) {
			id, err := v.VerifyX509SVID(context.Background(), row.sent)
			checkNames(t, id, err, row.want, row.names)
		})
	}
}

func TestRefusalNamesTheWITSVID(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	v := newVerifier(t, bundlesOf(t, d))
	kid, _, _ := d.WITKey()
	h := d.holder(t, "", claim("jti", "wit-7"))
	good := h.shown(t)
	noProof, strange := good, d.holder(t, "", claim("jti", "wit-8"), header("kid", "x")).shown(t)
	noProof.Proof = ""
	for _, row := range []struct {
		name  string
		in    svidgate.WITPresentation
		want  want
		names credentialNames
	}{
		{"the twin", good, accepted, credentialNames{kid, "wit-7", 1, true}},
		{"without a proof", noProof, refused(oauth.ReasonPoPMissing, "WS-17"), credentialNames{kid, "wit-7", 1, true}},
		{"a kid of nobody", strange, witKeyUnknown, credentialNames{"x", "wit-8", 1, true}},
		{"none", svidgate.WITPresentation{}, refused(oauth.ReasonAssertionMalformed, "WS-1"), credentialNames{}},
	} {
		t.Run("CA-14 "+row.name, func(t *testing.T) {
			id, err := v.VerifyWITSVID(context.Background(), row.in)
			checkNames(t, id, err, row.want, row.names)
		})
	}
}
