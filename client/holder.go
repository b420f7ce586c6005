package client

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/svidgate/svidgate/oauth"
)

// A holder is how the client authenticates at one moment and what tokens are then
// bound to: a certificate on connections of its own, or the key of a WIT-SVID, or
// nothing.
type holder struct {
	method      oauth.AuthMethod
	session     *session     // nil without a certificate to show
	attestation *attestation // with spiffe_wit only
}

// thumbprint tells holders apart, so that no token meets another's key.
func (h holder) thumbprint() (t [32]byte) {
	switch {
	case h.attestation != nil:
		return h.attestation.digest
	case h.session != nil:
		return h.session.thumbprint
	}
	return t
}

// holders returns what the client has now, and what it had before the last
// rotation while that lives; else a previous with neither certificate nor WIT-SVID.
func (c *Client) holders() (current, previous holder, err error) {
	m, _ := c.metadata.peek()
	current.method, previous.method = m.method, m.method
	if m.method == oauth.MethodWIT {
		current.attestation, previous.attestation, err = c.attestations.get()
	} else {
		current.session, previous.session, err = c.sessions()
	}
	return current, previous, err
}

// Authorize puts the token on a request to the API it is for: the Authorization
// header, and for a token that is bound to a key (TokenType "DPoP") a new proof for
// the method and URL of this very request. Call it again for each request, retries
// included. It does not look where the request goes, and answers no API that asks for a
// nonce in the proof; [Client.Transport] does both, and all this by itself.
//
// The key stays with the Token that the Client returned. A Token that was put
// together by hand, or read from JSON, has none.
func (t Token) Authorize(req *http.Request) error {
	if err := t.authorize(req, ""); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// authorize puts the nonce that the API gave into the proof, where there is one.
func (t Token) authorize(req *http.Request, nonce string) error {
	if t.TokenType != oauth.TokenTypeDPoP {
		req.Header.Del(oauth.HeaderDPoP)
		req.Header.Set("Authorization", oauth.TokenTypeBearer+" "+string(t.AccessToken))
		return nil
	}
	if t.attestation == nil {
		return errors.New("the token is bound to a key that this Token does not have")
	}
	if req.URL == nil {
		return errors.New("the request has no URL to make a DPoP proof for")
	}
	proof, err := t.attestation.dpop(req.Method, req.URL, t.AccessToken, nonce)
	if err != nil {
		return err
	}
	req.Header.Set(oauth.HeaderDPoP, proof)
	req.Header.Set("Authorization", oauth.TokenTypeDPoP+" "+string(t.AccessToken))
	return nil
}
