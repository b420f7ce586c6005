package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

func refusal() *oauth.Error {
	return oauth.Refuse(oauth.InvalidClient, oauth.ReasonAudMismatch, "CJ-6", "https://as.example.com", "https://other.example.com")
}

func TestErrorText(t *testing.T) {
	whole := *refusal()
	change := func(f func(*oauth.Error)) *oauth.Error {
		e := whole
		f(&e)
		return &e
	}
	for _, row := range []struct {
		name string
		err  *oauth.Error
		want string
	}{
		{"all of it", &whole, "invalid_client: aud_mismatch (CJ-6): expected https://as.example.com, presented https://other.example.com"},
		{"with a cause", whole.Because(io.ErrUnexpectedEOF), "invalid_client: aud_mismatch (CJ-6): expected https://as.example.com, presented https://other.example.com: unexpected EOF"},
		{"without a rule", change(func(e *oauth.Error) { e.Rule = "" }), "invalid_client: aud_mismatch: expected https://as.example.com, presented https://other.example.com"},
		{"nothing expected", change(func(e *oauth.Error) { e.Expected = "" }), "invalid_client: aud_mismatch (CJ-6), presented https://other.example.com"},
		{"nothing presented", change(func(e *oauth.Error) { e.Presented = "" }), "invalid_client: aud_mismatch (CJ-6): expected https://as.example.com"},
		{"code and reason alone", &oauth.Error{Code: oauth.ServerError, Reason: oauth.ReasonInternal}, "server_error: internal"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := row.err.Error(); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestErrorAnswersForCodeReasonAndCause(t *testing.T) {
	err := fmt.Errorf("server: %w", refusal().Because(fmt.Errorf("read: %w", io.ErrUnexpectedEOF)))
	for _, is := range []error{oauth.InvalidClient, oauth.ReasonAudMismatch, io.ErrUnexpectedEOF} {
		if !errors.Is(err, is) {
			t.Errorf("it is not %v", is)
		}
	}
	for _, not := range []error{oauth.InvalidRequest, oauth.ReasonAudMissing, io.EOF} {
		if errors.Is(err, not) {
			t.Errorf("it is %v", not)
		}
	}
}

// Because must not change a refusal that somebody else may hold.
func TestBecauseCopies(t *testing.T) {
	e := refusal()
	if because := e.Because(io.EOF); because == e || because.Err != io.EOF || e.Err != nil {
		t.Errorf("%p %v became %p %v", e, e.Err, because, because.Err)
	}
}

func TestAsError(t *testing.T) {
	own := refusal()
	inner := refusal().Because(io.EOF)
	for _, row := range []struct {
		name string
		err  error
		want *oauth.Error
	}{
		{"a refusal", own, own},
		{"a refusal that was wrapped", fmt.Errorf("token: %w", own), own},
		{"a refusal among others", errors.Join(io.EOF, own), own},
		{"the outer one of two", own.Because(inner), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := oauth.AsError(row.err)
			if row.want != nil && got != row.want {
				t.Errorf("got %v", got)
			}
			if got.Code != oauth.InvalidClient || got.Reason != oauth.ReasonAudMismatch {
				t.Errorf("got %v", got)
			}
		})
	}
	// Anything else is our fault: 500, a reason that tells a stranger nothing, and
	// the cause for the log.
	for _, foreign := range []error{io.EOF, context.DeadlineExceeded, oauth.InvalidClient, oauth.ReasonExpired, fmt.Errorf("a: %w", io.EOF)} {
		t.Run("foreign: "+foreign.Error(), func(t *testing.T) {
			got := oauth.AsError(foreign)
			if got.Code != oauth.ServerError || got.Reason != oauth.ReasonInternal || !errors.Is(got, foreign) {
				t.Errorf("got %v", got)
			}
			if got.Rule != "" || got.Expected != "" || got.Presented != "" || got.Subject != "" {
				t.Errorf("it claims to know more: %+v", got)
			}
		})
	}
}

// AU-2: a token shows itself to JSON and to an explicit conversion, else to
// nobody.
func TestAU2AccessTokenIsRedacted(t *testing.T) {
	const secret = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
	token := oauth.AccessToken(secret)
	response := oauth.TokenResponse{AccessToken: token, TokenType: oauth.TokenTypeBearer, ExpiresIn: 300, Scope: "read"}

	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{token, response, &response, []oauth.AccessToken{token}, map[string]oauth.AccessToken{"a": token}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, secret) || !strings.Contains(got, "redacted") {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("issued", "token", token)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("issued", slog.Any("token", token))
	if strings.Contains(log.String(), secret) || strings.Count(log.String(), "redacted") != 2 {
		t.Errorf("logged: %s", log.String())
	}

	wire, err := json.Marshal(response)
	if err != nil || string(wire) != `{"access_token":"`+secret+`","token_type":"Bearer","expires_in":300,"scope":"read"}` {
		t.Errorf("TK-6: %s, %v", wire, err)
	}
	if string(token) != secret {
		t.Error("who asks for the token by name does not get it")
	}
}

// AM-3: what is off is left out; what RFC 8414 requires is there even when empty.
func TestAM3EmptyMembersAreLeftOut(t *testing.T) {
	wire, err := json.Marshal(oauth.Metadata{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token", JWKSURI: "https://as.example.com/jwks.json"})
	want := `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token","jwks_uri":"https://as.example.com/jwks.json"}`
	if err != nil || string(wire) != want {
		t.Errorf("%s, %v", wire, err)
	}
	if wire, err = json.Marshal(oauth.ErrorResponse{Error: oauth.InvalidClient}); err != nil || string(wire) != `{"error":"invalid_client"}` {
		t.Errorf("%s, %v", wire, err)
	}
}

// AK-31: an error is fit to be shown, its quotes can be read, and what it wraps can
// be asked for.
func TestShownError(t *testing.T) {
	inner := errors.New("an inner \x1b one")
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("certificate of %q: %w", "a", inner), "certificate of 'a': an inner ? one"},
		{inner, "an inner ? one"},
	} {
		if got := oauth.ShownError(c.err); got.Error() != c.want || !errors.Is(got, inner) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
