// Command floor is the least a server can do and still hand out tokens for
// SVIDs: the standard library, one trust domain, no clients, no policy, no
// audit. It is the yardstick that every figure of the product is quoted against;
// it is no server for use.
//
// POST /token with client_assertion verifies an ES256 JWT-SVID, remembers its
// digest and signs an ES256 token. With a client certificate and no assertion it
// verifies the chain instead. With -wit it verifies an ES256 WIT-SVID in the headers
// and the proof by its key, and remembers the proof. With -remember it does not verify again what it has
// verified; that is the yardstick for SVIDs that are presented again.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var b64 = base64.RawURLEncoding

type floor struct {
	issuer string
	keys   map[string]*ecdsa.PublicKey // by kid
	roots  *x509.CertPool
	signer *ecdsa.PrivateKey

	wit      bool
	remember bool
	mu       sync.Mutex
	seen     map[[32]byte]claims // guarded by mu; by what was signed
	proofs   map[[32]byte]int64  // guarded by mu; until when
}

type claims struct {
	Sub       string
	Aud       []string
	Exp       int64
	Cnf       struct{ Jwk struct{ X, Y string } }
	holder    *ecdsa.PublicKey // of a WIT-SVID
	signature string
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	issuer := flag.String("issuer", "", "issuer and only audience")
	bundle := flag.String("bundle", "", "SPIFFE bundle file")
	cert := flag.String("cert", "", "server certificate")
	key := flag.String("key", "", "server key")
	remember := flag.Bool("remember", false, "remember results of signatures")
	wit := flag.Bool("wit", false, "take WIT-SVIDs with proofs, and nothing else")
	flag.Parse()

	f := &floor{issuer: *issuer, keys: map[string]*ecdsa.PublicKey{}, roots: x509.NewCertPool(), wit: *wit, remember: *remember, seen: map[[32]byte]claims{}, proofs: map[[32]byte]int64{}}
	if err := f.readBundle(*bundle); err != nil {
		log.Fatal(err)
	}
	var err error
	if f.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		log.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "ready", l.Addr())
	http.HandleFunc("POST /token", f.token)
	server := &http.Server{ErrorLog: log.New(os.Stderr, "", 0)}
	log.Fatal(server.Serve(tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"},
	})))
}

func (f *floor) readBundle(name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var set struct {
		Keys []struct {
			Use, Kid, X, Y string
			X5c            []string
		}
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return err
	}
	for _, k := range set.Keys {
		switch k.Use {
		case "x509-svid":
			f.roots.AppendCertsFromPEM([]byte("-----BEGIN CERTIFICATE-----\n" + k.X5c[0] + "\n-----END CERTIFICATE-----\n"))
		case f.use():
			pub, err := publicKey(k.X, k.Y)
			if err != nil {
				return err
			}
			f.keys[k.Kid] = pub
		}
	}
	return nil
}

func (f *floor) use() string {
	if f.wit {
		return "wit-svid"
	}
	return "jwt-svid"
}

func publicKey(xText, yText string) (*ecdsa.PublicKey, error) {
	x, _ := b64.DecodeString(xText)
	y, _ := b64.DecodeString(yText)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
}

func (f *floor) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	sub, ok := "", false
	if f.wit {
		sub, ok = f.verifyWIT(r.Header.Get("OAuth-Client-Attestation"), r.Header.Get("OAuth-Client-Attestation-PoP"))
	} else if a := r.PostForm.Get("client_assertion"); a != "" {
		c, verified := f.verify(a)
		sub, ok = c.Sub, verified && len(c.Aud) == 1 && c.Aud[0] == f.issuer
	} else {
		sub, ok = f.verifyChain(r.TLS.PeerCertificates)
	}
	if !ok {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	now := time.Now().Unix()
	header := b64.EncodeToString([]byte(`{"typ":"at+jwt","alg":"ES256","kid":"floor"}`))
	payload, _ := json.Marshal(map[string]any{"iss": f.issuer, "sub": sub, "client_id": sub, "aud": "https://api.example.com/", "iat": now, "exp": now + 300, "jti": rand.Text()})
	input := header + "." + b64.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	rr, ss, err := ecdsa.Sign(rand.Reader, f.signer, digest[:])
	if err != nil {
		http.Error(w, "sign", http.StatusInternalServerError)
		return
	}
	var sig [64]byte
	rr.FillBytes(sig[:32])
	ss.FillBytes(sig[32:])
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(map[string]any{"access_token": input + "." + b64.EncodeToString(sig[:]), "token_type": "Bearer", "expires_in": 300})
}

// verify verifies an SVID that is signed by the trust domain.
func (f *floor) verify(a string) (claims, bool) {
	parts := strings.Split(a, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	now := time.Now().Unix()
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if f.remember {
		f.mu.Lock()
		known := f.seen[digest]
		f.mu.Unlock()
		if known.signature == parts[2] && known.Exp >= now {
			return known, true
		}
	}
	var header struct{ Alg, Kid string }
	var c claims
	h, _ := b64.DecodeString(parts[0])
	p, _ := b64.DecodeString(parts[1])
	if json.Unmarshal(h, &header) != nil || json.Unmarshal(p, &c) != nil || header.Alg != "ES256" {
		return claims{}, false
	}
	key, ok := f.keys[header.Kid]
	if !ok || !signed(key, digest, parts[2]) || c.Exp < now {
		return claims{}, false
	}
	if f.wit {
		var err error
		if c.holder, err = publicKey(c.Cnf.Jwk.X, c.Cnf.Jwk.Y); err != nil {
			return claims{}, false
		}
	}
	kept := claims{Exp: c.Exp} // nothing else is asked for
	if f.remember {
		kept = c
		kept.signature = strings.Clone(parts[2]) // and not all of the request
	}
	f.mu.Lock()
	f.seen[digest] = kept
	f.mu.Unlock()
	return c, true
}

func signed(key *ecdsa.PublicKey, digest [32]byte, signature string) bool {
	sig, _ := b64.DecodeString(signature)
	return len(sig) == 64 && ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// verifyWIT verifies a WIT-SVID and the proof by its holder's key, once.
func (f *floor) verifyWIT(wit, proof string) (string, bool) {
	c, ok := f.verify(wit)
	parts := strings.Split(proof, ".")
	if !ok || len(parts) != 3 {
		return "", false
	}
	var header struct{ Alg string }
	var said struct {
		Aud, Jti string
		Iat      int64
	}
	h, _ := b64.DecodeString(parts[0])
	p, _ := b64.DecodeString(parts[1])
	if json.Unmarshal(h, &header) != nil || json.Unmarshal(p, &said) != nil || header.Alg != "ES256" {
		return "", false
	}
	now := time.Now().Unix()
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if said.Aud != f.issuer || said.Jti == "" || max(said.Iat-now, now-said.Iat) > 60 || !signed(c.holder, digest, parts[2]) {
		return "", false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, used := f.proofs[digest]; used {
		return "", false
	}
	f.proofs[digest] = said.Iat + 60
	return c.Sub, true
}

func (f *floor) verifyChain(chain []*x509.Certificate) (string, bool) {
	if len(chain) == 0 || len(chain[0].URIs) != 1 {
		return "", false
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: f.roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return chain[0].URIs[0].String(), err == nil
}
