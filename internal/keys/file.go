package keys

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
)

const (
	// maxFile is more than fifty RSA keys.
	maxFile = 256 << 10
	// fileMode is the only mode written; any that lets others in is refused.
	fileMode = 0o600
	// version of the file's format.
	version = 1
)

// readFile reads and judges a whole file. The error is fs.ErrNotExist when there
// is none.
func readFile(path string) ([]key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of the file that is open, not of what the name means now
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others than its owner may use it (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", path, maxFile)
	}
	keys, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// parse reads the document. Errors repeat nothing of it: its one interesting
// part is secret.
func parse(data []byte) ([]key, error) {
	members, err := strictjson.Object(data)
	if err != nil {
		return nil, err
	}
	if v, ok := members.Get("version"); !ok {
		return nil, errors.New("version is missing")
	} else if n, ok := v.Uint64(); !ok || n != version {
		return nil, fmt.Errorf("version is not %d: another release of this software wrote it", version)
	}
	if err := only(members, "version", "keys"); err != nil {
		return nil, err
	}
	v, _ := members.Get("keys")
	entries, ok := v.Items()
	if !ok {
		return nil, errors.New("keys is missing or not a list")
	}
	var keys []key
	signing := 0
	for i, entry := range entries {
		k, err := parseKey(entry)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if slices.ContainsFunc(keys, func(other key) bool { return other.id == k.id }) {
			return nil, fmt.Errorf("key %d: it stands there twice", i+1) // KR-1
		}
		if k.state == stateActive {
			signing++
		}
		keys = append(keys, k)
	}
	if signing != 1 {
		return nil, fmt.Errorf("%d keys are active, not one", signing)
	}
	return keys, nil
}

func parseKey(entry strictjson.Value) (key, error) {
	members, err := entry.Object()
	if err != nil {
		return key{}, err
	}
	if err := only(members, "kid", "alg", "state", "created", "private_key"); err != nil {
		return key{}, err
	}
	texts := map[string]string{}
	for _, name := range []string{"kid", "alg", "state", "created", "private_key"} {
		v, _ := members.Get(name)
		text, ok := v.Text()
		if !ok {
			return key{}, fmt.Errorf("%s is missing or not a string", name)
		}
		texts[name] = text
	}
	k := key{id: texts["kid"], alg: jose.Algorithm(texts["alg"]), state: state(texts["state"])}
	if !slices.Contains(Algorithms, k.alg) {
		return key{}, fmt.Errorf("alg is not one of %s", list(Algorithms))
	}
	if k.state != stateActive && k.state != stateRetiring {
		return key{}, fmt.Errorf("state is neither %s nor %s", stateActive, stateRetiring)
	}
	if k.created, err = time.Parse(time.RFC3339, texts["created"]); err != nil {
		return key{}, errors.New("created is not a time of RFC 3339")
	}
	if k.private, err = parsePrivate(texts["private_key"]); err != nil {
		return key{}, err
	}
	if err := jose.Fits(k.alg, k.private.Public()); err != nil { // KR-4
		return key{}, err
	}
	id, err := jose.Thumbprint(k.private.Public())
	if err != nil {
		return key{}, errors.New("private_key has no thumbprint")
	}
	if id != k.id {
		return key{}, errors.New("kid is not the thumbprint of the key")
	}
	return k, nil
}

func parsePrivate(text string) (crypto.Signer, error) {
	// The causes are kept back: they may repeat bytes of the key.
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("private_key is not base64")
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("private_key is not a whole PKCS #8 key")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errors.New("private_key is of a kind that does not sign")
	}
	return signer, nil
}

// only refuses members of other names: a misspelt one must not pass for a
// missing one.
func only(members strictjson.Members, allowed ...string) error {
	for _, m := range members {
		if !slices.Contains(allowed, m.Name) {
			return errors.New("a member has an unknown name")
		}
	}
	return nil
}

// writeFile replaces the file as a whole: a reader, and the next start after a
// crash, finds the old keys or the new ones. The caller holds the folder's lock.
func writeFile(path string, keys []key) (err error) {
	data, err := format(keys)
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return fmt.Errorf("%s: no room for another key", path)
	}
	// What a crash left is removed and never opened: it might be somebody
	// else's trap.
	temporary := path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temporary)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFolder(path)
}

func format(keys []key) ([]byte, error) {
	b := fmt.Appendf(nil, "{\"version\":%d,\"keys\":[", version)
	for i, k := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return nil, errors.New("a key has no PKCS #8 form")
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, "\n"...)
		for _, m := range []struct{ name, value string }{
			{`{"kid":`, k.id}, {`,"alg":`, string(k.alg)}, {`,"state":`, string(k.state)},
			{`,"created":`, k.created.UTC().Format(time.RFC3339)}, {`,"private_key":`, base64.StdEncoding.EncodeToString(der)},
		} {
			b = append(b, m.name...)
			b = strconv.AppendQuote(b, m.value)
		}
		b = append(b, '}')
	}
	return append(b, "\n]}\n"...), nil
}

func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
