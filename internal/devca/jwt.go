package devca

import (
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
)

var errNoWIT = errors.New("devca: this trust domain has no WIT-SVIDs (Options.WIT)")

type signingKey struct {
	use    use
	kid    string
	alg    jose.Algorithm
	signer crypto.Signer
}

func newSigningKey(u use, alg jose.Algorithm) (*signingKey, error) {
	kind, err := keyFor(alg)
	if err != nil {
		return nil, err
	}
	signer, err := GenerateKey(kind)
	if err != nil {
		return nil, err
	}
	kid, err := jose.Thumbprint(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("devca: %w", err)
	}
	return &signingKey{u, kid, alg, signer}, nil
}

// JWTKey is the key that signs JWT-SVIDs now, for tests that sign by hand.
func (a *Authority) JWTKey() (kid string, alg jose.Algorithm, key crypto.Signer) {
	k := a.signingKey(useJWT)
	return k.kid, k.alg, k.signer
}

// WITKey is the key that signs WIT-SVIDs now; zero values without Options.WIT.
func (a *Authority) WITKey() (kid string, alg jose.Algorithm, key crypto.Signer) {
	if k := a.signingKey(useWIT); k != nil {
		return k.kid, k.alg, k.signer
	}
	return "", "", nil
}

func (a *Authority) signingKey(u use) *signingKey {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signing[u]
}

// JWTSVID makes a JWT-SVID for the workload at path. The header has alg, kid and
// typ (JS-5); the claims are sub, aud (always an array), iat and exp. Times are
// int64 seconds. The mutate functions change both before they are signed and
// nothing is checked after them. The signature is always made with the
// authority's key and its own algorithm, so a changed alg is a lie.
func (a *Authority) JWTSVID(path string, audience []string, mutate ...func(header, claims map[string]any)) (string, error) {
	id, err := spiffeid.FromPath(a.td, path)
	if err != nil {
		return "", fmt.Errorf("devca: %w", err)
	}
	k, now := a.signingKey(useJWT), a.opts.Now()
	header := map[string]any{"alg": string(k.alg), "kid": k.kid, "typ": "JWT"}
	claims := map[string]any{
		"sub": id.String(),
		"aud": slices.Clone(audience),
		"iat": now.Unix(),
		"exp": now.Add(a.opts.JWTLifetime).Unix(),
	}
	for _, change := range mutate {
		change(header, claims)
	}
	return SignJWT(header, claims, k.signer, k.alg)
}

// WITSVID makes a WIT-SVID that binds the workload at path to the holder's key.
// The header has alg, kid and typ wit+jwt; the claims are sub, cnf with the key
// as a JWK that names its algorithm (WS-13), iat and exp. It needs Options.WIT;
// mutate works as for JWTSVID.
func (a *Authority) WITSVID(path string, holder crypto.PublicKey, mutate ...func(header, claims map[string]any)) (string, error) {
	k := a.signingKey(useWIT)
	if k == nil {
		return "", errNoWIT
	}
	id, err := spiffeid.FromPath(a.td, path)
	if err != nil {
		return "", fmt.Errorf("devca: %w", err)
	}
	alg, err := holderAlgorithm(holder)
	if err != nil {
		return "", err
	}
	raw, err := jose.MarshalJWK(holder, "", "", alg)
	if err != nil {
		return "", fmt.Errorf("devca: the holder's key: %w", err)
	}
	var jwk map[string]any // a map, so that mutate can change it
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return "", fmt.Errorf("devca: the holder's key: %w", err)
	}
	now := a.opts.Now()
	header := map[string]any{"alg": string(k.alg), "kid": k.kid, "typ": "wit+jwt"}
	claims := map[string]any{
		"sub": id.String(),
		"cnf": map[string]any{"jwk": jwk},
		"iat": now.Unix(),
		"exp": now.Add(a.opts.JWTLifetime).Unix(),
	}
	for _, change := range mutate {
		change(header, claims)
	}
	return SignJWT(header, claims, k.signer, k.alg)
}

// Proof makes the proof that goes with a WIT-SVID: a client attestation PoP JWT by
// the holder's key, for one authorization server, made at a time. mutate works as
// for JWTSVID.
func Proof(holder crypto.Signer, issuer string, at time.Time, mutate ...func(header, claims map[string]any)) (string, error) {
	alg, err := holderAlgorithm(holder.Public())
	if err != nil {
		return "", err
	}
	header := map[string]any{"alg": string(alg), "typ": "oauth-client-attestation-pop+jwt"}
	claims := map[string]any{"aud": issuer, "jti": rand.Text(), "iat": at.Unix()}
	for _, change := range mutate {
		change(header, claims)
	}
	return SignJWT(header, claims, holder, alg)
}

// SignJWT signs header and claims just as they are, with the key, by alg. The
// key must fit alg; the alg that the header names is not looked at.
func SignJWT(header, claims map[string]any, key crypto.Signer, alg jose.Algorithm) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("devca: header: %w", err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("devca: claims: %w", err)
	}
	token, err := jose.Sign(alg, key, h, c)
	if err != nil {
		return "", fmt.Errorf("devca: %w", err)
	}
	return token, nil
}
