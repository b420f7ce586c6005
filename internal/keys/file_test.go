package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/jose"
)

// written is a good document of one key, and its private_key.
func written(t testing.TB) (document, secret string) {
	t.Helper()
	path := keyFile(t)
	open(t, path, "")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ = strings.Cut(string(data), `"private_key":"`)
	secret, _, _ = strings.Cut(secret, `"`)
	return string(data), secret
}

// lifeOf is what version 2 has of a key in each state.
var lifeOf = map[string]string{
	"pending":  `,"activate_after":"2026-11-22T22:00:00Z"`,
	"active":   `,"activated":"2026-11-21T22:00:00Z","longest_token":86400`,
	"retiring": `,"activated":"2026-11-21T22:00:00Z","retired":"2026-11-22T22:00:00Z","remove_after":"2026-11-23T22:02:00Z","longest_token":86400`,
}

// entryOf writes a key as the file has it.
func entryOf(t testing.TB, private any, alg, state string) string {
	t.Helper()
	old := oldEntryOf(t, private, alg, state)
	return strings.Replace(old, `,"private_key"`, lifeOf[state]+`,"private_key"`, 1)
}

// oldEntryOf writes a key as version 1 had it.
func oldEntryOf(t testing.TB, private any, alg, state string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	id := "none" // for keys that have no thumbprint
	if signer, ok := private.(crypto.Signer); ok {
		if known, err := jose.Thumbprint(signer.Public()); err == nil {
			id = known
		}
	}
	return fmt.Sprintf(`{"kid":%q,"alg":%q,"state":%q,"created":"2026-11-21T22:00:00Z","private_key":%q}`,
		id, alg, state, base64.StdEncoding.EncodeToString(der))
}

func documentOf(entries ...string) string {
	return `{"version":2,"cache_for":300,"keys":[` + strings.Join(entries, ",") + `]}`
}

func oldDocumentOf(entries ...string) string {
	return `{"version":1,"keys":[` + strings.Join(entries, ",") + `]}`
}

func TestCorruptFiles(t *testing.T) {
	good, secret := written(t)
	other, otherSecret := written(t)
	_, entry, _ := strings.Cut(good, "[")
	entry = strings.TrimSpace(entry[:strings.LastIndexByte(entry, ']')])
	_, otherEntry, _ := strings.Cut(other, "[")
	otherEntry = strings.TrimSpace(otherEntry[:strings.LastIndexByte(otherEntry, ']')])
	// inState is the entry of an active key as it would be in another state.
	inState := func(entry, state string) string {
		if !strings.Contains(entry, lifeOf["active"]) {
			t.Fatalf("not the entry of an active key: %s", entry)
		}
		return strings.Replace(strings.Replace(entry, `"active"`, `"`+state+`"`, 1), lifeOf["active"], lifeOf[state], 1)
	}
	retiring, pending := inState(otherEntry, "retiring"), inState(otherEntry, "pending")
	old := strings.Replace(entry, lifeOf["active"], "", 1)
	oldRetiring := strings.Replace(strings.Replace(otherEntry, lifeOf["active"], "", 1), `"active"`, `"retiring"`, 1)
	without := func(entry, member string) string {
		from := strings.Index(entry, `,"`+member+`":`)
		to := from + 1 + strings.IndexAny(entry[from+1:], ",}")
		return entry[:from] + entry[to:]
	}

	newRSA := func(bits int) *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	newEC := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	p256, weak, floor := newEC(elliptic.P256()), newRSA(1024), newRSA(2048)
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the document has no %s", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	rows := []struct{ name, document, want string }{
		{"good", good, ""},
		{"a retiring key behind it", documentOf(entry, retiring), ""},
		{"a retiring key before it", documentOf(retiring, entry), ""},
		{"KR-2 a pending key before it", documentOf(pending, entry), ""},
		{"KR-2 a pending key behind it", documentOf(entry, pending), ""},
		{"a retiring key of version 1", documentOf(entry, without(without(retiring, "activated"), "retired")), ""},
		{"copies of a longer life", swap(`"cache_for":300`, `"cache_for":300,"copies_until":"2026-11-21T22:00:00Z"`), ""},
		{"a time of another zone", strings.ReplaceAll(good, `22:00:00Z`, `23:00:00+01:00`), ""},
		{"version 1", oldDocumentOf(old), ""},
		{"version 1 with a retiring key", oldDocumentOf(old, oldRetiring), ""},
		{"KR-4 RSA of 2048 bits, PS256", documentOf(entryOf(t, floor, "PS256", "active")), ""},
		{"KR-4 RSA of 2048 bits, RS256", documentOf(entryOf(t, floor, "RS256", "active")), ""},
		{"the same key by hand", documentOf(entryOf(t, p256, "ES256", "active")), ""},

		{"empty", "", "not a JSON object"},
		{"a list", "[]", "not a JSON object"},
		{"text", "secret " + secret, "not a JSON object"},
		{"cut short", good[:len(good)-4], "missing"},
		{"two documents", good + good, "data after"},
		{"GL-11 a member twice", swap(`"alg":`, `"kid":"x","alg":`), "twice"},
		{"no version", swap(`"version":2,`, ``), "version is missing"},
		{"version 0", swap(`"version":2`, `"version":0`), "version is not 1 or 2"},
		{"version 3", swap(`"version":2`, `"version":3`), "version is 3: a later release of this software wrote it"},
		{"version 3 with members of its own", `{"version":3,"rings":{}}`, "version is 3: a later release"},
		{"version as a string", swap(`"version":2`, `"version":"2"`), "version is not 1 or 2"},
		{"an unknown member", swap(`"version":2`, `"version":2,"next":{}`), "unknown name"},
		{"version 1 with a life of copies", strings.Replace(oldDocumentOf(old), `"version":1`, `"version":1,"cache_for":300`, 1), "unknown name"},
		{"version 1 with times", oldDocumentOf(entry), "does not go with the state active"},
		{"version 1 with a pending key", oldDocumentOf(old, strings.Replace(oldRetiring, "retiring", "pending", 1)), "state is neither active nor retiring"},
		{"version 2 without times", documentOf(old), "activated is missing"},
		{"no life of copies", swap(`,"cache_for":300`, ``), "cache_for is missing"},
		{"a life of copies of 0", swap(`"cache_for":300`, `"cache_for":0`), "cache_for is not a number of seconds from 1 to 300"},
		{"a life of copies beyond the limit", swap(`"cache_for":300`, `"cache_for":301`), "cache_for is not a number"},
		{"copies until a number", swap(`"cache_for":300`, `"cache_for":300,"copies_until":1`), "copies_until is not a time"},
		{"KR-2 two pending keys", documentOf(entry, pending, entryOf(t, p256, "ES256", "pending")), "2 keys are pending"},
		{"KR-2 a pending key without its time", documentOf(entry, without(pending, "activate_after")), "activate_after is missing"},
		{"KR-2 a pending key with the time of another state", documentOf(entry, strings.Replace(pending, `{`, `{"activated":"2026-11-21T22:00:00Z",`, 1)), "does not go with the state pending"},
		{"KR-2 a retiring key without an end", documentOf(entry, without(retiring, "remove_after")), "remove_after is missing"},
		{"KR-2 a retiring key without the life of its tokens", documentOf(entry, without(retiring, "longest_token")), "longest_token is missing"},
		{"KR-2 an active key with an end", documentOf(strings.Replace(entry, `,"longest_token"`, `,"remove_after":"2026-11-21T22:00:00Z","longest_token"`, 1)), "does not go with the state active"},
		{"an active key without its time", documentOf(without(entry, "activated")), "activated is missing"},
		{"a life of tokens as a string", swap(`"longest_token":86400`, `"longest_token":"86400"`), "longest_token is not a number"},
		{"a life of tokens of 0", swap(`"longest_token":86400`, `"longest_token":0`), "longest_token is not a number"},
		{"a life of tokens beyond the limit", swap(`"longest_token":86400`, `"longest_token":31622401`), "longest_token is not a number"},
		{"a time beyond the calendar", swap(`"activated":"2026`, `"activated":"9999`), "activated is not a time"},
		{"a time before all clocks", swap(`"created":"2026`, `"created":"0000`), "created is not a time"},
		{"an unknown member of a key", swap(`"alg":`, `"use":"sig","alg":`), "key 1: a member has an unknown name"},
		{"GL-11 a member in other case", swap(`"alg":`, `"Alg":`), "unknown name"},
		{"no keys", `{"version":2,"cache_for":300}`, "keys is missing"},
		{"keys is an object", `{"version":2,"cache_for":300,"keys":{}}`, "not a list"},
		{"an empty list", documentOf(), "0 keys are active"},
		{"a key that is a string", documentOf(`"` + secret + `"`), "not a JSON object"},
		{"no active key", documentOf(retiring), "0 keys are active"},
		{"two active keys", documentOf(entry, otherEntry), "2 keys are active"},
		{"KR-1 one key twice", documentOf(entry, inState(entry, "retiring")), "key 2: it stands there twice"},
		{"no kid", swap(`"kid":`, `"created":"2026-11-21T22:00:00Z","x":`), "twice"},
		{"kid is a number", swap(`{"kid":"`, `{"kid":7,"x":"`), "unknown name"},
		{"an alg that is not ours", swap(`"ES256"`, `"ES384"`), "alg is not one of"},
		{"KR-4 an HMAC", swap(`"ES256"`, `"HS256"`), "alg is not one of"},
		{"an alg of another kind of key", swap(`"ES256"`, `"EdDSA"`), "does not go with"},
		{"KR-2 an unknown state", swap(`"active"`, `"removed"`), "state is neither pending nor active nor retiring"},
		{"a time without zone", swap(`22:00:00Z`, `22:00:00`), "created is not"},
		{"a kid of another key", strings.Replace(good, secret, otherSecret, 1), "kid is not the thumbprint"},
		{"private_key is empty", strings.Replace(good, secret, "", 1), "not a whole PKCS #8"},
		{"private_key is not base64", strings.Replace(good, secret, secret[:20]+"*"+secret[21:], 1), "not base64"},
		{"private_key is cut", strings.Replace(good, secret, secret[:40], 1), "not a whole PKCS #8"},
		{"private_key is a number", strings.Replace(good, `"`+secret+`"`, "1", 1), "private_key is missing or not a string"},
		{"KR-4 RSA of 1024 bits", documentOf(entryOf(t, weak, "RS256", "active")), "too weak"},
		{"KR-4 RSA of 1024 bits, retiring", documentOf(entry, entryOf(t, weak, "RS256", "retiring")), "key 2: the key is too weak"},
		{"KR-4 EC P-224", documentOf(entryOf(t, newEC(elliptic.P224()), "ES256", "active")), "does not go with"},
		{"a key for agreement only", documentOf(entryOf(t, x25519, "EdDSA", "active")), "does not sign"},
		{"EC P-384 as ES256", documentOf(entryOf(t, newEC(elliptic.P384()), "ES256", "active")), "does not go with"},
		{"longer than the limit", good + strings.Repeat(" ", maxFile), "longer than"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := keyFile(t)
			if err := os.WriteFile(path, []byte(row.document), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := readFile(path)
			if row.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("the error is %v, not about: %s", err, row.want)
			}
			for at := 0; at+12 <= len(secret); at++ {
				if strings.Contains(err.Error(), secret[at:at+12]) {
					t.Fatalf("the error repeats the key: %v", err)
				}
			}
			// Open says the same and leaves the file as it is.
			if _, openErr := Open(Config{File: path}); openErr == nil || openErr.Error() != "keys: "+err.Error() {
				t.Errorf("Open says %v", openErr)
			}
			if after, _ := os.ReadFile(path); string(after) != row.document {
				t.Error("the file was changed")
			}
		})
	}
}

func TestLooseModesAreRefused(t *testing.T) {
	good, _ := written(t)
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true,
		0o640: false, 0o604: false, 0o660: false, 0o644: false, 0o620: false, 0o602: false, 0o610: false, 0o666: false, 0o777: false,
	} {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			path := keyFile(t)
			if err := errors.Join(os.WriteFile(path, []byte(good), 0o600), os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
			_, err := Open(Config{File: path})
			switch {
			case ok && err != nil:
				t.Error(err)
			case !ok && (err == nil || !strings.Contains(err.Error(), "chmod 600 "+path)):
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// Whoever owns the file can read it at any time, and knows what is signed with.
func TestAnotherUsersFileIsRefused(t *testing.T) {
	good, _ := written(t)
	path := keyFile(t)
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{File: path}); err != nil {
		t.Errorf("of our own: %v", err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Skip("only root can give a file away: ", err)
	}
	if _, err := Open(Config{File: path}); err == nil || !strings.Contains(err.Error(), path+": it belongs to uid 65534") {
		t.Errorf("the error is %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != good {
		t.Error("the file was changed")
	}
}

// The file may be a link, as mounted secrets are. A pipe, linked or not, stops
// nobody.
func TestLinksAndPipes(t *testing.T) {
	good, _ := written(t)
	for _, row := range []struct {
		name string
		put  func(path string) error
		want string
	}{
		{"a link to a file", func(path string) error {
			return errors.Join(os.WriteFile(path+".1", []byte(good), 0o600), os.Symlink(path+".1", path))
		}, ""},
		{"a link to a file for all", func(path string) error {
			return errors.Join(os.WriteFile(path+".1", []byte(good), 0o600), os.Chmod(path+".1", 0o604), os.Symlink(path+".1", path))
		}, "chmod 600"},
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "not a regular file"},
		{"a link to a pipe", func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".1", 0o600), os.Symlink(path+".1", path))
		}, "not a regular file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := keyFile(t)
			if err := row.put(path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(Config{File: path})
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// A crash can leave the temporary file; it is not opened, whatever it is.
func TestWhatACrashLeftIsReplaced(t *testing.T) {
	path := keyFile(t)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("untouched"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path+".tmp"); err != nil {
		t.Fatal(err)
	}
	open(t, path, "")
	if data, _ := os.ReadFile(elsewhere); string(data) != "untouched" {
		t.Error("the key was written through a link")
	}
	if diff := cmp.Diff([]string{"svidgate-keys.json", "svidgate-keys.json.lock"}, namesBeside(t, path)); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
}

// A file that holds as many keys as it may gets no other.
func TestAFullFileStaysAsItIs(t *testing.T) {
	path := keyFile(t)
	first := open(t, path, jose.ES256)
	d, _, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d.keys = slices.Repeat(d.keys, maxFile/200)
	if _, err := writeFile(path, d); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("the error is %v", err)
	}
	if again := open(t, path, jose.ES256); again.Signer().KeyID != first.Signer().KeyID {
		t.Error("the file was changed")
	}
}

func FuzzParse(f *testing.F) {
	good, _ := written(f)
	f.Add([]byte(good))
	f.Add([]byte(documentOf()))
	f.Add([]byte(oldDocumentOf()))
	f.Add([]byte(`{"version":1,"keys":[{"kid":"","alg":"ES256","state":"active","created":"","private_key":""}]}`))
	f.Add([]byte(`{"version":3,"keys":[]}`))
	path := keyFile(f)
	ring := open(f, path, jose.EdDSA)
	for _, now := range []bool{true, false} { // then one key of each state
		if _, err := ring.Rotate(now); err != nil {
			f.Fatal(err)
		}
	}
	full, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add(bytes.Replace(full, []byte(`"cache_for":300`), []byte(`"cache_for":1,"copies_until":"2026-11-21T22:00:00.9+23:59"`), 1))
	_, private, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	f.Add([]byte(oldDocumentOf(oldEntryOf(f, private, "EdDSA", "retiring"), oldEntryOf(f, other, "EdDSA", "active"))))
	cfg, err := Config{File: "x"}.checked()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parse(data)
		again, errAgain := parse(data)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || (err == nil && !d.same(again)) {
			t.Fatalf("two answers: %v, %v", err, errAgain)
		}
		if err != nil {
			return
		}
		// What is accepted is written and read back the same, also when all rules
		// of a life have had their say.
		d.adopt(cfg, moment)
		for range 2 {
			out, err := format(d)
			if err != nil {
				t.Fatal(err)
			}
			back, err := parse(out)
			if err != nil || !back.same(d) {
				t.Fatalf("read back: %v: %s", err, data)
			}
			if err := d.settle(cfg, moment, func(key) bool { return true }, makeKey); err != nil {
				t.Fatal(err)
			}
		}
	})
}
