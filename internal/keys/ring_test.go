package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/jose"
)

var moment = time.Date(2026, 11, 21, 23, 0, 0, 0, time.FixedZone("east", 3600))

func clock() time.Time { return moment }

func open(t testing.TB, path string, alg jose.Algorithm) *Ring {
	t.Helper()
	ring, err := Open(Config{File: path, Algorithm: alg, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func keyFile(t testing.TB) string { return filepath.Join(t.TempDir(), "svidgate-keys.json") }

// namesBeside are those in the folder of a file.
func namesBeside(t testing.TB, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// entries are the members of each key that the ring publishes.
func entries(t testing.TB, ring *Ring) []map[string]any {
	t.Helper()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatalf("%v: %s", err, ring.JWKS())
	}
	return set.Keys
}

func TestFirstStartMakesAKeyAndRestartKeepsIt(t *testing.T) {
	for _, alg := range Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			path := keyFile(t)
			first := open(t, path, alg)
			if first.Signer().Algorithm != alg {
				t.Errorf("algorithm %s", first.Signer().Algorithm)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			before, _ := os.ReadFile(path)
			again := open(t, path, alg)
			after, _ := os.ReadFile(path)
			if again.Signer().KeyID != first.Signer().KeyID || string(again.JWKS()) != string(first.JWKS()) || string(before) != string(after) {
				t.Errorf("%s after %s", again, first)
			}
			if diff := cmp.Diff([]string{"svidgate-keys.json", "svidgate-keys.json.lock"}, namesBeside(t, path)); diff != "" {
				t.Errorf("files left behind: %s", diff)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	path := keyFile(t)
	ring := open(t, path, "")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	entry := got["keys"].([]any)[0].(map[string]any)
	if der, err := base64.StdEncoding.DecodeString(entry["private_key"].(string)); err != nil || len(der) == 0 {
		t.Errorf("private_key: %v", err)
	}
	delete(entry, "private_key")
	want := map[string]any{"version": 2.0, "cache_for": 300.0, "keys": []any{map[string]any{
		"kid": ring.Signer().KeyID, "alg": "ES256", "state": "active", "created": "2026-11-21T22:00:00Z",
		"activated": "2026-11-21T22:00:00Z", "longest_token": 86400.0,
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// KR-1, KR-4: exactly these members, and none that only a private key has.
func TestKR1PublicMembersOnly(t *testing.T) {
	want := map[jose.Algorithm]struct {
		members []string
		fixed   map[string]string
	}{
		jose.ES256: {[]string{"alg", "crv", "kid", "kty", "use", "x", "y"}, map[string]string{"kty": "EC", "crv": "P-256"}},
		jose.EdDSA: {[]string{"alg", "crv", "kid", "kty", "use", "x"}, map[string]string{"kty": "OKP", "crv": "Ed25519"}},
		jose.PS256: {[]string{"alg", "e", "kid", "kty", "n", "use"}, map[string]string{"kty": "RSA", "e": "AQAB"}},
		jose.RS256: {[]string{"alg", "e", "kid", "kty", "n", "use"}, map[string]string{"kty": "RSA", "e": "AQAB"}},
	}
	for _, alg := range Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			path := keyFile(t)
			ring := open(t, path, alg)
			all := entries(t, ring)
			if len(all) != 1 {
				t.Fatalf("%d keys", len(all))
			}
			var names []string
			for name := range all[0] {
				names = append(names, name)
			}
			slices.Sort(names)
			if diff := cmp.Diff(want[alg].members, names); diff != "" {
				t.Error(diff)
			}
			fixed := want[alg].fixed
			fixed["alg"], fixed["use"], fixed["kid"] = string(alg), "sig", ring.Signer().KeyID
			for name, value := range fixed {
				if all[0][name] != value {
					t.Errorf("%s is %v, not %s", name, all[0][name], value)
				}
			}
			id, err := jose.Thumbprint(ring.Signer().Key.Public())
			if err != nil || id != ring.Signer().KeyID {
				t.Errorf("kid %s, thumbprint %s, %v", ring.Signer().KeyID, id, err)
			}
			for _, secret := range secretsOf(t, path) {
				if strings.Contains(string(ring.JWKS()), secret) {
					t.Error("a private number is published")
				}
			}
			switch public := ring.Signer().Key.Public().(type) {
			case *rsa.PublicKey:
				if public.N.BitLen() != 3072 {
					t.Errorf("RSA of %d bits", public.N.BitLen())
				}
			case *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("a key of type %T", public)
			}
		})
	}
}

// secretsOf are the spellings that a private number of the file's first key
// could have where it must not be.
func secretsOf(t testing.TB, path string) []string {
	t.Helper()
	d, _, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var numbers [][]byte
	switch k := d.keys[0].private.(type) {
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, d)
	case ed25519.PrivateKey:
		numbers = append(numbers, k.Seed())
	case *rsa.PrivateKey:
		numbers = append(numbers, k.D.Bytes(), k.Primes[0].Bytes(), k.Primes[1].Bytes())
	}
	data, _ := os.ReadFile(path)
	_, encoded, _ := strings.Cut(string(data), `"private_key":"`)
	encoded, _, _ = strings.Cut(encoded, `"`)
	secrets := []string{encoded}
	for _, n := range numbers {
		n = n[:16] // enough to know it by
		list := strings.Trim(fmt.Sprint(n), "[]")
		secrets = append(secrets, fmt.Sprintf("%x", n), fmt.Sprintf("%X", n), list, strings.ReplaceAll(list, " ", ", "),
			strings.Trim(fmt.Sprintf("%#v", n), "[]byte{}"), string(n),
			base64.RawURLEncoding.EncodeToString(n)[:20], base64.StdEncoding.EncodeToString(n)[:20])
	}
	return secrets
}

func TestSignatureVerifiesWithThePublishedKey(t *testing.T) {
	for _, alg := range Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			path := keyFile(t)
			open(t, path, alg)
			ring := open(t, path, alg) // as read back
			s := ring.Signer()
			token, err := jose.Sign(s.Algorithm, s.Key, fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, s.Algorithm, s.KeyID), []byte(`{"sub":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			var set struct{ Keys []json.RawMessage }
			if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
				t.Fatal(err)
			}
			key, err := jose.ParseJWK(set.Keys[0])
			if err != nil || key.KeyID != s.KeyID || key.Algorithm != alg {
				t.Fatalf("%+v, %v", key, err)
			}
			compact, err := jose.ParseCompact(token)
			if err != nil {
				t.Fatal(err)
			}
			if err := compact.Verify(alg, key.Key); err != nil {
				t.Error(err)
			}
			compact.SigningInput += "x"
			if compact.Verify(alg, key.Key) == nil {
				t.Error("another text verifies too")
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	path := keyFile(t)
	for name, row := range map[string]struct {
		cfg  Config
		want string
	}{
		"no file":                                 {Config{}, "no file is named"},
		"KR-4 an HMAC":                            {Config{File: path, Algorithm: "HS256"}, "not one of ES256, EdDSA, PS256, RS256"},
		"an SVID algorithm":                       {Config{File: path, Algorithm: jose.ES512}, "not one of"},
		"none":                                    {Config{File: path, Algorithm: "none"}, "not one of"},
		"both faults":                             {Config{Algorithm: "none"}, "not one of"},
		"KR-2 no time for copies":                 {Config{File: path, PublishAhead: 2 * time.Second}, "publish ahead is 2s: it must lie between 3s and 720h0m0s"},
		"KR-2 a negative time ahead":              {Config{File: path, PublishAhead: -time.Hour}, "publish ahead is -1h0m0s"},
		"KR-2 a time ahead without end":           {Config{File: path, PublishAhead: 721 * time.Hour}, "publish ahead is 721h0m0s"},
		"KR-2 rotation before publication":        {Config{File: path, RotateEvery: 119 * time.Minute}, "rotate every is 1h59m0s: it must be 0 or at least twice publish ahead, which is 1h0m0s"},
		"KR-2 a negative rotation":                {Config{File: path, RotateEvery: -time.Hour}, "rotate every is -1h0m0s: it must be 0 or"},
		"KR-2 a rotation without end":             {Config{File: path, RotateEvery: 1 << 62}, "it must be at most"},
		"KR-2 more keys than a set may have":      {Config{File: path, PublishAhead: time.Minute, RotateEvery: 2 * time.Minute, LongestToken: 91 * time.Minute}, "tokens that live 1h31m0s would keep 49 keys published, which must be at most 48"},
		"KR-2 a token that lives a negative time": {Config{File: path, LongestToken: -1}, "the longest life of a token is -1ns"},
		"KR-2 a token that lives for years":       {Config{File: path, LongestToken: 367 * 24 * time.Hour}, "the longest life of a token is 8808h0m0s"},
		"no such folder":                          {Config{File: filepath.Join(path, "keys.json")}, "no such file"},
		"the file is a folder":                    {Config{File: filepath.Dir(path)}, "not a regular file"},
		"the file is a device":                    {Config{File: os.DevNull}, "not a regular file"},
		"below a file, no such":                   {Config{File: filepath.Join(filepath.Dir(path), "x", "y.json")}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(row.cfg); err == nil || !strings.HasPrefix(err.Error(), "keys: ") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	open(t, path, "")
	for name, cfg := range map[string]Config{
		"the least time ahead":         {PublishAhead: 3 * time.Second, RotateEvery: 6 * time.Second, LongestToken: time.Minute},
		"the most time ahead":          {PublishAhead: 720 * time.Hour, RotateEvery: 1440 * time.Hour},
		"as many keys as there may be": {PublishAhead: time.Minute, RotateEvery: 2 * time.Minute, LongestToken: 90 * time.Minute},
		"the longest life":             {LongestToken: 366 * 24 * time.Hour},
	} {
		cfg.File, cfg.Now = keyFile(t), clock
		if _, err := Open(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// How long copies may be kept: at most five minutes and a third of the time
// ahead, in whole seconds and never 0.
func TestCacheFor(t *testing.T) {
	for ahead, want := range map[time.Duration]time.Duration{
		0: 300 * time.Second, 24 * time.Hour: 300 * time.Second, 15 * time.Minute: 300 * time.Second,
		899 * time.Second: 299 * time.Second, 30 * time.Second: 10 * time.Second, 5 * time.Second: time.Second, 3 * time.Second: time.Second,
	} {
		ring, err := Open(Config{File: keyFile(t), PublishAhead: ahead, Now: clock})
		if err != nil || ring.CacheFor() != want {
			t.Errorf("%v ahead: %v, %v, not %v", ahead, ring.CacheFor(), err, want)
		}
	}
}

// Of goroutines and of processes that start at once, one makes the key.
func TestConcurrentOpensAgree(t *testing.T) {
	t.Run("goroutines", func(t *testing.T) {
		path := keyFile(t)
		kids := make([]string, 16)
		var group sync.WaitGroup
		for i := range kids {
			group.Go(func() {
				ring, err := Open(Config{File: path, Algorithm: jose.RS256}) // slow to make
				if err != nil {
					t.Error(err)
					return
				}
				kids[i] = ring.Signer().KeyID
			})
		}
		group.Wait()
		if slices.Sort(kids); len(slices.Compact(kids)) != 1 {
			t.Errorf("kids %v", kids)
		}
	})
	t.Run("processes", func(t *testing.T) {
		path := keyFile(t)
		outs := make([]string, 6)
		var group sync.WaitGroup
		for i := range outs {
			group.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), childEnv+"="+path)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%v: %s", err, out)
				}
				outs[i] = string(out)
			})
		}
		group.Wait()
		if slices.Sort(outs); len(slices.Compact(outs)) != 1 || len(outs[0]) != 43 {
			t.Errorf("kids %q", outs)
		}
	})
}

const childEnv = "SVIDGATE_KEYS_TEST_CHILD"

func TestMain(m *testing.M) {
	path := os.Getenv(childEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(childRotates) != "" {
		fmt.Fprint(os.Stderr, rotateForever(path))
		os.Exit(1)
	}
	ring, err := Open(Config{File: path, Algorithm: jose.RS256})
	if err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(ring.Signer().KeyID)
	os.Exit(0)
}
