package inspect

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// spiffeUses are the values of use that only a bundle has.
var spiffeUses = []string{string(bundle.UseX509), string(bundle.UseJWT), string(bundle.UseWIT)}

// inspectKeys tells a SPIFFE bundle, which is a JWK Set with something more, from
// any other.
func inspectKeys(members strictjson.Members, document []byte, now time.Time) (*Report, error) {
	v, _ := members.Get("keys")
	entries, ok := v.Items()
	if !ok {
		return nil, errors.New("this has a member keys that is not an array, so it is no JWK Set and no bundle (BU-2)")
	}
	for _, name := range []string{"spiffe_sequence", "spiffe_refresh_hint"} {
		if _, ok := members.Get(name); ok {
			return inspectBundle(members, entries, document, name+" is there", now), nil
		}
	}
	for _, entry := range entries {
		if fields, err := entry.Object(); err == nil && slices.Contains(spiffeUses, text(fields, "use")) {
			return inspectBundle(members, entries, document, "an entry of keys has the use "+text(fields, "use"), now), nil
		}
	}
	return inspectKeySet(entries, document), nil
}

// inspectBundle reads a bundle as a server does that is configured with it.
func inspectBundle(members strictjson.Members, entries []strictjson.Value, document []byte, because string, now time.Time) *Report {
	r := &Report{Kind: Bundle, Name: "SPIFFE bundle", Because: because}
	var top Section
	for _, name := range []string{"spiffe_sequence", "spiffe_refresh_hint"} {
		if v, ok := members.Get(name); ok {
			top.add(name, shown(v))
		}
	}
	top.add("entries", fmt.Sprint(len(entries)))
	snapshot, err := bundle.Parse(trustDomainOf(entries), document, now)
	if err != nil {
		refused := &bundle.DocumentError{}
		if errors.As(err, &refused) {
			r.remark(refused.Rule, "a server refuses the whole document: "+oauth.Shown(refused.Why))
		}
		r.Sections = []Section{top}
		return r
	}
	top.add("trust domain", "a bundle does not name its own", "BU-18")
	r.Sections = append(r.Sections, top)
	at := placesOf(entries)
	usable := snapshot.Entries()
	slices.SortStableFunc(usable, func(a, b bundle.Entry) int { return cmp.Compare(at[placeOf(a)], at[placeOf(b)]) })
	for i, e := range usable {
		if i == mostMembers {
			break
		}
		s := Section{Title: fmt.Sprintf("keys[%d]: %s, %s", at[placeOf(e)], e.Use, e.Type)}
		if e.KeyID != "" {
			s.add("kid", oauth.Shown(e.KeyID))
		}
		if e.Subject != "" {
			s.add("subject", e.Subject)
		}
		if !e.NotAfter.IsZero() {
			s.end("not after", e.NotAfter, now)
		}
		s.add("SHA-256", e.Fingerprint)
		r.Sections = append(r.Sections, s)
	}
	for _, l := range snapshot.LeftOut() {
		r.remark(l.Rule, fmt.Sprintf("keys[%d] verifies nothing: %s", l.Index, l.Why))
	}
	for _, n := range snapshot.Notes() {
		where := "the document"
		if n.Index >= 0 {
			where = fmt.Sprintf("keys[%d]", n.Index)
		}
		r.remark(n.Rule, where+": "+n.Why)
	}
	return r
}

// trustDomainOf is the trust domain of the first anchor that bears one, so that
// only anchors of another than the rest are remarked on (XS-15).
func trustDomainOf(entries []strictjson.Value) spiffeid.TrustDomain {
	for i, entry := range entries {
		if i == mostMembers {
			break
		}
		jwk, err := jose.ParseCertificateJWK([]byte(entry))
		if err != nil {
			continue
		}
		uris, _ := strictid.URINames(jwk.Certificate)
		for _, uri := range uris {
			if id, err := strictid.Parse(uri); err == nil {
				return id.TrustDomain()
			}
		}
	}
	return spiffeid.RequireTrustDomainFromString("inspect.invalid")
}

// inspectKeySet reads a JWK Set as an API reads that of an issuer.
func inspectKeySet(entries []strictjson.Value, document []byte) *Report {
	r := &Report{Kind: KeySet, Name: "JWK Set", Because: "it has an array keys, and none of the uses and members of a SPIFFE bundle"}
	r.Sections = []Section{{Facts: []Fact{{Name: "entries", Value: fmt.Sprint(len(entries))}}}}
	for i, entry := range entries {
		if i == mostMembers {
			break
		}
		r.Sections = append(r.Sections, keySection(fmt.Sprintf("keys[%d]", i), []byte(entry)))
	}
	set, err := resource.ParseKeySet(document)
	if err != nil {
		r.remark("GL-11", "an API refuses the whole document: "+oauth.Shown(err.Error()))
		return r
	}
	for _, l := range set.LeftOut() {
		r.remark(l.Rule, fmt.Sprintf("keys[%d] verifies no access token: %s", l.Index, oauth.Shown(l.Why)))
	}
	return r
}

func keySection(title string, raw []byte) Section {
	s := Section{Title: title}
	jwk, err := jose.ParseJWK(raw)
	if err != nil {
		s.add("key", "cannot be read: "+oauth.Shown(err.Error()))
		return s
	}
	s.add("type", jose.KeyType(jwk.Key))
	for _, m := range []struct{ name, value string }{{"kid", jwk.KeyID}, {"use", jwk.Use}, {"alg", string(jwk.Algorithm)}} {
		if m.value != "" {
			s.add(m.name, oauth.Shown(m.value))
		}
	}
	if sum, err := jose.Thumbprint(jwk.Key); err == nil {
		s.add("thumbprint", sum, "RFC 7638")
	}
	return s
}

func inspectKey(members strictjson.Members, raw []byte) (*Report, error) {
	if text(members, "kty") == "oct" {
		return nil, credential.ErrPrivateKey
	}
	return &Report{Kind: Key, Name: "public key (JWK)", Because: "it has kty and no private member", Sections: []Section{keySection("", raw)}}, nil
}

// anchorRemarks judges a CA certificate as an anchor of a bundle that holds
// nothing else.
func anchorRemarks(r *Report, index int, cert *x509.Certificate, now time.Time) {
	kty := map[x509.PublicKeyAlgorithm]string{x509.RSA: "RSA", x509.ECDSA: "EC", x509.Ed25519: "OKP"}[cert.PublicKeyAlgorithm]
	entry := fmt.Sprintf(`{"kty":%q,"use":"x509-svid","x5c":[%q]}`, kty, base64.StdEncoding.EncodeToString(cert.Raw))
	td := trustDomainOf([]strictjson.Value{strictjson.Value(entry)})
	snapshot, err := bundle.Parse(td, []byte(`{"keys":[`+entry+`]}`), now)
	if err != nil { // cannot be: the document is ours
		return
	}
	for _, l := range snapshot.LeftOut() {
		r.remark(l.Rule, fmt.Sprintf("certificate %d is no anchor for a bundle: %s", index+1, oauth.Shown(l.Why)))
	}
	if !cert.NotAfter.After(now) {
		r.remark("XS-22", fmt.Sprintf("certificate %d has expired", index+1))
	}
}
