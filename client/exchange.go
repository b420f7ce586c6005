package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/svidgate/svidgate/oauth"
)

// An answer of the token endpoint, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// An exchange is one token request on its way: what to send and where to.
type exchange struct {
	http               *http.Client
	endpoint, audience string
	challengeEndpoint  string // empty without one
	form               url.Values
	assertion          assertion // of spiffe_jwt, else the zero one
	holder             holder
}

// post sends the form, at most three times, and each time for another reason. With
// a WIT-SVID each time has a proof of its own (PP-15).
//
// Once more if the connection broke: an idle one may have been closed by the server
// in that moment, and asking twice for a token does no harm.
//
// Once more if an assertion is refused that was sent before: the trust domain's may
// count once (CJ-13, F15). One that went out for the first time is refused for good.
//
// Once more if the proof of a WIT-SVID has to repeat a challenge, and there is one
// now (LC-3).
func (c *Client) post(ctx context.Context, x *exchange) (*answer, error) {
	a, err := c.postOnce(ctx, x)
	if err != nil && isReset(err) && ctx.Err() == nil {
		c.renewAssertion(ctx, x) // the server may have read the first
		a, err = c.postOnce(ctx, x)
	}
	if err == nil && c.dropRefused(x, a) && c.renewAssertion(ctx, x) {
		// There is no back-off: the server has nothing against the client.
		if a, err = c.postOnce(ctx, x); err == nil {
			c.dropRefused(x, a)
		}
	}
	if err == nil && c.wantsChallenge(x, a) {
		a, err = c.postOnce(ctx, x)
	}
	return a, err
}

// wantsChallenge reports whether the answer asks for a proof with a challenge that
// can be had.
func (c *Client) wantsChallenge(x *exchange, a *answer) bool {
	if x.holder.attestation == nil || a.status == http.StatusOK || a.refusal(c.now()).Code != oauth.UseAttestationChallenge {
		return false
	}
	next, _ := c.challenges.get()
	return next != "" || x.challengeEndpoint != ""
}

// prove puts the WIT-SVID and a new proof into the request (CW-1), and returns the
// challenge in it.
func (c *Client) prove(ctx context.Context, x *exchange, req *http.Request) (challenge string, err error) {
	if challenge, err = c.challenge(ctx, x); err != nil {
		return "", err
	}
	proof, err := x.holder.attestation.proof(c.config.Issuer, challenge)
	if err != nil {
		return "", err
	}
	req.Header.Set(oauth.HeaderClientAttestation, x.holder.attestation.token)
	req.Header.Set(oauth.HeaderClientAttestationPoP, proof)
	return challenge, nil
}

// dropRefused forgets the assertion if the answer refuses it, and reports whether
// it did and the reason may be that it was sent before.
func (c *Client) dropRefused(x *exchange, a *answer) bool {
	if x.assertion.token == "" || a.status == http.StatusOK || a.refusal(c.now()).Code != oauth.InvalidClient {
		return false
	}
	c.assertions.drop(x.audience, x.assertion)
	// With other statuses, such as 429, it is the server that needs a pause.
	return (a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized) && c.assertions.reused(x.assertion)
}

// renewAssertion puts another assertion into the form, and nobody is given the old
// one any more; false when there is no other.
func (c *Client) renewAssertion(ctx context.Context, x *exchange) bool {
	if x.assertion.token == "" {
		return false
	}
	other, ok := c.assertions.another(ctx, x.audience, x.assertion)
	if !ok || c.authenticate(x.form, other, x.holder) != nil {
		return false
	}
	c.assertions.drop(x.audience, x.assertion)
	x.assertion = other
	return true
}

func (c *Client) postOnce(ctx context.Context, x *exchange) (*answer, error) {
	if x.assertion.token != "" {
		c.assertions.sending(x.assertion)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.endpoint, strings.NewReader(x.form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	var challenge string
	if x.holder.attestation != nil {
		if challenge, err = c.prove(ctx, x, req); err != nil {
			return nil, err
		}
	}
	resp, err := x.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := readBody(resp.Body, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", x.endpoint, err)
	}
	a := &answer{resp.StatusCode, resp.Header, data}
	if x.holder.attestation != nil {
		if a.status != http.StatusOK && a.refusal(c.now()).Code == oauth.UseAttestationChallenge {
			c.challenges.drop(challenge)
		}
		c.challenges.note(resp.Header.Get(oauth.HeaderClientAttestationChallenge), c.now())
	}
	return a, nil
}

func isReset(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
