package keys_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/store/sqlite"
)

func secret() string {
	raw := make([]byte, 32)
	rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

func encryption(t *testing.T, secrets ...string) keys.EncryptionKeys {
	t.Helper()
	all, err := keys.ParseEncryptionKeys(strings.Join(secrets, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func document(t *testing.T) keys.Document {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.SigningKeys()
}

func content(t *testing.T, d keys.Document) []byte {
	t.Helper()
	c, _, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// KR-2: keys that were in the file go on signing and verifying when they move to the
// store, whatever they were; the file stays as it is, and the log says so.
func TestKR2KeysMoveToTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svidgate-keys.json")
	before, err := keys.Open(keys.Config{File: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Rotate(true); err != nil { // one retires, too
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg := keys.Config{File: path, Document: document(t), Encryption: encryption(t, secret()), Log: slog.New(slog.NewTextHandler(&log, nil))}
	after, err := keys.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after.JWKS(), before.JWKS()) || after.Signer().KeyID != before.Signer().KeyID || len(after.List()) != 2 {
		t.Errorf("%v, not %v", after, before)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, file) {
		t.Error("the file was changed")
	}
	if !strings.Contains(log.String(), "delete it") || !strings.Contains(log.String(), path) {
		t.Errorf("the log says %s", &log)
	}

	// Later starts use the store alone, whatever is in the file.
	if _, err := after.Remove(after.Signer().KeyID); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	again, err := keys.Open(cfg)
	if err != nil || !bytes.Equal(again.JWKS(), after.JWKS()) || strings.Contains(log.String(), "delete it") {
		t.Errorf("%v, %v\n%s", again, err, &log)
	}

	// A file that cannot be read is no reason to begin anew.
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := cfg
	empty.Document = document(t)
	if _, err := keys.Open(empty); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	if c := content(t, empty.Document); c != nil {
		t.Errorf("the store has %s", c)
	}
}

// What encrypts can be replaced: a new key goes before the old one, and after the next
// start the old one is needed no more.
func TestEncryptionKeyIsReplaced(t *testing.T) {
	d, old, next := document(t), secret(), secret()
	open := func(secrets ...string) (*keys.Ring, error) {
		return keys.Open(keys.Config{Document: d, Encryption: encryption(t, secrets...)})
	}
	first, err := open(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(next); err == nil || !strings.Contains(err.Error(), "encrypted with a key that was not given") {
		t.Errorf("another key: %v", err)
	}
	before := content(t, d)
	if _, err := open(old, next); err != nil || !bytes.Equal(content(t, d), before) {
		t.Errorf("a key behind the one in use: %v", err)
	}
	both, err := open(next, old)
	if err != nil || !bytes.Equal(both.JWKS(), first.JWKS()) || bytes.Equal(content(t, d), before) {
		t.Fatalf("a key before the one in use: %v, %v", both, err)
	}
	if _, err := open(old); err == nil {
		t.Error("the old key still opens it")
	}
	// The process that runs with the old one alone goes on with what it has.
	if _, err := first.Rotate(false); err == nil || first.Signer().KeyID == "" {
		t.Error("it changed keys that it cannot read")
	}
	if last, err := open(next); err != nil || !bytes.Equal(last.JWKS(), first.JWKS()) {
		t.Errorf("%v, %v", last, err)
	}
}

// Whatever is changed in the store is noticed, and repeated nowhere.
func TestSealedKeysThatWereChanged(t *testing.T) {
	d, one := document(t), secret()
	cfg := keys.Config{Document: d, Encryption: encryption(t, one)}
	if _, err := keys.Open(cfg); err != nil {
		t.Fatal(err)
	}
	good, version, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]any
	if err := json.Unmarshal(good, &parts); err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) []byte {
		changed := map[string]any{}
		for k, v := range parts {
			changed[k] = v
		}
		changed[name] = value
		out, _ := json.Marshal(changed)
		return out
	}
	flipped := func(name string) string {
		raw, _ := base64.StdEncoding.DecodeString(parts[name].(string))
		raw[len(raw)/2] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
	put := func(content []byte) {
		t.Helper()
		if ok, err := d.Replace(t.Context(), version, content); !ok || err != nil {
			t.Fatal(ok, err)
		}
		version++
	}
	for name, row := range map[string]struct {
		content []byte
		want    string
	}{
		"a bit":             {with("sealed", flipped("sealed")), "they do not open with their key"},
		"the nonce":         {with("nonce", flipped("nonce")), "they do not open with their key"},
		"a short nonce":     {with("nonce", "AAAA"), "not what this program writes"},
		"the key's id":      {with("key", "0011223344556677"), `a key that was not given: its id is "0011223344556677"`},
		"another member":    {with("more", 1), "unknown name"},
		"a later version":   {with("version", 2), "a later release"},
		"no text":           {with("sealed", 1), "sealed is missing or not a string"},
		"nothing":           {[]byte("{}"), "version"},
		"keys in the clear": {[]byte(`{"version":2,"cache_for":300,"keys":[]}`), "a later release"},
		"garbage":           {[]byte("garbage"), "not what this program writes"},
		"empty":             {[]byte{}, "not what this program writes"},
		"too long":          {bytes.Repeat([]byte(" "), 1<<20), "too long"},
	} {
		put(row.content)
		_, err := keys.Open(cfg)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), fmt.Sprint(parts["sealed"])) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	put(good)
	if _, err := keys.Open(cfg); err != nil {
		t.Error(err)
	}
}

// A store that is down takes no key away: what is published stays, and a change is
// refused whole.
func TestGL15KeysWhileTheStoreIsDown(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:"})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(keys.Config{Document: s.SigningKeys(), Encryption: encryption(t, secret())})
	if err != nil {
		t.Fatal(err)
	}
	before := ring.JWKS()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Rotate(true); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if !bytes.Equal(ring.JWKS(), before) || ring.Signer().KeyID == "" {
		t.Errorf("it has %v", ring)
	}
}

func TestEncryptionKeys(t *testing.T) {
	raw := make([]byte, 32)
	rand.Read(raw)
	accepted := map[string]string{
		"base64":                 base64.StdEncoding.EncodeToString(raw),
		"base64 without padding": base64.RawStdEncoding.EncodeToString(raw),
		"base64url":              base64.URLEncoding.EncodeToString(raw),
		"hexadecimal":            hex.EncodeToString(raw),
		"with a line feed":       hex.EncodeToString(raw) + "\n",
	}
	id := ""
	for name, text := range accepted {
		all, err := keys.ParseEncryptionKeys(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if id == "" {
			id = all.String()
		}
		if all.String() != id || len(id) != 16 {
			t.Errorf("%s: the id is %s, not %s", name, all, id)
		}
		for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q %d", all, all, all, all, all, all), slog.AnyValue(all).Resolve().String()} {
			if strings.Contains(shown, strings.TrimSpace(text)) || !strings.Contains(shown, id) {
				t.Errorf("%s: it prints as %s", name, shown)
			}
		}
	}
	good := accepted["base64"]
	for name, text := range map[string]string{
		"nothing":        " \n",
		"31 bytes":       base64.StdEncoding.EncodeToString(raw[1:]),
		"33 bytes":       base64.StdEncoding.EncodeToString(append([]byte{1}, raw...)),
		"a word":         "correct-horse-battery-staple",
		"31 bytes hex":   hex.EncodeToString(raw[1:]),
		"64 of no hex":   strings.Repeat("x", 64),
		"zeros":          base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"twice":          good + " " + good,
		"one bad of two": good + " x",
		"nine":           strings.Join([]string{secret(), secret(), secret(), secret(), secret(), secret(), secret(), secret(), secret()}, " "),
	} {
		if _, err := keys.ParseEncryptionKeys(text); err == nil || strings.Contains(err.Error(), good) || strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}

	path := filepath.Join(t.TempDir(), "key")
	for _, row := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"accepted", good, 0o600, ""},
		{"readable for all", good, 0o644, "chmod 600 " + path},
		{"no key", "x", 0o600, path + ": encryption key 1 is not 32 bytes"},
		{"too long", strings.Repeat(" ", 5000), 0o600, path + ": longer than"},
	} {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(row.text), row.mode); err != nil {
			t.Fatal(err)
		}
		_, err := keys.ReadEncryptionKeys(path)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: the error is %v", row.name, err)
		}
	}
	if _, err := keys.Open(keys.Config{Document: document(t)}); err == nil || !strings.Contains(err.Error(), "no key to encrypt them with") {
		t.Errorf("the error is %v", err)
	}
}
