package devca

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

type use string

const (
	useX509 use = "x509-svid"
	useJWT  use = "jwt-svid"
	useWIT  use = "wit-svid"
)

// publish replaces the bundle. With an error nothing has changed.
func (a *Authority) publish(roots []*x509.Certificate, keys []*signingKey) error {
	document, err := document(roots, keys, a.sequence+1, a.opts.RefreshHint)
	if err != nil {
		return err
	}
	a.roots, a.keys, a.document = roots, keys, document
	a.sequence++ // BU-13
	a.announce()
	return nil
}

func (a *Authority) announce() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// document writes a SPIFFE bundle (BU-1 to BU-15).
func document(roots []*x509.Certificate, keys []*signingKey, sequence uint64, hint time.Duration) ([]byte, error) {
	entries := []json.RawMessage{} // never null: BU-2
	for _, root := range roots {
		// No kid: BU-7.
		jwk, err := jose.MarshalJWK(root.PublicKey, "", string(useX509), "")
		if err != nil {
			return nil, fmt.Errorf("devca: bundle: %w", err)
		}
		var members map[string]any
		if err := json.Unmarshal(jwk, &members); err != nil {
			return nil, fmt.Errorf("devca: bundle: %w", err)
		}
		members["x5c"] = [][]byte{root.Raw} // []byte becomes standard base64, as BU-6 asks
		entry, err := json.Marshal(members)
		if err != nil {
			return nil, fmt.Errorf("devca: bundle: %w", err)
		}
		entries = append(entries, entry)
	}
	for _, k := range keys {
		entry, err := jose.MarshalJWK(k.signer.Public(), k.kid, string(k.use), "")
		if err != nil {
			return nil, fmt.Errorf("devca: bundle: %w", err)
		}
		entries = append(entries, entry)
	}
	return json.Marshal(struct {
		Keys     []json.RawMessage `json:"keys"`
		Sequence uint64            `json:"spiffe_sequence"`
		Hint     int64             `json:"spiffe_refresh_hint"`
	}{entries, sequence, int64(hint / time.Second)})
}
