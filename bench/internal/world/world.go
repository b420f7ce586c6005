package world

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

const (
	// Issuer is the issuer of every server that is measured, wherever it listens.
	Issuer = "https://127.0.0.1"
	// Resource is the API that tokens are for.
	Resource = "https://api.example.com/"
	// X509Clients is how many clients have an X.509-SVID.
	X509Clients = 64

	svidLifetime = 25 * time.Hour // longer than the day of bench/day
)

// A World is what the folder holds.
type World struct {
	Dir     string
	Now     func() time.Time // by which SVIDs are made; time.Now unless somebody sets it
	Roots   *x509.CertPool   // of the server's certificate
	Domains []Domain
	SVIDs   []tls.Certificate // X.509-SVIDs of the first domain, by client
}

// A Domain is a trust domain that signs JWT-SVIDs and WIT-SVIDs.
type Domain struct {
	Name     string
	keyID    string
	key      crypto.Signer
	witKeyID string
	witKey   crypto.Signer
}

func at(dir string) (*World, error) {
	absolute, err := filepath.Abs(dir) // the configuration may be read elsewhere
	return &World{Dir: absolute, Now: time.Now, Roots: x509.NewCertPool()}, err
}

// Make fills a folder with so many trust domains. The first has X.509-SVIDs.
func Make(dir string, domains int) (*World, error) {
	w, err := at(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := w.makeServer(); err != nil {
		return nil, err
	}
	for n := range domains {
		authority, err := devca.New(domainName(n), devca.Options{X509Lifetime: svidLifetime, WIT: true})
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(w.Bundle(n), authority.Bundle(), 0o600); err != nil {
			return nil, err
		}
		keyID, _, key := authority.JWTKey()
		witKeyID, _, witKey := authority.WITKey()
		if err := errors.Join(writeKey(w.path("domain-%d.key", n), key), writeKey(w.path("domain-%d.wit.key", n), witKey)); err != nil {
			return nil, err
		}
		w.Domains = append(w.Domains, Domain{domainName(n), keyID, key, witKeyID, witKey})
		if n == 0 {
			if err := w.makeX509(authority); err != nil {
				return nil, err
			}
		}
	}
	return w, os.WriteFile(w.path("domains"), []byte(strconv.Itoa(domains)), 0o600)
}

func (w *World) makeServer() error {
	ca, err := devca.NewServerCA(time.Now)
	if err != nil {
		return err
	}
	pair, err := ca.Certificate("127.0.0.1", "::1")
	if err != nil {
		return err
	}
	chain, key, err := devca.ServerPEM(pair)
	if err != nil {
		return err
	}
	w.Roots.AppendCertsFromPEM(ca.PEM())
	return errors.Join(
		os.WriteFile(w.path("ca.crt"), ca.PEM(), 0o600),
		os.WriteFile(w.Certificate(), chain, 0o600),
		os.WriteFile(w.Key(), key, 0o600),
	)
}

func (w *World) makeX509(authority *devca.Authority) error {
	for n := range X509Clients {
		svid, err := authority.X509SVID(fmt.Sprintf("/x509/%d", n))
		if err != nil {
			return err
		}
		pair := svid.TLSCertificate()
		chain, key, err := devca.ServerPEM(pair) // a chain and a key, whatever they are for
		if err != nil {
			return err
		}
		if err := os.WriteFile(w.path("svid-%d.pem", n), append(chain, key...), 0o600); err != nil {
			return err
		}
		w.SVIDs = append(w.SVIDs, pair)
	}
	return nil
}

// Open reads what Make has made.
func Open(dir string) (*World, error) {
	w, err := at(dir)
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(w.path("ca.crt"))
	if err != nil {
		return nil, err
	}
	w.Roots.AppendCertsFromPEM(roots)
	text, err := os.ReadFile(w.path("domains"))
	if err != nil {
		return nil, err
	}
	domains, err := strconv.Atoi(string(text))
	if err != nil {
		return nil, err
	}
	for n := range domains {
		d := Domain{Name: domainName(n)}
		if d.keyID, d.key, err = named(w.path("domain-%d.key", n)); err != nil {
			return nil, err
		}
		if d.witKeyID, d.witKey, err = named(w.path("domain-%d.wit.key", n)); err != nil {
			return nil, err
		}
		w.Domains = append(w.Domains, d)
	}
	for n := range X509Clients {
		file := w.path("svid-%d.pem", n)
		pair, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			return nil, err
		}
		w.SVIDs = append(w.SVIDs, pair)
	}
	return w, nil
}

// named reads a key and the kid that its bundle has it under.
func named(file string) (kid string, key crypto.Signer, err error) {
	if key, err = readKey(file); err == nil {
		kid, err = jose.Thumbprint(key.Public())
	}
	return kid, key, err
}

func domainName(n int) string { return fmt.Sprintf("domain-%d.test", n) }

func (w *World) path(format string, n ...any) string {
	return filepath.Join(w.Dir, fmt.Sprintf(format, n...))
}

// Certificate is the file with the certificate of the server's TLS.
func (w *World) Certificate() string { return w.path("as.crt") }

// Key is the file with the key of Certificate.
func (w *World) Key() string { return w.path("as.key") }

// Bundle is the file with the bundle of the n-th trust domain.
func (w *World) Bundle(n int) string { return w.path("domain-%d.json", n) }

// TLS is the client's side of a connection without a certificate.
func (w *World) TLS() *tls.Config { return &tls.Config{RootCAs: w.Roots} }

// MutualTLS is the client's side of a connection that presents the X.509-SVID of
// a client.
func (w *World) MutualTLS(client int) *tls.Config {
	return &tls.Config{RootCAs: w.Roots, Certificates: []tls.Certificate{w.SVIDs[client%len(w.SVIDs)]}}
}
