package client_test

import (
	"context"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// claimsOf reads a JWT-SVID that the edge was sent.
func claimsOf(t *testing.T, assertion string) strictjson.Members {
	t.Helper()
	parts, err := jose.ParseCompact(assertion)
	if err != nil {
		t.Fatal(err)
	}
	return parts.Payload
}

func audienceOf(t *testing.T, r captured) string {
	t.Helper()
	aud, _ := claimsOf(t, r.form.Get("client_assertion")).Get("aud")
	list, ok := aud.Texts()
	if !ok || len(list) != 1 {
		t.Fatalf("CJ-6: aud is %s, want one value", aud)
	}
	return list[0]
}

func TestRequestWithJWTSVID(t *testing.T) { // CJ-1, CJ-3, CJ-11
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	token := w.token(c, client.Request{Resource: "https://api.example.com/", Scope: "read write"})
	if token.AccessToken != "token-1-" || token.TokenType != "Bearer" || token.Scope != "read" {
		t.Fatalf("got %+v", token)
	}
	r := w.edge.last()
	if r.mtls || r.thumbprint != "" {
		t.Error("came in at the mutual TLS listener without a certificate at hand")
	}
	if ct := r.header.Get("Content-Type"); ct != "application/x-www-form-urlencoded" {
		t.Errorf("Content-Type %q", ct)
	}
	if r.header.Get("Authorization") != "" {
		t.Error("CA-5: an Authorization header beside the assertion")
	}
	if got := audienceOf(t, r); got != w.edge.issuer {
		t.Errorf("CJ-11 audience %q, want the issuer %q", got, w.edge.issuer)
	}
	want := map[string]string{
		"grant_type":            "client_credentials",
		"client_id":             "spiffe://example.org/billing",
		"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
		"client_assertion":      r.form.Get("client_assertion"),
		"resource":              "https://api.example.com/",
		"scope":                 "read write",
	}
	for name, value := range want {
		if got := r.form[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if len(r.form) != len(want) {
		t.Errorf("parameters %v, want %d of them", r.form, len(want))
	}
	for _, encoded := range []string{
		"client_id=spiffe%3A%2F%2Fexample.org%2Fbilling",
		"client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-spiffe",
	} {
		if !strings.Contains(r.raw, encoded) {
			t.Errorf("CJ-11 the body has no %s", encoded)
		}
	}
}

func TestRequestWithX509SVID(t *testing.T) { // CX-1, CX-2, CX-8, AM-5
	w := newWorld(t)
	c := w.client(w.config(client.X509SVID(w.x509)))
	w.token(c, client.Request{})
	r := w.edge.last()
	if !r.mtls {
		t.Error("CX-8: the alias was not used")
	}
	if r.thumbprint != thumbprint(w.x509.svid.Load().Certificates[0].Raw) {
		t.Error("CX-1: another certificate, or none")
	}
	if r.form.Encode() != "client_id=spiffe%3A%2F%2Fexample.org%2Fbilling&grant_type=client_credentials" {
		t.Errorf("the body is %s", r.form.Encode())
	}
}

func TestRequestWithBothSVIDs(t *testing.T) { // CA-4, CA-6, MT-6
	w := newWorld(t)
	config := w.config(client.JWTSVID(w.jwt), client.X509SVID(w.x509))
	w.token(w.client(config), client.Request{})
	if r := w.edge.last(); !r.mtls || r.thumbprint == "" || r.form.Has("client_assertion") {
		t.Error("CA-4: X.509 comes first, and CA-5: alone")
	}
	config.Method = oauth.MethodJWT
	w.token(w.client(config), client.Request{})
	r := w.edge.last()
	if !r.mtls || r.thumbprint == "" || !r.form.Has("client_assertion") {
		t.Error("MT-6: a JWT-SVID over a connection with the certificate, at the alias")
	}
	if got := audienceOf(t, r); got != w.edge.issuer {
		t.Errorf("AM-6 audience %q, want the issuer also at the alias", got)
	}
}

func TestRequestWithoutAlias(t *testing.T) { // AM-5
	w := newWorld(t)
	w.edge.publishes("mtls_endpoint_aliases", nil)
	w.edge.publishes("token_endpoint", w.edge.mtlsTokenURL)
	w.token(w.client(w.config(client.X509SVID(w.x509))), client.Request{})
	if r := w.edge.last(); r.thumbprint == "" {
		t.Error("no certificate at the only token endpoint")
	}
}

func TestClientIDIsSentAsConfigured(t *testing.T) { // CJ-11, CX-3
	w := newWorld(t)
	for name, credential := range map[string]client.Credential{"JWT": client.JWTSVID(w.jwt), "X.509": client.X509SVID(w.x509)} {
		config := w.config(credential)
		config.ClientID = "https://clients.example.com/billing.json?a=b&c"
		w.token(w.client(config), client.Request{})
		if got := w.edge.last().form["client_id"]; len(got) != 1 || got[0] != config.ClientID {
			t.Errorf("%s: client_id %q, want %q", name, got, config.ClientID)
		}
	}
}

func TestEndpointAudience(t *testing.T) { // CJ-7, client-authentication section 15.2
	w := newWorld(t)
	w.edge.publishes("token_endpoint", w.edge.tokenURL+"?tenant=1")
	config := w.config(client.JWTSVID(w.jwt))
	config.EndpointAudience = true
	w.token(w.client(config), client.Request{})
	if got := audienceOf(t, w.edge.last()); got != w.edge.tokenURL {
		t.Errorf("audience %q, want the endpoint without its query, %q", got, w.edge.tokenURL)
	}
	config.Credentials = append(config.Credentials, client.X509SVID(w.x509))
	config.Method = oauth.MethodJWT
	w.token(w.client(config), client.Request{})
	if got := audienceOf(t, w.edge.last()); got != w.edge.mtlsTokenURL {
		t.Errorf("audience %q at the alias, want the alias, %q", got, w.edge.mtlsTokenURL)
	}
}

func TestTwoWorkloadsInOneRequest(t *testing.T) { // TK-3, AK-25
	w := newWorld(t)
	config := w.config(client.JWTSVID(w.jwt), client.X509SVID(w.x509))
	config.Method = oauth.MethodJWT
	w.token(w.client(config), client.Request{}) // the accepted twin

	w.jwt.path = "/other"
	before := len(w.edge.seen())
	_, err := w.client(config).Token(t.Context(), client.Request{})
	if err == nil || !strings.Contains(err.Error(), "spiffe://example.org/other") || !strings.Contains(err.Error(), "TK-3") {
		t.Fatalf("got %v, want both names", err)
	}
	if len(w.edge.seen()) != before {
		t.Error("the request was sent all the same")
	}
}

func TestIssuerWithPath(t *testing.T) { // AM-1
	w := newWorld(t)
	w.edge.issuer += "/tenant/one"
	w.edge.publishes("issuer", w.edge.issuer)
	w.client(w.config(client.JWTSVID(w.jwt)))
	if got := w.edge.metadataReads(); len(got) != 1 || got[0] != "/.well-known/oauth-authorization-server/tenant/one" {
		t.Errorf("asked for %s", got)
	}
}

func TestRequestIsCheckedBeforeItIsSent(t *testing.T) {
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	for _, request := range []client.Request{
		{}, {Resource: "https://api.example.com/"}, {Resource: "spiffe://example.org/api"}, {Resource: "urn:api"}, {Scope: "read"}, {Scope: "read write:all"},
	} {
		w.token(c, request)
	}
	before := len(w.edge.seen())
	for name, request := range map[string]client.Request{
		"RI-1 relative":     {Resource: "/api"},
		"RI-1 fragment":     {Resource: "https://api.example.com/#a"},
		"RI-1 no URL":       {Resource: "https://api.example.com/\x00"},
		"scope: two spaces": {Scope: "read  write"},
		"scope: at the end": {Scope: "read "},
		"scope: quotation":  {Scope: `re"ad`},
		"scope: line break": {Scope: "read\nwrite"},
	} {
		if _, err := c.Token(t.Context(), request); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(w.edge.seen()) != before {
		t.Error("a malformed request was sent")
	}
}

func TestConfigFaultsComeTogether(t *testing.T) {
	w := newWorld(t)
	good := w.config(client.JWTSVID(w.jwt))
	w.client(good)
	_, err := client.New(context.Background(), client.Config{
		Issuer:      "http://as.example.com",
		Credentials: []client.Credential{client.JWTSVID(w.jwt), client.JWTSVID(w.jwt), {}},
		Method:      oauth.MethodX509,
		Timeout:     -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Issuer", "two for spiffe_jwt", "no source", "Method", "Timeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not report %s: %v", want, err)
		}
	}
	good.Credentials = nil
	if _, err := client.New(context.Background(), good); err == nil || !strings.Contains(err.Error(), "Credentials") {
		t.Errorf("without a credential: %v", err)
	}
}
