package bundle

import (
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"reflect"
	"slices"
	"testing"
)

func TestEntries(t *testing.T) {
	ca := newAuthority(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{Organization: []string{"evil\x1b[31m\n\"CA"}}
	})
	key := ecKey(t, elliptic.P384()).Public()
	document := documentOf(t, nil,
		keyEntry(t, UseWIT, "w", ecKey(t, elliptic.P256()).Public()), anchorEntry(t, ca.cert),
		keyEntry(t, UseJWT, "b", key).with(entry{"alg": "ES384"}), keyEntry(t, UseJWT, "a\n", key),
		keyEntry(t, UseJWT, "a", key).with(entry{"use": "sig"}))
	snapshot, err := Parse(trustDomain(t, "example.org"), document, epoch)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum, certSum := sha256.Sum256(der), sha256.Sum256(ca.cert.Raw)
	entries := snapshot.Entries()
	if len(entries) != 4 {
		t.Fatalf("%d entries: %+v", len(entries), entries)
	}
	wanted := []Entry{
		{Use: UseJWT, KeyID: "a?", Type: "EC P-384", Fingerprint: hex.EncodeToString(sum[:])},
		{Use: UseJWT, KeyID: "b", Type: "EC P-384", Algorithm: "ES384", Fingerprint: hex.EncodeToString(sum[:])},
		{Use: UseWIT, KeyID: "w", Type: "EC P-256", Fingerprint: entries[2].Fingerprint},
		{
			Use: UseX509, Type: "EC P-256", Fingerprint: hex.EncodeToString(certSum[:]),
			Subject: entries[3].Subject, NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter,
		},
	}
	if !reflect.DeepEqual(entries, wanted) {
		t.Errorf("entries %+v\nwant    %+v", entries, wanted)
	}
	if subject := entries[3].Subject; subject == "" || slices.ContainsFunc([]rune(subject), func(r rune) bool { return r < ' ' }) {
		t.Errorf("AK-31 the subject is %q", subject)
	}
}

func TestCompare(t *testing.T) {
	td := trustDomain(t, "example.org")
	key, otherKey := ecKey(t, elliptic.P256()).Public(), ecKey(t, elliptic.P256()).Public()
	a, b := keyEntry(t, UseJWT, "a", key), keyEntry(t, UseJWT, "b", otherKey)
	anchor, renewed := anchorEntry(t, newAuthority(t, nil).cert), anchorEntry(t, newAuthority(t, nil).cert)
	seq := map[string]any{"spiffe_sequence": 5}
	tests := []struct {
		name           string
		before, after  []byte // nil: no bundle
		added, removed []string
		sequence       [2]Sequence
	}{
		{"the same", documentOf(t, seq, a, b), documentOf(t, seq, a, b), nil, nil, [2]Sequence{{5, true}, {5, true}}},
		{"another order", documentOf(t, nil, a, b), documentOf(t, nil, b, a), nil, nil, [2]Sequence{}},
		{"the sequence alone", documentOf(t, nil, a), documentOf(t, seq, a), nil, nil, [2]Sequence{{}, {5, true}}},
		{"a sequence of 0 is one", documentOf(t, nil, a), documentOf(t, map[string]any{"spiffe_sequence": 0}, a), nil, nil, [2]Sequence{{}, {0, true}}},
		{"a key added", documentOf(t, nil, a), documentOf(t, nil, b, a), []string{"jwt-svid b"}, nil, [2]Sequence{}},
		{"a key removed", documentOf(t, nil, a, b), documentOf(t, nil, b), nil, []string{"jwt-svid a"}, [2]Sequence{}},
		{"a key under another kid", documentOf(t, nil, a), documentOf(t, nil, a.with(entry{"kid": "c"})), []string{"jwt-svid c"}, []string{"jwt-svid a"}, [2]Sequence{}},
		{"another key under a kid", documentOf(t, nil, a), documentOf(t, nil, b.with(entry{"kid": "a"})), []string{"jwt-svid a"}, []string{"jwt-svid a"}, [2]Sequence{}},
		{"another use", documentOf(t, nil, a), documentOf(t, nil, a.with(entry{"use": "wit-svid"})), []string{"wit-svid a"}, []string{"jwt-svid a"}, [2]Sequence{}},
		{"another alg", documentOf(t, nil, a), documentOf(t, nil, a.with(entry{"alg": "ES256"})), []string{"jwt-svid a"}, []string{"jwt-svid a"}, [2]Sequence{}},
		{"an anchor of the same subject", documentOf(t, nil, anchor), documentOf(t, nil, renewed), []string{"x509-svid "}, []string{"x509-svid "}, [2]Sequence{}},
		{"none before", nil, documentOf(t, seq, b, anchor, a), []string{"jwt-svid a", "jwt-svid b", "x509-svid "}, nil, [2]Sequence{{}, {5, true}}},
		{"none after", documentOf(t, seq, b, a), nil, nil, []string{"jwt-svid a", "jwt-svid b"}, [2]Sequence{{5, true}, {}}},
		{"none at all", nil, nil, nil, nil, [2]Sequence{}},
	}
	short := func(entries []Entry) []string {
		var all []string
		for _, e := range entries {
			all = append(all, string(e.Use)+" "+e.KeyID)
		}
		return all
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parsed := func(document []byte) *Snapshot {
				if document == nil {
					return nil
				}
				return must(Parse(td, document, epoch))
			}
			before, after := parsed(tt.before), parsed(tt.after)
			d := Compare(before, after)
			if !slices.Equal(short(d.Added), tt.added) || !slices.Equal(short(d.Removed), tt.removed) || [2]Sequence{d.Before, d.After} != tt.sequence {
				t.Errorf("%+v", d)
			}
			if none := tt.added == nil && tt.removed == nil && tt.sequence[0] == tt.sequence[1]; d.None() != none {
				t.Errorf("None is %v", d.None())
			}
			back := Compare(after, before)
			if !reflect.DeepEqual(back.Added, d.Removed) || !reflect.DeepEqual(back.Removed, d.Added) {
				t.Errorf("the other way round: %+v", back)
			}
		})
	}
}
