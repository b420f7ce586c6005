package bundle

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func TestParseDocument(t *testing.T) {
	td := trustDomain(t, "example.org")
	key, other := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	jwt := keyEntry(t, UseJWT, "a", key.Public())
	good := documentOf(t, nil, jwt)
	many := func(n int) []any {
		entries := make([]any, n)
		for i := range entries {
			entries[i] = entry{"use": "sig"}
		}
		return entries
	}
	padded := func(size int) []byte {
		return append(slices.Clone(good), bytes.Repeat([]byte(" "), size-len(good))...)
	}
	tests := []struct {
		name     string
		document []byte
		rule     string // empty: accepted
	}{
		{"BU-1 a JWK set", good, ""},
		{"BU-1 an array", []byte(`[` + string(good) + `]`), "BU-1"},
		{"BU-1 invalid UTF-8", bytes.Replace(good, []byte(`"a"`), []byte("\"\xff\""), 1), "BU-1"},
		{"BU-1 cut off", good[:len(good)-1], "BU-1"},
		{"BU-1 empty", nil, "BU-1"},
		{"BU-1 data after it", append(slices.Clone(good), "{}"...), "BU-1"},
		{"BU-1 a byte order mark", append([]byte("\xef\xbb\xbf"), good...), "BU-1"},
		{"GL-11 keys twice", []byte(`{"keys":[],"keys":[]}`), "BU-1"},
		{"GL-11 a member twice in an entry", []byte(`{"keys":[{"use":"sig","use":"jwt-svid"}]}`), "BU-1"},
		{"GL-11 nested 17 deep", []byte(`{"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `,"keys":[]}`), "BU-1"},
		{"GL-11 nested 16 deep", []byte(`{"x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `,"keys":[]}`), ""},
		{"BU-2 keys missing", []byte(`{}`), "BU-2"},
		{"BU-2 keys null", []byte(`{"keys":null}`), "BU-2"},
		{"BU-2 keys an object", []byte(`{"keys":{}}`), "BU-2"},
		{"BU-2 Keys in another case", []byte(`{"Keys":[]}`), "BU-2"},
		{"BU-3 keys empty", []byte(`{"keys":[]}`), ""},
		{"BE-9 exactly 1 MiB", padded(1 << 20), ""},
		{"BE-9 one byte more", padded(1<<20 + 1), "BE-9"},
		{"FX-1 a thousand entries", documentOf(t, nil, many(1000)...), ""},
		{"FX-1 one entry more", documentOf(t, nil, many(1001)...), "FX-1"},
		{"BU-11 one kid for two jwt-svid keys", documentOf(t, nil, jwt, keyEntry(t, UseJWT, "a", other.Public())), "BU-11"},
		{"BU-11 one kid for two wit-svid keys", documentOf(t, nil, keyEntry(t, UseWIT, "a", key.Public()), keyEntry(t, UseWIT, "a", other.Public())), "BU-11"},
		{"BU-11 one kid for two keys of two uses", documentOf(t, nil, jwt, keyEntry(t, UseWIT, "a", other.Public())), "BU-11"},
		{"BU-11 two kids for two keys", documentOf(t, nil, jwt, keyEntry(t, UseJWT, "A", other.Public())), ""},
		{"BU-11 the same entry twice", documentOf(t, nil, jwt, jwt), ""},
		{"BU-7 the kid of an anchor is nobody's", documentOf(t, nil, jwt, anchorEntry(t, newAuthority(t, nil).cert).with(entry{"kid": "a"})), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(td, tt.document, epoch)
			if tt.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
				if s.TrustDomain() != td || !s.FetchedAt().Equal(epoch) || s.AnchorPool() == nil {
					t.Errorf("trust domain %v, fetched at %v, pool %v", s.TrustDomain(), s.FetchedAt(), s.AnchorPool())
				}
				return
			}
			refused, ok := errors.AsType[*DocumentError](err)
			if !ok || refused.Rule != tt.rule || s != nil {
				t.Fatalf("got %v, want a refusal by %s", err, tt.rule)
			}
			if !strings.HasPrefix(err.Error(), "bundle: ") || !strings.Contains(err.Error(), tt.rule) {
				t.Errorf("text %q", err)
			}
		})
	}
}

// An empty bundle is valid and trusts nobody: not the system's roots either.
func TestParseBU3Nothing(t *testing.T) {
	td := trustDomain(t, "example.org")
	for name, document := range map[string][]byte{
		"keys empty":     []byte(`{"keys":[]}`),
		"nothing usable": documentOf(t, nil, entry{"use": "sig"}, 5, "x", []int{}),
	} {
		s, err := Parse(td, document, epoch)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, use := range []Use{UseX509, UseJWT, UseWIT} {
			if s.Supports(use) || len(s.Keys(use)) != 0 {
				t.Errorf("BU-12 %s: supports %s", name, use)
			}
		}
		if pool := s.AnchorPool(); pool == nil || len(s.Anchors()) != 0 {
			t.Errorf("XS-12 %s: pool %v with %d anchors", name, pool, len(s.Anchors()))
		}
	}
}

func TestParseBU18NeedsAName(t *testing.T) {
	document := []byte(`{"keys":[]}`)
	if _, err := Parse(trustDomain(t, "example.org"), document, epoch); err != nil {
		t.Error(err)
	}
	if _, err := Parse(spiffeid.TrustDomain{}, document, epoch); !errors.Is(err, errNoTrustDomain) {
		t.Errorf("no trust domain: %v", err)
	}
}

func TestParseBU12Supports(t *testing.T) {
	td := trustDomain(t, "example.org")
	s, err := Parse(td, documentOf(t, nil, anchorEntry(t, newAuthority(t, nil).cert)), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Supports(UseX509) || s.Supports(UseJWT) || s.Supports(UseWIT) {
		t.Error("a bundle with anchors alone supports x509-svid alone")
	}
}

func TestParseSequence(t *testing.T) {
	tests := []struct {
		name, value string
		want        uint64
		ok, noted   bool
	}{
		{"BU-13 absent", "", 0, false, false},
		{"BU-13 zero", "0", 0, true, false},
		{"BU-13 2^53+1 is no float", "9007199254740993", 9007199254740993, true, false},
		{"BU-13 2^64-1", "18446744073709551615", math.MaxUint64, true, false},
		{"BU-13 2^64", "18446744073709551616", 0, false, true},
		{"BU-13 negative", "-1", 0, false, true},
		{"BU-13 a fraction", "1.5", 0, false, true},
		{"BU-13 an exponent", "1e3", 0, false, true},
		{"BU-13 a string", `"7"`, 0, false, true},
		{"BU-13 null", "null", 0, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parseWith(t, "spiffe_sequence", tt.value)
			got, ok := s.Sequence()
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %d, %v", got, ok)
			}
			checkDocumentNote(t, s, "BU-13", tt.noted)
		})
	}
}

func TestParseRefreshHint(t *testing.T) {
	const longest = math.MaxInt64 / time.Second * time.Second
	tests := []struct {
		name, value string
		want        time.Duration
		noted       bool
	}{
		{"BU-15 absent", "", 300 * time.Second, false},
		{"BU-15 zero", "0", 300 * time.Second, false},
		{"BU-15 negative", "-5", 300 * time.Second, false},
		{"BU-15 one second", "1", time.Second, false},
		{"BU-15 four weeks, not clamped here", "2419200", 2419200 * time.Second, false},
		{"BU-15 more than a duration holds", "9223372036854775807", longest, false},
		{"BU-15 more than an int64 holds", "99999999999999999999999", longest, false},
		{"BU-15 a fraction", "60.5", 300 * time.Second, true},
		{"BU-15 a string", `"60"`, 300 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parseWith(t, "spiffe_refresh_hint", tt.value)
			if s.RefreshHint() != tt.want {
				t.Errorf("got %v, want %v", s.RefreshHint(), tt.want)
			}
			checkDocumentNote(t, s, "BU-15", tt.noted)
		})
	}
}

// Only the members with the prefix count, and no other is in the way.
func TestParseBU17OtherMembers(t *testing.T) {
	s, err := Parse(trustDomain(t, "example.org"), []byte(`{"sequence":7,"refresh_hint":60,"x":{"y":[1,null]},"keys":[]}`), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Sequence(); ok || s.RefreshHint() != 300*time.Second || len(s.Notes()) != 0 {
		t.Errorf("members without the prefix counted: %+v", s)
	}
	s, err = Parse(trustDomain(t, "example.org"), []byte(`{"spiffe_sequence":7,"spiffe_refresh_hint":60,"keys":[]}`), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := s.Sequence(); !ok || n != 7 || s.RefreshHint() != time.Minute {
		t.Errorf("members with the prefix did not count: %+v", s)
	}
}

// BU-18, BU-19, AV-8: the name is the caller's, and two snapshots share no key.
func TestParseBU18NameIsTheCallers(t *testing.T) {
	a, b := trustDomain(t, "a.test"), trustDomain(t, "b.test")
	documentA, documentB := jwtDocument(t, nil, "same"), jwtDocument(t, nil, "same")
	ofA, errA := Parse(a, documentA, epoch)
	ofB, errB := Parse(b, documentB, epoch)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if ofA.TrustDomain() != a || ofB.TrustDomain() != b {
		t.Error("BU-18 a snapshot has another name than it was given")
	}
	keyA, okA := ofA.Key(UseJWT, "same")
	keyB, okB := ofB.Key(UseJWT, "same")
	if !okA || !okB || equalKeys(keyA.Public, keyB.Public) || len(ofA.Keys(UseJWT)) != 1 {
		t.Error("BU-19 the bundles of two trust domains were mixed")
	}
}

func TestContentDigest(t *testing.T) {
	td := trustDomain(t, "example.org")
	jwt := keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public())
	wit := keyEntry(t, UseWIT, "b", ecKey(t, elliptic.P256()).Public())
	anchor := anchorEntry(t, newAuthority(t, nil).cert)
	digest := func(members map[string]any, entries ...any) [32]byte {
		s, err := Parse(td, documentOf(t, members, entries...), epoch)
		if err != nil {
			t.Fatal(err)
		}
		return s.digest
	}
	base := digest(nil, jwt, wit, anchor)
	for name, tt := range map[string]struct {
		digest [32]byte
		same   bool
	}{
		"other order":       {digest(nil, anchor, jwt, wit), true},
		"other sequence":    {digest(map[string]any{"spiffe_sequence": 3}, jwt, wit, anchor), true},
		"one entry twice":   {digest(nil, jwt, wit, anchor, anchor), true},
		"an entry left out": {digest(nil, jwt, entry{"use": "sig"}, wit, anchor), true},
		"one key fewer":     {digest(nil, jwt, anchor), false},
		"one anchor fewer":  {digest(nil, jwt, wit), false},
		"another kid":       {digest(nil, jwt.with(entry{"kid": "c"}), wit, anchor), false},
		"another use":       {digest(nil, jwt.with(entry{"use": "wit-svid"}), wit, anchor), false},
		"another alg":       {digest(nil, jwt.with(entry{"alg": "ES256"}), wit, anchor), false},
		"another key":       {digest(nil, keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public()), wit, anchor), false},
	} {
		if (tt.digest == base) != tt.same {
			t.Errorf("%s: same is %v, want %v", name, !tt.same, tt.same)
		}
	}
}

// parseWith parses an empty bundle with one member; none for an empty value.
func parseWith(t *testing.T, member, value string) *Snapshot {
	t.Helper()
	document := `{"keys":[]}`
	if value != "" {
		document = fmt.Sprintf(`{%q:%s,"keys":[]}`, member, value)
	}
	s, err := Parse(trustDomain(t, "example.org"), []byte(document), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func checkDocumentNote(t *testing.T, s *Snapshot, rule string, want bool) {
	t.Helper()
	got := slices.ContainsFunc(s.Notes(), func(n Note) bool { return n.Index == -1 && n.Rule == rule })
	if got != want {
		t.Errorf("noted %v, want %v: %v", got, want, s.Notes())
	}
}
