package client

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// readBody reads at most limit bytes and refuses a longer body.
func readBody(body io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return data, nil
}

func isJSON(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && media == "application/json"
}

// text is a string member. An absent one is "" and no error; one of another kind
// is an error.
func text(m strictjson.Members, name string) (value string, present bool, err error) {
	v, present := m.Get(name)
	if !present {
		return "", false, nil
	}
	value, ok := v.Text()
	if !ok {
		return "", true, fmt.Errorf("%s is not a string", name)
	}
	return value, true, nil
}

// texts is a member that is an array of strings.
func texts(m strictjson.Members, name string) (values []string, present bool, err error) {
	v, present := m.Get(name)
	if !present {
		return nil, false, nil
	}
	values, ok := v.Texts()
	if !ok {
		return nil, true, fmt.Errorf("%s is not an array of strings", name)
	}
	return values, true, nil
}

// parseToken reads a successful answer (RFC 6749 section 5.1, TK-6). A missing
// scope means the one asked for. expiresIn is 0 when the server does not say. A token
// that is bound to a key (DP-4) is refused where no key was shown: it would be of no
// use. A bearer token is taken although one was, since not every server binds.
func parseToken(body []byte, asked string, shown *attestation) (t Token, expiresIn int64, err error) {
	m, err := strictjson.Object(body)
	if err != nil {
		return Token{}, 0, err
	}
	access, _, err := text(m, "access_token")
	if err != nil {
		return Token{}, 0, err
	}
	if !isVisible(access) {
		return Token{}, 0, errors.New("access_token is missing or has characters that no header may carry")
	}
	kind, _, err := text(m, "token_type")
	if err != nil {
		return Token{}, 0, err
	}
	t = Token{AccessToken: oauth.AccessToken(access), TokenType: oauth.TokenTypeBearer}
	switch {
	case equalFold(kind, oauth.TokenTypeBearer):
	case equalFold(kind, oauth.TokenTypeDPoP) && shown != nil:
		t.TokenType, t.attestation = oauth.TokenTypeDPoP, shown
	case equalFold(kind, oauth.TokenTypeDPoP):
		return Token{}, 0, fmt.Errorf("token_type is %s, and this client has shown no key that a token could be bound to", oauth.TokenTypeDPoP)
	default:
		return Token{}, 0, fmt.Errorf("token_type is %q, this client knows %s and %s", oauth.Shown(kind), oauth.TokenTypeBearer, oauth.TokenTypeDPoP)
	}
	scope, present, err := text(m, "scope")
	if err != nil {
		return Token{}, 0, err
	}
	if !present {
		scope = asked
	}
	if v, ok := m.Get("expires_in"); ok {
		if expiresIn, ok = v.Int64(); !ok || expiresIn < 0 {
			return Token{}, 0, errors.New("expires_in is not a number of seconds")
		}
		if expiresIn == 0 {
			return Token{}, 0, errors.New("the token has expired already")
		}
	}
	t.Scope = scope
	return t, expiresIn, nil
}

// parseRefusal reads the body of an error answer. Anything that is no OAuth error
// object gives empty strings.
func parseRefusal(body []byte) (code oauth.ErrorCode, description string) {
	m, err := strictjson.Object(body)
	if err != nil {
		return "", ""
	}
	name, _, err := text(m, "error")
	if err != nil {
		return "", ""
	}
	description, _, _ = text(m, "error_description")
	return oauth.ErrorCode(oauth.Shown(name)), oauth.Shown(description)
}

// isVisible reports whether s is not empty and holds only %x21-7E (RFC 6749
// appendix A.12), so that it cannot break out of a header.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}

// equalFold compares without regard to the case of ASCII letters. Unicode folding
// would take other letters for ours.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
