package client

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// An attestation is a WIT-SVID with its key, fit to be shown. Every proof of
// possession is made here, and none after the WIT-SVID has ended (CL-8).
type attestation struct {
	token  string
	digest [sha256.Size]byte // of token
	id     spiffeid.ID
	key    crypto.Signer
	alg    jose.Algorithm  // the one that the WIT-SVID names for the key (PP-3)
	jwk    json.RawMessage // the public key
	end    time.Time
	now    func() time.Time
}

// Format keeps the WIT-SVID and its key out of whatever prints them.
func (a *attestation) Format(f fmt.State, _ rune) {
	if a == nil {
		io.WriteString(f, "no WIT-SVID")
		return
	}
	fmt.Fprintf(f, "WIT-SVID of %s", a.id)
}

// usable refuses a WIT-SVID after its end. Its beginning is the server's business.
func (a *attestation) usable() error {
	if now := a.now(); !now.Before(a.end) {
		return fmt.Errorf("the WIT-SVID of %s ended at %s and it is %s now; is the clock of this host right, does the source still renew?",
			a.id, a.end.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// attestations follows the source from one WIT-SVID to the next.
type attestations struct {
	source WITSource
	now    func() time.Time

	mu       sync.Mutex
	current  *attestation
	previous *attestation // of the same SPIFFE ID, else nil
}

// get returns the WIT-SVID that the source has now, and the one before it while it
// lives, or nil.
func (s *attestations) get() (current, previous *attestation, err error) {
	// Under the lock, or two callers could see a rotation in opposite order.
	s.mu.Lock()
	defer s.mu.Unlock()
	token, key, err := s.source.GetWITSVID()
	switch {
	case errors.Is(err, errUnsettled) && s.current != nil && s.current.usable() == nil:
		// The files are being replaced: the WIT-SVID we have is still the newest.
	case err != nil:
		return nil, nil, fmt.Errorf("get the WIT-SVID: %w", err)
	case s.current == nil || s.current.token != token:
		next, err := parseAttestation(token, key, s.now)
		if err != nil {
			return nil, nil, fmt.Errorf("the WIT-SVID from the source: %w", err)
		}
		s.previous = nil
		// Another identity is another workload: nothing of the old one's is used.
		if s.current != nil && s.current.id == next.id {
			s.previous = s.current
		}
		s.current = next
	}
	if err := s.current.usable(); err != nil {
		return nil, nil, err
	}
	if s.previous != nil && s.previous.usable() != nil {
		s.previous = nil
	}
	return s.current, s.previous, nil
}

// parseAttestation looks at what the server will look at, so that a wrong WIT-SVID
// is explained here: size, form, typ, sub, exp, and that the key is the one it
// names. It does not check the signature. No error repeats the token.
func parseAttestation(token string, key crypto.Signer, now func() time.Time) (*attestation, error) {
	switch {
	case token == "":
		return nil, errors.New("is empty")
	case len(token) > oauth.MaxAttestation:
		return nil, fmt.Errorf("is longer than %d bytes (PP-14)", oauth.MaxAttestation)
	case key == nil:
		return nil, errors.New("comes without its private key")
	}
	parts, err := jose.ParseCompact(token)
	if err != nil {
		return nil, err
	}
	if typ, _, _ := parts.Text("typ"); typ != oauth.TypeWIT {
		return nil, fmt.Errorf("has typ %q, not %s (WS-2)", oauth.Shown(typ), oauth.TypeWIT)
	}
	a := &attestation{token: token, digest: sha256.Sum256([]byte(token)), key: key, now: now}
	sub, _, err := text(parts.Payload, "sub")
	if err != nil {
		return nil, err
	}
	if a.id, err = strictid.Workload(sub); err != nil {
		return nil, fmt.Errorf("sub %q is not the SPIFFE ID of a workload: %w", oauth.Shown(sub), err)
	}
	exp, _ := parts.Payload.Get("exp")
	var ok bool
	if a.end, ok = exp.NumericDate(); !ok {
		return nil, errors.New("exp is missing or malformed")
	}
	cnf, _ := parts.Payload.Get("cnf")
	confirmation, err := cnf.Object()
	if err != nil {
		return nil, errors.New("cnf is missing or malformed (WS-12)")
	}
	raw, _ := confirmation.Get("jwk")
	named, err := jose.ParseJWK([]byte(raw))
	if err != nil {
		return nil, errors.New("cnf.jwk is missing or no public key (WS-12)")
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(named.Key) {
		return nil, errors.New("names another key than the private key that came with it")
	}
	if a.alg = named.Algorithm; !slices.Contains(jose.SVIDAlgorithms, a.alg) || jose.Fits(a.alg, named.Key) != nil {
		return nil, errors.New("cnf.jwk.alg is missing, not allowed or not for this key (WS-13)")
	}
	if a.jwk, err = jose.MarshalJWK(named.Key, "", "", ""); err != nil {
		return nil, err
	}
	return a, a.usable()
}

// sign makes a proof, which nobody may use twice: each has a jti of its own.
func (a *attestation) sign(header, claims map[string]any) (string, error) {
	if err := a.usable(); err != nil {
		return "", err
	}
	header["alg"] = string(a.alg)
	claims["jti"] = rand.Text()
	claims["iat"] = a.now().Unix()
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return jose.Sign(a.alg, a.key, h, c)
}

// proof is the client attestation PoP JWT of one request to the authorization
// server (PP-2, PP-5 to PP-7, PP-12).
func (a *attestation) proof(issuer, challenge string) (string, error) {
	claims := map[string]any{"aud": issuer}
	if challenge != "" {
		claims["challenge"] = challenge
	}
	proof, err := a.sign(map[string]any{"typ": oauth.TypeAttestationPoP}, claims)
	if err != nil {
		return "", fmt.Errorf("make the proof for the WIT-SVID: %w", err)
	}
	return proof, nil
}

// dpop is the DPoP proof of one request to an API (DP-1, DP-10), with the nonce that
// the API gave, if any.
func (a *attestation) dpop(method string, target *url.URL, token oauth.AccessToken, nonce string) (string, error) {
	if method == "" {
		method = http.MethodGet
	}
	sum := sha256.Sum256([]byte(token))
	path := target.EscapedPath()
	if path == "" {
		path = "/"
	}
	claims := map[string]any{
		"htm": method, "htu": target.Scheme + "://" + target.Host + path,
		"ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	proof, err := a.sign(map[string]any{"typ": oauth.TypeDPoP, "jwk": a.jwk}, claims)
	if err != nil {
		return "", fmt.Errorf("make the DPoP proof: %w", err)
	}
	return proof, nil
}
