package credential

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

func chainPEM(t testing.TB) (chain, key []byte) {
	t.Helper()
	a, err := devca.New("example.org", devca.Options{Intermediate: true})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := a.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	for _, der := range svid.TLSCertificate().Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := svid.KeyDER()
	if err != nil {
		t.Fatal(err)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

const someJWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzcGlmZmU6Ly9hL2IifQ.AAAA"

func TestRead(t *testing.T) {
	chain, key := chainPEM(t)
	for _, c := range []struct {
		name, input string
		assertion   bool
		certs       int
		note        string
		err         error
	}{
		{"a JWT", someJWT, true, 0, "", nil},
		{"a JWT in a line", someJWT + "\r\n", true, 0, "white space", nil},
		{"a header's value", "Bearer " + someJWT + "\n", true, 0, "Bearer", nil},
		{"in another case", "bearer  " + someJWT, true, 0, "Bearer", nil},
		{"what SPIRE's command prints", "token(spiffe://a/b):\n\t" + someJWT + "\nbundle(spiffe://a):\n\t{\"keys\": []}\n", true, 0, "lines around", nil},
		{"what only looks like a JWT, for the rules to refuse", "a.b", true, 0, "", nil},
		{"a chain", string(chain), false, 2, "", nil},
		{"a chain with text", "subject=/C=US\n" + string(chain), false, 2, "text before", nil},
		{"something else among it", string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{1}})) + string(chain), false, 2, "no certificates", nil},
		{"the CA first", reversed(chain), false, 2, "certificate 2 looks like", nil},
		{"nothing", " \n", false, 0, "", ErrEmpty},
		{"too much", strings.Repeat("a", MaxInput+1), false, 0, "", ErrTooLong},
		{"a key", string(key), false, 0, "", ErrPrivateKey},
		{"a key behind a chain", string(chain) + string(key), false, 0, "", ErrPrivateKey},
		{"a key of another kind", "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n", false, 0, "", ErrPrivateKey},
		{"a key without an end", "-----BEGIN RSA PRIVATE KEY-----\nAA", false, 0, "", ErrPrivateKey},
		{"a JWK with a private part", `{"kty":"EC", "d" : "AAAA"}`, false, 0, "", ErrPrivateKey},
		{"a JWK with a private part, and its name escaped", `{"kty":"EC","\u0064":"AAAA"}`, false, 0, "", ErrPrivateKey},
		{"an RSA key", `{"kty":"RSA","n":"AA","p":"AAAA"}`, false, 0, "", ErrPrivateKey},
		{"a symmetric key", `{"kty":"oct","k":"AAAA"}`, false, 0, "", ErrPrivateKey},
		{"keys in an array", `[{"kty":"EC","d":"AAAA"}]`, false, 0, "", ErrPrivateKey},
		{"a set of keys behind a JWT", someJWT + "\n{\"keys\":[{\"kty\":\"EC\",\"d\":\"AAAA\"}]}\n", false, 0, "", ErrPrivateKey},
		{"a public key is no credential", `{"kty":"EC"}`, false, 0, "", ErrUnknown},
		{"a private key in a JWT", "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"cnf":{"jwk":{"kty":"EC","d":"AA"}}}`)) + ".AAAA", false, 0, "", ErrPrivateKey},
		{"a claim of that name", "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"d":"AA"}`)) + ".AAAA", true, 0, "", nil},
		{"a header", "Authorization: Bearer " + someJWT, true, 0, "Bearer", nil},
		{"a JWT over two lines", "eyJhbGciOiJFUzI1NiJ9.\n" + someJWT[21:], false, 0, "", ErrWrapped},
		{"a JWT in a word of digits", "0.1.2", true, 0, "", nil},
		{"a chain in DER", string(der(chain)), false, 2, "", nil},
		{"no DER", "\x30\x03abc", false, 0, "", ErrBinary},
		{"PEM cut off", "-----BEGIN CERTIFICATE-----\nAA", false, 0, "", ErrCutOff},
		{"two JWTs", someJWT + "\n" + someJWT + "\n", false, 0, "", ErrSeveral},
		{"a sentence", "this is no SVID", false, 0, "", ErrUnknown},
		{"one word", "SVID", false, 0, "", ErrUnknown},
		{"PEM of something else", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}})), false, 0, "", ErrUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read([]byte(c.input))
			if !errors.Is(err, c.err) || (got.JWT != "") != c.assertion || len(got.Certificates) != c.certs {
				t.Fatalf("assertion %t, %d certificates, %v", got.JWT != "", len(got.Certificates), err)
			}
			if notes := strings.Join(got.Notes, "; "); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
			if c.assertion && strings.ContainsAny(got.JWT, " \r\n\t") {
				t.Errorf("white space was left: %q", got.JWT)
			}
		})
	}
	if c, err := Read(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no DER")})); err == nil || !strings.Contains(err.Error(), "certificate 1") {
		t.Errorf("%v, %v", c, err)
	}
}

func der(chain []byte) (all []byte) {
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, block.Bytes...)
	}
	return all
}

// A chain survives its own PEM form.
func TestPEM(t *testing.T) {
	chain, _ := chainPEM(t)
	c, err := Read(der(chain))
	if err != nil || !bytes.Equal(c.PEM(), chain) {
		t.Errorf("%v: %s", err, c.PEM())
	}
}

func reversed(chain []byte) string {
	first, rest := pem.Decode(chain)
	return string(rest) + string(pem.EncodeToMemory(first))
}

// AU-2: a credential does not print.
func TestCredentialDoesNotPrint(t *testing.T) {
	c, err := Read([]byte(someJWT))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "credential", c)
	if fmt.Fprintf(&log, "%v %+v %#v %s", c, c, c, &c); strings.Contains(log.String(), "eyJ") {
		t.Error(log.String())
	}
}

// FuzzRead: whatever is read, an error repeats nothing of it, a private key is
// never taken, and what is taken is one credential.
func FuzzRead(f *testing.F) {
	chain, key := chainPEM(f)
	for _, seed := range [][]byte{[]byte(someJWT), []byte("Bearer " + someJWT), chain, key, append(bytes.Clone(chain), key...), der(chain), []byte(`{"kty":"EC","d":"A"}`), []byte("token(x):\n\t" + someJWT), []byte("-----BEGIN "), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(data)
		if err != nil {
			for _, line := range strings.Fields(string(data)) {
				if len(line) > 24 && strings.Contains(err.Error(), line) {
					t.Errorf("the error repeats the input: %v", err)
				}
			}
			return
		}
		if (c.JWT == "") == (len(c.Certificates) == 0) {
			t.Error("not one credential")
		}
		if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
			t.Error("an input with a private key was taken")
		}
		for _, certificate := range c.Certificates {
			if _, err := x509.ParseCertificate(certificate.Raw); err != nil {
				t.Error(err)
			}
		}
	})
}

// A WIT-SVID and its proof are one credential, in either order, with or without the
// names of their headers; any other two JWTs are two.
func TestPair(t *testing.T) {
	of := func(typ string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"`+typ+`"}`)) + ".e30.AAAA"
	}
	wit, pop := of("wit+jwt"), of("oauth-client-attestation-pop+jwt")
	for _, c := range []struct{ name, input, jwt, proof string }{
		{"a WIT-SVID", wit, wit, ""},
		{"a WIT-SVID behind its header's name", "OAuth-Client-Attestation: " + wit, wit, ""},
		{"both", wit + "\n" + pop + "\n", wit, pop},
		{"the proof first", pop + "\n" + wit, wit, pop},
		{"headers", "oauth-client-attestation-pop: " + pop + "\r\noauth-client-attestation: " + wit + "\r\n", wit, pop},
		{"two WIT-SVIDs", wit + "\n" + wit, "", ""},
		{"two proofs", pop + "\n" + pop, "", ""},
		{"a JWT-SVID and a proof", someJWT + "\n" + pop, "", ""},
		{"three", wit + "\n" + pop + "\n" + pop, "", ""},
	} {
		got, err := Read([]byte(c.input))
		if got.JWT != c.jwt || got.Proof != c.proof || (c.jwt == "") != errors.Is(err, ErrSeveral) || got.WIT() != (c.jwt == wit) {
			t.Errorf("%s: JWT %t, proof %t, WIT %t, %v", c.name, got.JWT != "", got.Proof != "", got.WIT(), err)
		}
	}
	if c, err := Read([]byte(someJWT)); err != nil || c.WIT() {
		t.Errorf("a JWT-SVID is taken for a WIT-SVID: %v", err)
	}
	private := base64.RawURLEncoding.EncodeToString([]byte(`{"jwk":{"kty":"EC","d":"AA"}}`))
	if _, err := Read([]byte(wit + "\n" + strings.Replace(pop, ".e30.", "."+private+".", 1))); !errors.Is(err, ErrPrivateKey) {
		t.Errorf("a private key in a proof: %v", err)
	}
}
