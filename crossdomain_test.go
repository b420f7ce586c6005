package svidgate_test

import (
	"crypto/x509"
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

// bothWays runs a test with each of two trust domains as the victim and the
// other as the attacker. Both are configured; each signs with everything it has.
func bothWays(t *testing.T, opts devca.Options, test func(t *testing.T, victim, attacker domain, b bundles)) {
	t.Helper()
	a, b := newDomain(t, "a.example", opts), newDomain(t, "b.example", opts)
	for _, pair := range [][2]domain{{a, b}, {b, a}} {
		t.Run("for "+pair[0].TrustDomain().Name(), func(t *testing.T) {
			test(t, pair[0], pair[1], bundlesOf(t, a, b))
		})
	}
}

// idOf is the SPIFFE ID of a workload.
func (d domain) idOf(path string) string { return d.TrustDomain().IDString() + path }

func TestJWTAcrossTrustDomains(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.RS256} {
		bothWays(t, devca.Options{JWTAlgorithm: alg, WIT: true}, func(t *testing.T, victim, attacker domain, b bundles) {
			asVictim := claim("sub", victim.idOf("/a"))
			witKID, witAlg, wit := attacker.WITKey()
			byWIT, err := devca.SignJWT(map[string]any{"alg": string(witAlg), "kid": witKID},
				map[string]any{"sub": victim.idOf("/a"), "aud": issuer, "exp": noon.Unix() + 300}, wit, witAlg)
			if err != nil {
				t.Fatal(err)
			}
			run(t, newVerifier(t, b), []jwtRow{
				{"AK-3 the victim's own key", victim.svid(t), accepted},
				{"AK-3 the attacker for itself", attacker.svid(t), accepted},
				{"AK-3 the attacker's key under its kid", attacker.svid(t, asVictim), unknownKey},
				{"AK-3 the attacker's key under the victim's kid", attacker.svid(t, asVictim, header("kid", kidOf(victim))), badSignature},
				{"AK-3 the attacker's key without kid", attacker.svid(t, asVictim, withoutHeader("kid")), badSignature},
				{"AK-3 the attacker's iss beside it", attacker.svid(t, asVictim, claim("iss", attacker.TrustDomain().IDString())), unknownKey},
				{"AK-3 the attacker's WIT key", byWIT, unknownKey},
				{"AK-3 the attacker's name with the victim's as path", attacker.svid(t, claim("sub", attacker.idOf("/"+victim.TrustDomain().Name()+"/a"))), accepted},
			})
		})
	}
}

// F7, AK-4: the same kid in two bundles names two keys, each for its own.
func TestJWTSameKIDInTwoTrustDomains(t *testing.T) {
	bothWays(t, devca.Options{}, func(t *testing.T, victim, attacker domain, _ bundles) {
		shared := map[string]any{"kid": "shared"}
		b := bundles{
			victim.TrustDomain():   bundleOf(t, victim.TrustDomain(), with(entriesOf(t, victim.Bundle()), shared)...),
			attacker.TrustDomain(): bundleOf(t, attacker.TrustDomain(), with(entriesOf(t, attacker.Bundle()), shared)...),
		}
		asVictim, kid := claim("sub", victim.idOf("/a")), header("kid", "shared")
		run(t, newVerifier(t, b), []jwtRow{
			{"AK-4 the victim under the shared kid", victim.svid(t, kid), accepted},
			{"AK-4 the attacker for itself under the shared kid", attacker.svid(t, kid), accepted},
			{"AK-4 the attacker for the victim under the shared kid", attacker.svid(t, asVictim, kid), badSignature},
		})
	})
}

// F7: a key that two bundles share counts in each because that bundle has it, and
// no longer than that.
func TestJWTSameKeyInTwoTrustDomains(t *testing.T) {
	bothWays(t, devca.Options{}, func(t *testing.T, victim, attacker domain, b bundles) {
		td := victim.TrustDomain()
		both := slices.Concat(ofUse(entriesOf(t, victim.Bundle()), bundle.UseJWT), ofUse(entriesOf(t, attacker.Bundle()), bundle.UseJWT))
		asVictim := attacker.svid(t, claim("sub", victim.idOf("/a")))
		run(t, newVerifier(t, b), []jwtRow{{"F7 the key in the attacker's bundle only", asVictim, unknownKey}})
		b[td] = bundleOf(t, td, both...)
		run(t, newVerifier(t, b), []jwtRow{{"F7 the key in both bundles", asVictim, accepted}})
		b[td] = victim.snapshot(t)
		run(t, newVerifier(t, b), []jwtRow{{"F7 the key withdrawn from the victim's bundle", asVictim, unknownKey}})
	})
}

func TestX509AcrossTrustDomains(t *testing.T) {
	for _, intermediate := range []bool{false, true} {
		bothWays(t, devca.Options{Intermediate: intermediate}, func(t *testing.T, victim, attacker domain, b bundles) {
			asVictim := uris(victim.idOf("/a"))
			forged := attacker.chain(t, asVictim)
			// A CA of the attacker that bears the victim's name.
			inDisguise, err := attacker.Issuer().Intermediate(uris(victim.TrustDomain().IDString()), func(c *x509.Certificate) {
				c.Subject = victim.Issuer().Certificate().Subject
			})
			if err != nil {
				t.Fatal(err)
			}
			disguised, err := inDisguise.X509SVID("/a", asVictim)
			if err != nil {
				t.Fatal(err)
			}
			victims := victim.chain(t)
			runX509(t, newVerifier(t, b), []x509Row{
				{"AK-3 the victim's own CA", victims, accepted},
				{"AK-3 the attacker for itself", attacker.chain(t), accepted},
				{"MT-9 the attacker's CA for the victim", forged, chainBad},
				{"MT-9 the attacker's CA for the victim, its root sent", append(slices.Clone(forged), attacker.Roots()[0]), chainBad},
				{"MT-9 the attacker's CA for the victim, the victim's certificates sent", slices.Concat(forged, victims[1:], victim.Roots()), chainBad},
				{"AK-3 the attacker's CA with the victim's name", disguised.Certificates, chainBad},
				{"AK-3 the attacker's CA with the victim's name, the victim's root sent", append(slices.Clone(disguised.Certificates), victim.Roots()[0]), chainBad},
				{"XS-1 both names in one certificate", attacker.chain(t, uris(attacker.idOf("/a"), victim.idOf("/a"))), uriCount},
			})
		})
	}
}

// XS-17: an intermediate that the victim cross-signed for the attacker is no
// hole: what the victim's CA signed is the victim's doing, and what it did not
// sign stays outside.
func TestX509CrossSigned(t *testing.T) {
	victim, attacker := newCA(t, "example.org"), newCA(t, "b.example")
	key := newKey(t)
	plain := attacker.below(t, key)
	crossSigned := ca{"example.org", signed(t, plain.cert, victim.cert, key.Public(), victim.key), key}
	leaf := crossSigned.leaf(t)
	runX509(t, anchored(t, victim), []x509Row{
		{"XS-15 under the CA that the victim signed", chain{leaf, crossSigned.cert}, accepted},
		{"XS-11 under the same CA as the attacker signed it", chain{leaf, plain.cert}, chainBad},
		{"XS-11 the same with the attacker's root", chain{leaf, plain.cert, attacker.cert}, chainBad},
	})
}

// Names that look like the victim's are other trust domains, with or without a
// bundle of their own.
func TestLookAlikeTrustDomains(t *testing.T) {
	victim := newDomain(t, "a.example", devca.Options{})
	b := bundlesOf(t, victim)
	for _, name := range []string{"a.example.evil", "xa.example", "a-example", "a.exampl", "example", "a..example", "a.example."} {
		// Go reads no certificate with the last two names, so its root has none.
		attacker := newDomain(t, name, devca.Options{MutateRoot: uris()})
		v := newVerifier(t, b)
		run(t, v, []jwtRow{{"AK-6 " + name + " unknown", attacker.svid(t), want{"td_unknown", "JS-13"}}})
		known := bundles{victim.TrustDomain(): b[victim.TrustDomain()], attacker.TrustDomain(): attacker.snapshot(t)}
		id := judgeJWT(t, newVerifier(t, known), svidgate.JWTPresentation{Assertion: attacker.svid(t)}, accepted)
		if id.SPIFFEID().TrustDomain() == victim.TrustDomain() || id.SPIFFEID() != spiffeid.RequireFromString("spiffe://"+name+"/a") {
			t.Errorf("AK-6 %s became %s", name, id.SPIFFEID())
		}
	}
}
