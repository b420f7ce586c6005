package credential

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// MaxInput bounds what is read. It is more than any rule on an SVID allows, so
// that the rule can say so.
const MaxInput = 256 << 10

// A Credential is one JWT, a WIT-SVID with its proof, or one chain of certificates in
// the order of the input.
type Credential struct {
	JWT          string // also a WIT-SVID
	Proof        string // that came with a WIT-SVID
	Certificates []*x509.Certificate
	// Notes say what of the input was passed over to get at it.
	Notes []string
}

// Format keeps the JWT out of whatever prints the credential (AU-2).
func (c Credential) Format(f fmt.State, _ rune) { io.WriteString(f, "a credential") }

// LogValue does the same for slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// WIT reports whether the JWT says that it is a WIT-SVID, by the type in its header.
func (c Credential) WIT() bool { return typeOf(c.JWT) == oauth.TypeWIT }

// PEM are the certificates in PEM form.
func (c Credential) PEM() []byte {
	var data []byte
	for _, certificate := range c.Certificates {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: certificate.Raw})...)
	}
	return data
}

// Why an input is no credential. None repeats anything of it.
var (
	ErrEmpty      = errors.New("the input is empty: give a JWT, or certificates, leaf first")
	ErrTooLong    = fmt.Errorf("the input is longer than %d bytes: give one JWT, or one chain of certificates", MaxInput)
	ErrPrivateKey = errors.New("the input holds a private key, which nobody should show anywhere: give the certificates, the token or the public key alone")
	ErrUnknown    = errors.New("the input is neither a JWT nor certificates in PEM or DER form")
	ErrSeveral    = errors.New("the input holds more than one JWT: give the one that is meant, or a WIT-SVID and its proof")
	ErrWrapped    = errors.New("the input is a JWT with space inside, perhaps wrapped over lines: put it on one (JS-1)")
	ErrCutOff     = errors.New("the input begins like PEM and no block of it can be read: was it cut off?")
	ErrBinary     = errors.New("the input is binary and no certificate in DER form")
)

// Read takes a credential out of a file's content. White space, "Bearer " and
// "Authorization: Bearer " around a JWT are passed over, as are the names of the
// headers that carry a WIT-SVID and its proof, which stand in two lines, and so is the text that
// SPIRE's command prints around one; of PEM, what is no certificate. A private
// key anywhere is refused, also as a JWK in the JWT itself. The error is one of
// those above, or says which certificate is no good.
func Read(data []byte) (Credential, error) {
	text := strings.TrimSpace(string(data))
	switch {
	case len(data) > MaxInput:
		return Credential{}, ErrTooLong
	case text == "":
		return Credential{}, ErrEmpty
	case strings.Contains(text, privatePEM), privateText(text):
		return Credential{}, ErrPrivateKey
	case strings.Contains(text, "-----BEGIN "):
		return readPEM(text)
	case data[0] == asn1Sequence && len(data) > 1 && (data[1] < ' ' || data[1] > '~'): // no text that begins with the digit 0
		return readDER(data)
	}
	c, err := readJWT(text)
	if err == nil && c.JWT != string(data) && len(c.Notes) == 0 {
		c.Notes = append(c.Notes, "white space around the JWT was passed over; in a request it would be part of it")
	}
	return c, err
}
