package keys

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
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
	"testing"

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

// entryOf writes a key as the file has it.
func entryOf(t testing.TB, private any, alg, state string) string {
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
	return `{"version":1,"keys":[` + strings.Join(entries, ",") + `]}`
}

func TestCorruptFiles(t *testing.T) {
	good, secret := written(t)
	other, otherSecret := written(t)
	_, entry, _ := strings.Cut(good, "[")
	entry = strings.TrimSpace(entry[:strings.LastIndexByte(entry, ']')])
	_, otherEntry, _ := strings.Cut(other, "[")
	otherEntry = strings.TrimSpace(otherEntry[:strings.LastIndexByte(otherEntry, ']')])
	retiring := strings.Replace(otherEntry, `"active"`, `"retiring"`, 1)

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
		{"KR-4 RSA of 2048 bits, PS256", documentOf(entryOf(t, floor, "PS256", "active")), ""},
		{"KR-4 RSA of 2048 bits, RS256", documentOf(entryOf(t, floor, "RS256", "active")), ""},
		{"the same key by hand", documentOf(entryOf(t, p256, "ES256", "active")), ""},

		{"empty", "", "not a JSON object"},
		{"a list", "[]", "not a JSON object"},
		{"text", "secret " + secret, "not a JSON object"},
		{"cut short", good[:len(good)-4], "missing"},
		{"two documents", good + good, "data after"},
		{"GL-11 a member twice", swap(`"alg":`, `"kid":"x","alg":`), "twice"},
		{"no version", swap(`"version":1,`, ``), "version is missing"},
		{"version 2", swap(`"version":1`, `"version":2`), "version is not 1"},
		{"version as a string", swap(`"version":1`, `"version":"1"`), "version is not 1"},
		{"an unknown member", swap(`"version":1`, `"version":1,"next":{}`), "unknown name"},
		{"an unknown member of a key", swap(`"alg":`, `"use":"sig","alg":`), "key 1: a member has an unknown name"},
		{"GL-11 a member in other case", swap(`"alg":`, `"Alg":`), "unknown name"},
		{"no keys", `{"version":1}`, "keys is missing"},
		{"keys is an object", `{"version":1,"keys":{}}`, "not a list"},
		{"an empty list", documentOf(), "0 keys are active"},
		{"a key that is a string", documentOf(`"` + secret + `"`), "not a JSON object"},
		{"no active key", documentOf(retiring), "0 keys are active"},
		{"two active keys", documentOf(entry, otherEntry), "2 keys are active"},
		{"KR-1 one key twice", documentOf(entry, strings.Replace(entry, `"active"`, `"retiring"`, 1)), "key 2: it stands there twice"},
		{"no kid", swap(`"kid":`, `"created":"2026-11-21T22:00:00Z","x":`), "twice"},
		{"kid is a number", swap(`{"kid":"`, `{"kid":7,"x":"`), "unknown name"},
		{"an alg that is not ours", swap(`"ES256"`, `"ES384"`), "alg is not one of"},
		{"KR-4 an HMAC", swap(`"ES256"`, `"HS256"`), "alg is not one of"},
		{"an alg of another kind of key", swap(`"ES256"`, `"EdDSA"`), "does not go with"},
		{"KR-4 an unknown state", swap(`"active"`, `"pending"`), "state is neither"},
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
			_, err := readFile(path)
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
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// A file that holds as many keys as it may gets no other.
func TestAFullFileStaysAsItIs(t *testing.T) {
	path := keyFile(t)
	first := open(t, path, jose.ES256)
	keys, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	many := slices.Repeat(keys, maxFile/200)
	if err := writeFile(path, many); err == nil || !strings.Contains(err.Error(), "no room") {
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
	f.Add([]byte(`{"version":1,"keys":[{"kid":"","alg":"ES256","state":"active","created":"","private_key":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parse(data)
		again, errAgain := parse(data)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || len(keys) != len(again) {
			t.Fatalf("two answers: %v, %v", err, errAgain)
		}
		if err != nil {
			return
		}
		// What is accepted is written and read back the same.
		out, err := format(keys)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parse(out)
		if err != nil || len(back) != len(keys) || active(back).id != active(keys).id {
			t.Fatalf("read back: %v", err)
		}
	})
}
