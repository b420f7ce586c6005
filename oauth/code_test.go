package oauth_test

import (
	"net/http"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// Statuses are those of client-authentication section 14, of RFC 6749 section
// 5.2 and of RFC 6750 section 3.1.
func TestCodes(t *testing.T) {
	want := map[oauth.ErrorCode]struct {
		status int
		body   bool
	}{
		oauth.InvalidRequest:          {400, true},
		oauth.InvalidClient:           {401, true},
		oauth.InvalidGrant:            {400, true},
		oauth.UnauthorizedClient:      {400, true},
		oauth.UnsupportedGrantType:    {400, true},
		oauth.InvalidScope:            {400, true},
		oauth.InvalidTarget:           {400, true},
		oauth.UseAttestationChallenge: {400, true},
		oauth.UseFreshAttestation:     {400, true},
		oauth.ServerError:             {500, true},
		oauth.InvalidToken:            {401, true},
		oauth.InsufficientScope:       {403, true},
		oauth.InvalidDPoPProof:        {400, true},
		oauth.UseDPoPNonce:            {400, true},
		oauth.Unavailable:             {503, false},
		oauth.TooLarge:                {413, false},
		oauth.TooMany:                 {429, false},
		oauth.AccessDenied:            {403, true},
		oauth.UnsupportedResponseType: {400, true},
		oauth.RequestNotSupported:     {400, true},
		oauth.RequestURINotSupported:  {400, true},
		oauth.TemporarilyUnavailable:  {503, true},
	}
	_, values := constants(t, "code.go", "ErrorCode")
	if len(values) != len(want) {
		t.Errorf("there are %d codes, and this test knows %d", len(values), len(want))
	}
	for _, value := range values {
		code := oauth.ErrorCode(value)
		w, known := want[code]
		if !known {
			t.Errorf("%s: this test does not know it", value)
		}
		if code.Status() != w.status || code.HasBody() != w.body {
			t.Errorf("%s: status %d, body %t, want %d, %t", value, code.Status(), code.HasBody(), w.status, w.body)
		}
		if code.Error() != value {
			t.Errorf("%s: its text is %q", value, code.Error())
		}
		// What is no OAuth code must not pass for one, should it ever be sent.
		if snakeCase.MatchString(value) != w.body {
			t.Errorf("%s: only a code with a body has a name like those of OAuth", value)
		}
	}
}

// ER-3: one sentence per code. Two codes with one sentence would be as good, but
// a caller who reads it could not tell what to change.
func TestER3OneSentencePerCode(t *testing.T) {
	_, values := constants(t, "code.go", "ErrorCode")
	seen := map[string]string{}
	for _, value := range values {
		description := oauth.ErrorCode(value).Description()
		if description == "" {
			continue
		}
		if other, twice := seen[description]; twice {
			t.Errorf("%s says what %s says", value, other)
		}
		seen[description] = value
		if what := notASentence(description); what != "" {
			t.Errorf("%s: %q %s", value, description, what)
		}
	}
}

// GL-7: %x20-21, %x23-5B, %x5D-7E and nothing else.
func TestGL7Characters(t *testing.T) {
	_, values := constants(t, "code.go", "ErrorCode")
	for _, value := range values {
		if !isErrorText(value) || !isErrorText(oauth.ErrorCode(value).Description()) {
			t.Errorf("%s: its name or its sentence has a character that RFC 6749 section 5.2 does not allow", value)
		}
	}
	for c := range 256 {
		allowed := c == 0x20 || c == 0x21 || c >= 0x23 && c <= 0x5b || c >= 0x5d && c <= 0x7e
		if isErrorText(string([]byte{byte(c)})) != allowed {
			t.Errorf("byte %#x: this test judges it wrongly", c)
		}
	}
}

func isErrorText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// A code that nobody gave a status to is a fault of ours, never a permission.
func TestUnknownCode(t *testing.T) {
	for _, code := range []oauth.ErrorCode{"", "nobody_has_this", "INVALID_CLIENT"} {
		if code.Status() != http.StatusInternalServerError || code.HasBody() || code.Description() != "" {
			t.Errorf("%q: status %d, body %t, %q", code, code.Status(), code.HasBody(), code.Description())
		}
	}
}
