package client

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

const maxSVIDFile = 64 << 10 // chain or key; MT-8 allows half of it for a chain

// JWTSVIDFile reads a JWT-SVID that something else keeps fresh in a file, in
// compact form, with or without a newline after it. The file is read whenever the
// client needs a JWT-SVID, which is at half of the last one's life. Whatever
// writes it must ask for the issuer as the only audience.
func JWTSVIDFile(path string) JWTSource { return jwtFile(path) }

type jwtFile string

func (f jwtFile) FetchJWTSVID(context.Context, string) (string, error) {
	data, err := readFile(string(f), maxAssertion+2)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%s is empty", f)
	}
	return token, nil
}

// X509SVIDFiles reads an X.509-SVID that something else keeps fresh in two PEM
// files: the certificate chain, leaf first, and the private key in PKCS #8. Both
// may be the same file. They are read again when either changes; while they do not
// fit together, because one of them is still being written, the client stays with
// the SVID it has until that ends.
func X509SVIDFiles(chainPath, keyPath string) X509Source {
	return &x509Files{chain: chainPath, key: keyPath}
}

// errUnsettled marks files that do not make an SVID, perhaps not yet. A missing
// file is not among them: it has been taken away.
var errUnsettled = errors.New("the files hold no SVID with its key")

type x509Files struct {
	chain, key string

	mu    sync.Mutex
	svid  *x509svid.SVID
	stamp [2]stamp // of the files that svid was read from
}

// A stamp changes when a file is replaced or written.
type stamp struct {
	info    os.FileInfo // for os.SameFile
	modTime time.Time
	size    int64
}

func (a stamp) equal(b stamp) bool {
	return a.info != nil && b.info != nil && os.SameFile(a.info, b.info) && a.modTime.Equal(b.modTime) && a.size == b.size
}

func stampsOf(paths ...string) (s [2]stamp, err error) {
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info, info.ModTime(), info.Size()}
	}
	return s, nil
}

func (f *x509Files) GetX509SVID() (*x509svid.SVID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, err := stampsOf(f.chain, f.key)
	if err != nil {
		return nil, err
	}
	if f.svid != nil && before[0].equal(f.stamp[0]) && before[1].equal(f.stamp[1]) {
		return f.svid, nil
	}
	chain, err := readFile(f.chain, maxSVIDFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile(f.key, maxSVIDFile)
	if err != nil {
		return nil, err
	}
	svid, err := x509svid.Parse(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %s and %s: %w", errUnsettled, f.chain, f.key, err)
	}
	// A file that changed while it was read is read again next time.
	f.svid, f.stamp = svid, before
	return svid, nil
}

// WITSVIDFiles reads a WIT-SVID that something else keeps fresh in two files: the
// token in compact form, and its private key as a JWK or as PKCS #8 in PEM. They are
// read again when either changes; while they do not fit together, because one of
// them is still being written, the client stays with the WIT-SVID it has until that
// ends. `spire-server wit mint -write` makes such files.
func WITSVIDFiles(tokenPath, keyPath string) WITSource {
	return &witFiles{token: tokenPath, key: keyPath}
}

type witFiles struct {
	token, key string

	mu     sync.Mutex
	text   string
	signer crypto.Signer // nil before the first reading
	stamp  [2]stamp
}

func (f *witFiles) GetWITSVID() (token string, key crypto.Signer, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, err := stampsOf(f.token, f.key)
	if err != nil {
		return "", nil, err
	}
	if f.signer != nil && before[0].equal(f.stamp[0]) && before[1].equal(f.stamp[1]) {
		return f.text, f.signer, nil
	}
	text, err := readFile(f.token, oauth.MaxAttestation+2)
	if err != nil {
		return "", nil, err
	}
	raw, err := readFile(f.key, maxSVIDFile)
	if err != nil {
		return "", nil, err
	}
	token = strings.TrimSpace(string(text))
	if key, err = privateKey(raw); err == nil {
		_, err = parseAttestation(token, key, func() time.Time { return time.Time{} }) // its end is judged at each use
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s and %s: %w", errUnsettled, f.token, f.key, err)
	}
	f.text, f.signer, f.stamp = token, key, before
	return token, key, nil
}

// privateKey reads a JWK, or PKCS #8 in PEM. No error repeats anything of it.
func privateKey(raw []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return jose.ParsePrivateJWK(raw)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a private key in PKCS #8")
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that does not sign")
	}
	return signer, nil
}

// X509BundleFile reads the X.509 bundle of one trust domain from a file, for
// Config.ServerBundles: a SPIFFE bundle, or its anchors in PEM, of at most 1 MiB. It
// is read at each handshake with the server, so whatever keeps it fresh needs to tell
// nobody. PEM does not say whose anchors it holds: those of other trust domains must
// not be among them, or these could vouch for the server, too (XS-11).
func X509BundleFile(path string, trustDomain spiffeid.TrustDomain) x509bundle.Source {
	return bundleFile{path, trustDomain}
}

const maxBundleFile = 1 << 20

type bundleFile struct {
	path        string
	trustDomain spiffeid.TrustDomain
}

func (f bundleFile) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	if td != f.trustDomain {
		return nil, fmt.Errorf("%s is the bundle of %s, not of %s", f.path, f.trustDomain, td)
	}
	data, err := readFile(f.path, maxBundleFile)
	if err != nil {
		return nil, err
	}
	var bundle *x509bundle.Bundle
	if block, _ := pem.Decode(data); block != nil {
		bundle, err = x509bundle.Parse(td, data)
	} else if document, failed := spiffebundle.Parse(td, data); failed == nil {
		bundle = document.X509Bundle()
	} else {
		err = fmt.Errorf("neither a SPIFFE bundle nor certificates in PEM: %w", failed)
	}
	if err == nil && len(bundle.X509Authorities()) == 0 {
		err = errors.New("there is no anchor in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return bundle, nil
}

// readFile reads a regular file of at most limit bytes. Opening a FIFO waits for a
// writer that may never come, and opening a device can have effects, so both are
// refused before; what was put there in between is refused after, and openFlags
// keep that open from waiting.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return data, nil
}

func checkRegular(path string, info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}
