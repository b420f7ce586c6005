package world

import (
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

// JWTClient is the client_id of the n-th client with a JWT-SVID, which is its
// SPIFFE ID. Clients are dealt out to the trust domains in turn.
func (w *World) JWTClient(n int) string { return jwtClient(n, len(w.Domains)) }

func jwtClient(n, domains int) string {
	return fmt.Sprintf("spiffe://%s/client/%d", domainName(n%domains), n)
}

func x509Client(n int) string { return fmt.Sprintf("spiffe://%s/x509/%d", domainName(0), n) }

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
	id, now := w.JWTClient(client), time.Now()
	svid, err := w.Domains[client%len(w.Domains)].Sign(map[string]any{
		"sub": id, "aud": []string{Issuer}, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		"jti": strconv.FormatUint(serial, 36),
	})
	if err != nil {
		return "", err
	}
	return url.Values{
		oauth.ParamGrantType:           {string(oauth.GrantClientCredentials)},
		oauth.ParamClientID:            {id},
		oauth.ParamClientAssertionType: {oauth.ClientAssertionTypeJWTSPIFFE},
		oauth.ParamClientAssertion:     {svid},
	}.Encode(), nil
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
	forms := make([]string, n)
	// A stride through the clients that meets each once before any twice, and
	// neighbours in the registry never one after the other.
	stride := coprime(clients)
	workers := min(n, runtime.GOMAXPROCS(0))
	errs := make([]error, workers)
	var signing sync.WaitGroup
	for worker := range workers {
		signing.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += workers {
				forms[i], errs[worker] = w.JWTForm(i*stride%clients, first+uint64(i), lifetime)
			}
		})
	}
	signing.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return forms, nil
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
