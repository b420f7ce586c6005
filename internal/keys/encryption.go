package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/svidgate/svidgate/internal/filelock"
	"github.com/svidgate/svidgate/internal/strictjson"
)

const (
	// encryptionKeySize is that of AES-256.
	encryptionKeySize = 32
	// maxEncryptionKeys is more than a rotation needs.
	maxEncryptionKeys = 8
	// maxEncryptionFile is room for them in any spelling.
	maxEncryptionFile = 4 << 10
	// sealedVersion is that of the envelope.
	sealedVersion = 1
	// sealedPlace binds what is encrypted to what it is and to the version of its
	// envelope. An older content of the same place opens too: that is what a restored
	// copy of the store is.
	sealedPlace = "svidgate signing-keys 1"
)

// EncryptionKeys are what signing keys are encrypted with where others keep them:
// AES-256-GCM. The first encrypts; each decrypts what was encrypted with it, so that a
// new one is put before the old one, which may go when no process has it alone.
// Printed or logged they show their ids only.
type EncryptionKeys struct{ keys []encryptionKey }

type encryptionKey struct {
	id   string
	aead cipher.AEAD
}

// ParseEncryptionKeys reads keys with white space between them, each of 32 bytes in
// base64 or hexadecimal. Errors repeat nothing of them.
func ParseEncryptionKeys(text string) (EncryptionKeys, error) {
	var all EncryptionKeys
	for i, word := range strings.Fields(text) {
		if i == maxEncryptionKeys {
			return EncryptionKeys{}, fmt.Errorf("there are more than %d encryption keys", maxEncryptionKeys)
		}
		raw, ok := keyBytes(word)
		if !ok {
			return EncryptionKeys{}, fmt.Errorf("encryption key %d is not %d bytes in base64 or hexadecimal; `openssl rand -base64 %d` makes one", i+1, encryptionKeySize, encryptionKeySize)
		}
		k, err := newEncryptionKey(raw)
		if err != nil {
			return EncryptionKeys{}, err
		}
		if all.find(k.id) != nil {
			return EncryptionKeys{}, fmt.Errorf("encryption key %d is there twice", i+1)
		}
		all.keys = append(all.keys, k)
	}
	if len(all.keys) == 0 {
		return EncryptionKeys{}, errors.New("there is no encryption key")
	}
	return all, nil
}

// ReadEncryptionKeys reads them from a file that nobody else may read.
func ReadEncryptionKeys(path string) (EncryptionKeys, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // or a pipe would wait here
	if err != nil {
		return EncryptionKeys{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return EncryptionKeys{}, err
	}
	if err := filelock.Private(path, info); err != nil {
		return EncryptionKeys{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxEncryptionFile+1))
	if err != nil {
		return EncryptionKeys{}, err
	}
	if len(text) > maxEncryptionFile {
		return EncryptionKeys{}, fmt.Errorf("%s: longer than %d bytes", path, maxEncryptionFile)
	}
	all, err := ParseEncryptionKeys(string(text))
	if err != nil {
		return EncryptionKeys{}, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

func keyBytes(word string) ([]byte, bool) {
	if len(word) == hex.EncodedLen(encryptionKeySize) {
		raw, err := hex.DecodeString(word)
		return raw, err == nil
	}
	word = strings.TrimSuffix(word, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.Strict().DecodeString(word); err == nil && len(raw) == encryptionKeySize {
			return raw, true
		}
	}
	return nil, false
}

// newEncryptionKey derives what is used, so that the same secret may serve for
// something else one day, and an id that says nothing of it.
func newEncryptionKey(secret []byte) (encryptionKey, error) {
	if bytes.Equal(secret, make([]byte, len(secret))) {
		return encryptionKey{}, errors.New("an encryption key is all zeros")
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, sealedPlace, encryptionKeySize)
	if err != nil {
		return encryptionKey{}, err
	}
	id, err := hkdf.Key(sha256.New, secret, nil, "svidgate encryption key id", 8)
	if err != nil {
		return encryptionKey{}, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return encryptionKey{}, err
	}
	aead, err := cipher.NewGCM(block)
	return encryptionKey{hex.EncodeToString(id), aead}, err
}

func (e EncryptionKeys) find(id string) *encryptionKey {
	for i := range e.keys {
		if e.keys[i].id == id {
			return &e.keys[i]
		}
	}
	return nil
}

func (e EncryptionKeys) seal(plain []byte) ([]byte, error) {
	if len(e.keys) == 0 {
		return nil, errors.New("there is no encryption key")
	}
	k := e.keys[0]
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce)
	sealed := k.aead.Seal(nil, nonce, plain, []byte(sealedPlace))
	return fmt.Appendf(nil, `{"version":%d,"key":%q,"nonce":%q,"sealed":%q}`, sealedVersion, k.id,
		base64.StdEncoding.EncodeToString(nonce), base64.StdEncoding.EncodeToString(sealed)), nil
}

// unseal is stale where another key than the first was needed.
func (e EncryptionKeys) unseal(content []byte) (plain []byte, stale bool, err error) {
	if len(content) > 2*maxFile {
		return nil, false, errors.New("they are too long")
	}
	members, err := strictjson.Object(content)
	if err != nil {
		return nil, false, errors.New("they are not what this program writes")
	}
	v, _ := members.Get("version")
	if n, ok := v.Uint64(); !ok || n != sealedVersion {
		return nil, false, fmt.Errorf("their envelope is not of version %d: a later release of this software wrote it", sealedVersion)
	}
	if err := only(members, "version", "key", "nonce", "sealed"); err != nil {
		return nil, false, err
	}
	texts := map[string]string{}
	for _, name := range []string{"key", "nonce", "sealed"} {
		v, _ := members.Get(name)
		text, ok := v.Text()
		if !ok {
			return nil, false, fmt.Errorf("%s is missing or not a string", name)
		}
		texts[name] = text
	}
	k := e.find(texts["key"])
	if k == nil {
		return nil, false, fmt.Errorf("they are encrypted with a key that was not given: its id is %q, and given were %s", texts["key"], e)
	}
	nonce, errNonce := base64.StdEncoding.Strict().DecodeString(texts["nonce"])
	sealed, errSealed := base64.StdEncoding.Strict().DecodeString(texts["sealed"])
	if errNonce != nil || errSealed != nil || len(nonce) != k.aead.NonceSize() {
		return nil, false, errors.New("they are not what this program writes")
	}
	plain, err = k.aead.Open(nil, nonce, sealed, []byte(sealedPlace))
	if err != nil {
		return nil, false, errors.New("they were changed, or are from another place: they do not open with their key")
	}
	return plain, k.id != e.keys[0].id, nil
}

// String is the ids.
func (e EncryptionKeys) String() string {
	var ids []string
	for _, k := range e.keys {
		ids = append(ids, k.id)
	}
	if ids == nil {
		return "none"
	}
	return strings.Join(ids, ", ")
}
func (e EncryptionKeys) GoString() string             { return e.String() }
func (e EncryptionKeys) Format(f fmt.State, _ rune)   { io.WriteString(f, e.String()) }
func (e EncryptionKeys) LogValue() slog.Value         { return slog.StringValue(e.String()) }
func (e EncryptionKeys) MarshalText() ([]byte, error) { return []byte(e.String()), nil }
