package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// MaxInput is the longest document read, in bytes: as long as a bundle may be
// (BE-9). A token may have oauth.MaxJWT.
const MaxInput = 1 << 20

// ErrUnknown is the cause when a document is nothing that this package reads.
var ErrUnknown = errors.New("this is no JWT, no PEM certificate, and no JSON document of a kind that inspect knows")

// Inspect says what a document is and what it says. Surrounding space and a
// leading "Authorization: Bearer" do not matter, nor does what SPIRE's command
// prints around a JWT. An error says why the document cannot be read, and repeats
// nothing of it; it is credential.ErrPrivateKey for what holds a private or
// symmetric key.
func Inspect(document []byte, now time.Time) (*Report, error) {
	if len(document) > MaxInput {
		return nil, fmt.Errorf("this is longer than the %d bytes that inspect reads", MaxInput)
	}
	if text := bytes.TrimSpace(document); len(text) > 0 && text[0] == '{' {
		return inspectJSON(text, now)
	}
	c, err := credential.Read(document)
	switch {
	case err == credential.ErrUnknown:
		return nil, ErrUnknown
	case err != nil:
		return nil, err
	case c.JWT != "":
		r, err := inspectToken(c.JWT, now)
		if err == nil && c.Proof != "" {
			err = r.addProof(c.JWT, c.Proof, now)
		}
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	r := inspectChain(c.Certificates, now)
	for _, note := range c.Notes {
		r.Because += "; " + note
	}
	return r, nil
}

// inspectJSON tells documents apart by the members that each of them must have.
func inspectJSON(text []byte, now time.Time) (*Report, error) {
	members, err := strictjson.Object(text)
	if err != nil {
		return nil, fmt.Errorf("this looks like JSON and cannot be read: %w (GL-11)", err)
	}
	if credential.Private(members) {
		return nil, credential.ErrPrivateKey
	}
	has := func(name string) bool { _, ok := members.Get(name); return ok }
	switch {
	case has("keys"):
		return inspectKeys(members, text, now)
	case has("kty"):
		return inspectKey(members, text)
	case has("resource") && !has("token_endpoint"):
		return inspectResource(members), nil
	case has("issuer"), has("token_endpoint"):
		return inspectServer(members), nil
	}
	if v, ok := members.Get("access_token"); ok { // what `svidgate token --json` prints
		if token, ok := v.Text(); ok {
			r, err := inspectToken(token, now)
			if err != nil {
				return nil, fmt.Errorf("this is a token response whose access_token is no JWT: %w", err)
			}
			r.Because += ", in access_token of a token response"
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: a JSON object with the members %s", ErrUnknown, names(members))
}

// names are those of the first members of a document.
func names(members strictjson.Members) string {
	const most = 8
	var all []string
	for i, m := range members {
		if i == most {
			all = append(all, "…")
			break
		}
		all = append(all, oauth.Shown(m.Name))
	}
	if len(all) == 0 {
		return "(none)"
	}
	return strings.Join(all, ", ")
}
