package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	svidoauth "github.com/svidgate/svidgate/oauth"
)

// A proving transport adds the client's JWT-SVID to every form that is posted: how
// a client that is made for secrets does without one.
type proving struct {
	next http.RoundTripper
	svid func() string
}

func (p proving) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return p.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	form.Set("client_assertion_type", svidoauth.ClientAssertionTypeJWTSPIFFE)
	form.Set("client_assertion", p.svid())
	r = r.Clone(r.Context())
	encoded := []byte(form.Encode())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(encoded)), int64(len(encoded))
	return p.next.RoundTrip(r)
}

// TestGoOAuth2 has golang.org/x/oauth2 get, redeem and refresh what a person grants
// to a client with a JWT-SVID, from a pushed request.
func TestGoOAuth2(t *testing.T) {
	w := newTown(t, "")
	w.killed = true // what the library does is not counted
	p := w.person(t)
	library := &http.Client{Transport: proving{p.Transport, func() string { return w.td.jwt(t, "/web", issuer) }}}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, library)
	config := &oauth2.Config{
		ClientID: w.td.id("/web"), RedirectURL: appURL, Scopes: []string{"read"},
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/authorize", TokenURL: issuer + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	pkce := oauth2.GenerateVerifier()
	asked, err := url.Parse(config.AuthCodeURL(state, oauth2.S256ChallengeOption(pkce), oauth2.SetAuthURLParam("resource", apiURL)))
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := library.PostForm(issuer+"/par", asked.Query())
	if err != nil {
		t.Fatal(err)
	}
	defer pushed.Body.Close()
	var answer struct {
		RequestURI string `json:"request_uri"`
	}
	if err := json.NewDecoder(pushed.Body).Decode(&answer); err != nil || pushed.StatusCode != http.StatusCreated {
		t.Fatalf("PA-2 status %d, %v", pushed.StatusCode, err)
	}
	query := url.Values{"client_id": {config.ClientID}, "request_uri": {answer.RequestURI}}.Encode()
	p.get(t, "/authorize?"+query).says(t, http.StatusOK, "Sign in", "spiffe://example.org/web")
	back := p.allow(t, query) // PA-4: loaded again
	token, err := config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(pkce))
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("refresh token", token.RefreshToken)
	claims := claimsIn(t, token.AccessToken)
	if act, _ := claims["act"].(map[string]any); claims["sub"] != "local:alice" || claims["client_id"] != config.ClientID || act["sub"] != config.ClientID {
		t.Errorf("the token has %v", claims)
	}
	if claims["auth_time"] == nil || !strings.Contains(string(must(json.Marshal(claims["amr"]))), "pwd") {
		t.Errorf("AT-3 the token has %v", claims)
	}
	again, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("refresh token", again.RefreshToken)
	if claimsIn(t, again.AccessToken)["sub"] != "local:alice" || again.RefreshToken == token.RefreshToken {
		t.Error("RT-3 the refresh token was not replaced")
	}
	// PA-4: the request was completed.
	p.get(t, "/authorize?"+query).says(t, http.StatusBadRequest, "This did not work", "used already")
}
