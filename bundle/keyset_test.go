package bundle

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A said source says always the same.
type said struct {
	document string
	err      error
}

func (s said) Origin() string { return "https://op.example.com/keys" }

func (s said) Fetch(context.Context) (Document, error) {
	return Document{Bytes: []byte(s.document)}, s.err
}

// F6: the same keys in the flavours that are about. As a SPIFFE bundle only an entry
// with a use of SPIFFE's counts; as a plain JWK Set, which the operator has to say,
// all that are not for something else count, and for JWT-SVIDs only.
func TestF6KeySets(t *testing.T) {
	const key = `"kty":"EC","crv":"P-256","kid":"KID","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"`
	entry := func(kid, more string) string {
		return "{" + strings.Replace(key, "KID", kid, 1) + more + "}"
	}
	document := `{"spiffe_sequence":7,"keys":[` + strings.Join([]string{
		entry("none", ``), entry("sig", `,"use":"sig","alg":"ES256"`), entry("jwt", `,"use":"jwt-svid"`),
		entry("wit", `,"use":"wit-svid"`), entry("enc", `,"use":"enc"`), entry("number", `,"use":1`), `"no object"`,
	}, ",") + `]}`
	td := spiffeid.RequireTrustDomainFromString("example.org")
	kids := func(s *Snapshot, use Use) string {
		var all []string
		for _, k := range s.Keys(use) {
			all = append(all, k.ID)
		}
		return strings.Join(all, " ")
	}
	for _, row := range []struct {
		name     string
		source   Source
		jwt, wit string
		leftOut  int
		sequence bool
	}{
		{"as a SPIFFE bundle", said{document: document}, "jwt", "wit", 5, true},
		{"as a JWK Set", NewKeySet(said{document: document}), "none sig jwt", "", 4, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			set, err := NewSet(Config{TrustDomains: []TrustDomain{{Name: td, Source: row.source}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := set.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			s, err := set.Bundle(td)
			if err != nil {
				t.Fatal(err)
			}
			if got := kids(s, UseJWT); got != row.jwt {
				t.Errorf("keys for JWT-SVIDs: %q, want %q", got, row.jwt)
			}
			if got := kids(s, UseWIT); got != row.wit {
				t.Errorf("keys for WIT-SVIDs: %q, want %q", got, row.wit)
			}
			if len(s.LeftOut()) != row.leftOut || s.Supports(UseX509) {
				t.Errorf("left out: %v", s.LeftOut())
			}
			if _, ok := s.Sequence(); ok != row.sequence {
				t.Errorf("a sequence: %t", ok)
			}
		})
	}
}

func TestKeySetRefused(t *testing.T) {
	broken := errors.New("nobody answers")
	for _, row := range []struct {
		name, want string
		source     said
	}{
		{"BU-1 no object", "BU-1", said{document: `[]`}},
		{"BU-2 no keys", "BU-2", said{document: `{}`}},
		{"FX-1 too many", "FX-1", said{document: `{"keys":[` + strings.Repeat("{},", maxEntries) + `{}]}`}},
		{"the source fails", "nobody answers", said{err: broken}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, err := NewKeySet(row.source).Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) || len(d.Bytes) > 0 {
				t.Errorf("%v, %d bytes", err, len(d.Bytes))
			}
		})
	}
	if d, err := NewKeySet(said{document: `{"keys":[]}`}).Fetch(t.Context()); err != nil || string(d.Bytes) != `{"keys":[]}` {
		t.Errorf("BU-3 no keys at all: %q, %v", d.Bytes, err)
	}
	if (said{}).Origin() == NewKeySet(said{}).Origin() {
		t.Error("BE-15 what was kept in one form would be taken for the other")
	}
}
