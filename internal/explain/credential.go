package explain

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// MaxInput bounds what is read of a credential. It is more than any rule allows,
// so that the rule can say so.
const MaxInput = 256 << 10

// A Credential is what was given to be explained: one JWT-SVID, or one chain of
// certificates, leaf first.
type Credential struct {
	Assertion    string
	Certificates []*x509.Certificate
	// Notes say what of the input was passed over to get at it.
	Notes []string
}

// Format keeps the assertion out of whatever prints the credential (AU-2).
func (c Credential) Format(f fmt.State, _ rune) { io.WriteString(f, "a credential") }

// Why an input cannot be explained. None repeats anything of it.
var (
	ErrEmpty      = errors.New("the input is empty: give a JWT-SVID, or certificates in PEM form, leaf first")
	ErrTooLong    = fmt.Errorf("the input is longer than %d bytes: give one JWT-SVID, or one chain of certificates", MaxInput)
	ErrPrivateKey = errors.New("the input holds a private key: explaining needs none, and nobody should send one anywhere; give the certificates alone")
	ErrUnknown    = errors.New("the input is neither a JWT nor certificates in PEM form")
	ErrSeveral    = errors.New("the input holds more than one JWT: give the one that was refused")
)

// Read takes a credential out of a file's content. White space and "Bearer "
// around a JWT are passed over, and so is the text that SPIRE's command prints
// around one; of PEM, what is no certificate. A private key anywhere is refused.
// The error is one of those above, or says which certificate is no good.
func Read(data []byte) (Credential, error) {
	text := strings.TrimSpace(string(data))
	switch {
	case len(data) > MaxInput:
		return Credential{}, ErrTooLong
	case text == "":
		return Credential{}, ErrEmpty
	case isKey(text):
		return Credential{}, ErrPrivateKey
	case strings.Contains(text, "-----BEGIN "):
		return readPEM([]byte(text))
	}
	c, err := readJWT(text)
	if err == nil && c.Assertion != string(data) && len(c.Notes) == 0 {
		c.Notes = append(c.Notes, "white space around the JWT was passed over; in a request it would be part of it")
	}
	return c, err
}

// isKey reports whether the text has a private key, as PEM or as a JWK.
func isKey(text string) bool {
	return strings.Contains(text, "PRIVATE KEY-----") || strings.HasPrefix(text, "{") && strings.Contains(strings.ReplaceAll(text, " ", ""), `"d":"`)
}

const bearer = "bearer "

func readJWT(text string) (Credential, error) {
	if len(text) > len(bearer) && strings.EqualFold(text[:len(bearer)], bearer) {
		return Credential{
			Assertion: strings.TrimSpace(text[len(bearer):]),
			Notes:     []string{`"Bearer " before the JWT was passed over; in client_assertion it must not stand`},
		}, nil
	}
	if !strings.ContainsAny(text, " \t\r\n") {
		if strings.Count(text, ".") == 0 {
			return Credential{}, ErrUnknown
		}
		return Credential{Assertion: text}, nil
	}
	var found []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ey") && strings.Count(line, ".") == 2 && !strings.ContainsAny(line, " \t") {
			found = append(found, line)
		}
	}
	switch len(found) {
	case 0:
		return Credential{}, ErrUnknown
	case 1:
		return Credential{Assertion: found[0], Notes: []string{"the lines around the JWT were passed over"}}, nil
	}
	return Credential{}, ErrSeveral
}

func readPEM(data []byte) (Credential, error) {
	var c Credential
	others := 0
	before := data
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if len(rest) == len(data) { // it would never end
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			others++
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Credential{}, fmt.Errorf("certificate %d of the input cannot be read: %s", len(c.Certificates)+1, oauth.Shown(err.Error()))
		}
		c.Certificates = append(c.Certificates, certificate)
	}
	if len(c.Certificates) == 0 {
		return Credential{}, ErrUnknown
	}
	if others > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d PEM blocks that are no certificates were passed over", others))
	}
	if !bytes.HasPrefix(bytes.TrimSpace(before), []byte("-----BEGIN ")) {
		c.Notes = append(c.Notes, "text before the first certificate was passed over")
	}
	if c.Certificates[0].IsCA {
		for i, later := range c.Certificates[1:] {
			if !later.IsCA {
				c.Notes = append(c.Notes, fmt.Sprintf("certificate %d looks like the workload's own; it has to be the first", i+2))
				break
			}
		}
	}
	return c, nil
}
