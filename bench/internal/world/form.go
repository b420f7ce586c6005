package world

import (
	"crypto"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// newcomers is the path below which workloads register on first use.
const newcomers = "/new"

// JWTClient is the client_id of the n-th client with a JWT-SVID, which is its
// SPIFFE ID. Clients are dealt out to the trust domains in turn.
func (w *World) JWTClient(n int) string { return jwtClient(n, len(w.Domains)) }

func jwtClient(n, domains int) string {
	return fmt.Sprintf("spiffe://%s/client/%d", domainName(n%domains), n)
}

func x509Client(n int) string { return fmt.Sprintf("spiffe://%s/x509/%d", domainName(0), n) }

func webClient(n int) string { return fmt.Sprintf("spiffe://%s/web/%d", domainName(0), n) }

func apiClient() string { return fmt.Sprintf("spiffe://%s/api", domainName(0)) }

// Newcomer is the SPIFFE ID of a workload of the first trust domain that no
// configuration has.
func Newcomer(n int) string { return fmt.Sprintf("spiffe://%s%s/%d", domainName(0), newcomers, n) }

// X509Form is the form of a client whose X.509-SVID is on the connection.
func X509Form(client int) string {
	return url.Values{
		oauth.ParamGrantType: {string(oauth.GrantClientCredentials)},
		oauth.ParamClientID:  {x509Client(client % X509Clients)},
	}.Encode()
}

// JWTForm signs a JWT-SVID that has not been seen before and returns the form of
// the client that shows it. Serial tells it from all others of this client.
func (w *World) JWTForm(client int, serial uint64, lifetime time.Duration) (string, error) {
	return w.form(w.Domains[client%len(w.Domains)], w.JWTClient(client), serial, lifetime)
}

// NewcomerForm is the same of a workload that registers on first use.
func (w *World) NewcomerForm(n int, serial uint64, lifetime time.Duration) (string, error) {
	return w.form(w.Domains[0], Newcomer(n), serial, lifetime)
}

func (w *World) form(d Domain, id string, serial uint64, lifetime time.Duration) (string, error) {
	v, err := w.authenticated(d, id, serial, lifetime)
	if err != nil {
		return "", err
	}
	v.Set(oauth.ParamGrantType, string(oauth.GrantClientCredentials))
	return v.Encode(), nil
}

// authenticated are the parameters of a client with a fresh JWT-SVID.
func (w *World) authenticated(d Domain, id string, serial uint64, lifetime time.Duration) (url.Values, error) {
	now := w.Now()
	svid, err := d.Sign(map[string]any{
		"sub": id, "aud": []string{Issuer}, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		"jti": strconv.FormatUint(serial, 36),
	})
	if err != nil {
		return nil, err
	}
	return url.Values{
		oauth.ParamClientID:            {id},
		oauth.ParamClientAssertionType: {oauth.ClientAssertionTypeJWTSPIFFE},
		oauth.ParamClientAssertion:     {svid},
	}, nil
}

// Sign signs claims as a JWT.
func (d Domain) Sign(claims map[string]any) (string, error) {
	return devca.SignJWT(map[string]any{"alg": "ES256", "kid": d.keyID, "typ": "JWT"}, claims, d.key, jose.ES256)
}

// JWK is the key that Sign's signatures are verified with.
func (d Domain) JWK() ([]byte, error) {
	return jose.MarshalJWK(d.key.Public(), d.keyID, "sig", jose.ES256)
}

// JWTForms signs n JWT-SVIDs, on as many cores as there are. They are of
// different clients as far as there are so many, spread over all of them, and
// serials begin at first.
func (w *World) JWTForms(n, clients int, first uint64, lifetime time.Duration) ([]string, error) {
	// A stride through the clients that meets each once before any twice, and
	// neighbours in the registry never one after the other.
	stride := coprime(clients)
	return Many(n, func(i int) (string, error) { return w.JWTForm(i*stride%clients, first+uint64(i), lifetime) })
}

// Many makes n of something, on as many cores as there are.
func Many[T any](n int, one func(i int) (T, error)) ([]T, error) {
	all := make([]T, n)
	workers := min(n, runtime.GOMAXPROCS(0))
	errs := make([]error, workers)
	var making sync.WaitGroup
	for worker := range workers {
		making.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += workers {
				all[i], errs[worker] = one(i)
			}
		})
	}
	making.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A WIT is a WIT-SVID and the key of its holder.
type WIT struct {
	ClientID string
	SVID     string
	holder   crypto.Signer
}

// WIT signs a WIT-SVID for a client, with a key that no other one has.
func (w *World) WIT(client int, lifetime time.Duration) (WIT, error) {
	holder, err := devca.GenerateKey(devca.P256)
	if err != nil {
		return WIT{}, err
	}
	jwk, err := jose.MarshalJWK(holder.Public(), "", "", jose.ES256)
	if err != nil {
		return WIT{}, err
	}
	d, id, now := w.Domains[client%len(w.Domains)], w.JWTClient(client), w.Now()
	svid, err := devca.SignJWT(
		map[string]any{"alg": "ES256", "kid": d.witKeyID, "typ": oauth.TypeWIT},
		map[string]any{"sub": id, "cnf": map[string]any{"jwk": json.RawMessage(jwk)}, "iat": now.Unix(), "exp": now.Add(lifetime).Unix()},
		d.witKey, jose.ES256)
	return WIT{id, svid, holder}, err
}

// Form is the form of a request with the WIT-SVID.
func (t WIT) Form() string {
	return url.Values{oauth.ParamGrantType: {string(oauth.GrantClientCredentials)}, oauth.ParamClientID: {t.ClientID}}.Encode()
}

// Header is the WIT-SVID with a proof made now, which is good for a minute.
func (t WIT) Header(now time.Time) ([]string, error) {
	proof, err := devca.Proof(t.holder, Issuer, now)
	return []string{oauth.HeaderClientAttestation + ": " + t.SVID, oauth.HeaderClientAttestationPoP + ": " + proof}, err
}

// coprime is a number of about 0.6 n that has no divisor in common with n.
func coprime(n int) int {
	for s := max(1, n*618/1000); ; s++ {
		a, b := n, s
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return s
		}
	}
}
