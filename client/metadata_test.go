package client

import (
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

const testIssuer = "https://as.example.com"

const goodMetadata = `{
  "issuer": "https://as.example.com",
  "token_endpoint": "https://as.example.com/token",
  "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.as.example.com/token"},
  "grant_types_supported": ["authorization_code", "client_credentials"],
  "token_endpoint_auth_methods_supported": ["spiffe_jwt", "spiffe_x509"],
  "jwks_uri": "https://as.example.com/jwks.json"
}`

func TestParseMetadata(t *testing.T) {
	d, err := parseMetadata([]byte(goodMetadata), testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	if d.tokenEndpoint != "https://as.example.com/token" || d.mtlsTokenEndpoint != "https://mtls.as.example.com/token" ||
		names(d.methods) != "spiffe_jwt, spiffe_x509" {
		t.Fatalf("got %+v", d)
	}
	if d, err = parseMetadata([]byte(`{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token"}`), testIssuer); err != nil || d.methods != nil {
		t.Fatalf("MD-3 the server does not say its methods: got %+v, %v", d, err)
	}

	for _, tt := range []struct{ name, old, new, want string }{
		{"AM-2 another issuer", `"issuer": "https://as.example.com"`, `"issuer": "https://rogue.example.com"`, "AM-2"},
		{"AM-2 issuer with a slash more", `"issuer": "https://as.example.com"`, `"issuer": "https://as.example.com/"`, "AM-2"},
		{"AM-2 issuer with its port", `"issuer": "https://as.example.com"`, `"issuer": "https://as.example.com:443"`, "AM-2"},
		{"AM-2 issuer in capitals", `"issuer": "https://as.example.com"`, `"issuer": "https://AS.example.com"`, "AM-2"},
		{"AM-2 no issuer", `"issuer": "https://as.example.com",`, ``, "AM-2"},
		{"AM-2 issuer in an array", `"issuer": "https://as.example.com"`, `"issuer": ["https://as.example.com"]`, "AM-2"},
		{"GL-11 two issuers", `"issuer": "https://as.example.com"`, `"issuer": "https://as.example.com", "issuer": "https://as.example.com"`, "twice"},
		{"no token endpoint", `"token_endpoint": "https://as.example.com/token",`, ``, "token_endpoint: is missing"},
		{"CL-10 token endpoint over http", `"token_endpoint": "https://as.example.com/token"`, `"token_endpoint": "http://as.example.com/token"`, "CL-10"},
		{"token endpoint with a fragment", `"token_endpoint": "https://as.example.com/token"`, `"token_endpoint": "https://as.example.com/token#a"`, "fragment"},
		{"token endpoint with a password", `"token_endpoint": "https://as.example.com/token"`, `"token_endpoint": "https://u:p@as.example.com/token"`, "CL-10"},
		{"CL-10 alias over http", `https://mtls.as.example.com/token`, `http://mtls.as.example.com/token`, "mtls_endpoint_aliases"},
		{"aliases that are no object", `{"token_endpoint": "https://mtls.as.example.com/token"}`, `"https://mtls.as.example.com/token"`, "not an object"},
		{"grant not offered", `"client_credentials"`, `"refresh_token"`, "client credentials"},
		{"methods that are no array", `["spiffe_jwt", "spiffe_x509"]`, `"spiffe_jwt"`, "not an array"},
		{"GL-11 data after it", "jwks.json\"\n}", "jwks.json\"\n} {}", "after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := strings.Replace(goodMetadata, tt.old, tt.new, 1)
			if doc == goodMetadata {
				t.Fatal("the row changes nothing")
			}
			_, err := parseMetadata([]byte(doc), testIssuer)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestMetadataURL(t *testing.T) { // AM-1
	for issuer, want := range map[string]string{
		"https://h":          "https://h/.well-known/oauth-authorization-server",
		"https://h/":         "https://h/.well-known/oauth-authorization-server",
		"https://h/t1":       "https://h/.well-known/oauth-authorization-server/t1",
		"https://h/t1/":      "https://h/.well-known/oauth-authorization-server/t1",
		"https://h:8443/a/b": "https://h:8443/.well-known/oauth-authorization-server/a/b",
		"https://[::1]:1/a":  "https://[::1]:1/.well-known/oauth-authorization-server/a",
		"https://h/a%2Fb":    "https://h/.well-known/oauth-authorization-server/a%2Fb",
	} {
		if err := checkIssuer(issuer); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
		if got := metadataURL(issuer); got != want {
			t.Errorf("%s: got %s, want %s", issuer, got, want)
		}
	}
	for name, issuer := range map[string]string{
		"missing": "", "http": "http://h", "capital scheme": "HTTPS://h", "query": "https://h?a=b", "empty query": "https://h?",
		"fragment": "https://h#a", "empty fragment": "https://h#", "user": "https://u@h", "no host": "https:///a", "opaque": "https:h", "no URL": "https://h\x7f",
	} {
		if err := checkIssuer(issuer); err == nil {
			t.Errorf("AM-2 %s: %q was accepted", name, issuer)
		}
	}
}

func TestChooseMethod(t *testing.T) { // CA-4, CL-9
	const x509, wit, jwt = oauth.MethodX509, oauth.MethodWIT, oauth.MethodJWT
	for _, tt := range []struct {
		name    string
		offered []oauth.AuthMethod
		x509    bool
		jwt     bool
		wit     bool
		wanted  oauth.AuthMethod
		want    oauth.AuthMethod // empty: an error
	}{
		{"both and both", []oauth.AuthMethod{jwt, x509}, true, true, false, "", x509},
		{"server has JWT only", []oauth.AuthMethod{jwt}, true, true, false, "", jwt},
		{"workload has JWT only", []oauth.AuthMethod{x509, jwt}, false, true, false, "", jwt},
		{"workload has X.509 only", []oauth.AuthMethod{x509, jwt}, true, false, false, "", x509},
		{"server does not say", nil, true, true, false, "", x509},
		{"server does not say, JWT at hand", nil, false, true, false, "", jwt},
		{"configured", []oauth.AuthMethod{x509, jwt}, true, true, false, jwt, jwt},
		{"configured, server does not say", nil, true, true, false, jwt, jwt},
		{"nothing in common", []oauth.AuthMethod{x509}, false, true, false, "", ""},
		{"configured but not offered", []oauth.AuthMethod{x509}, true, true, false, jwt, ""},
		{"server offers nothing", []oauth.AuthMethod{}, true, true, false, "", ""},
		{"server offers foreign methods", []oauth.AuthMethod{"private_key_jwt"}, true, true, false, "", ""},
		{"all and all", []oauth.AuthMethod{jwt, wit, x509}, true, true, true, "", x509},
		{"server has no certificates", []oauth.AuthMethod{jwt, wit}, true, true, true, "", wit},
		{"workload has no X.509", []oauth.AuthMethod{jwt, wit, x509}, false, true, true, "", wit},
		{"workload has no WIT", []oauth.AuthMethod{jwt, wit}, false, true, false, "", jwt},
		{"server has no WIT", []oauth.AuthMethod{jwt}, false, true, true, "", jwt},
		{"WIT configured", []oauth.AuthMethod{jwt, wit, x509}, true, true, true, wit, wit},
		{"WIT configured but not offered", []oauth.AuthMethod{jwt, x509}, true, true, true, wit, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{config: Config{Method: tt.wanted}}
			if tt.x509 {
				c.certificates = &certificates{}
			}
			if tt.wit {
				c.attestations = &attestations{}
			}
			if tt.jwt {
				c.assertions = &assertions{}
			}
			got, err := c.chooseMethod(tt.offered)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Fatalf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(goodMetadata))
	f.Add([]byte(`{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token"}`))
	f.Add([]byte(`{"issuer":"https://as.example.com","token_endpoint":"https://h","mtls_endpoint_aliases":{}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := parseMetadata(doc, testIssuer)
		if err == nil && (checkEndpoint(d.tokenEndpoint) != nil || d.mtlsTokenEndpoint != "" && checkEndpoint(d.mtlsTokenEndpoint) != nil) {
			t.Fatalf("accepted with a bad endpoint: %+v", d)
		}
		again, err2 := parseMetadata(doc, testIssuer)
		if (err == nil) != (err2 == nil) || err == nil && d.metadata != again.metadata {
			t.Fatal("two answers")
		}
		if _, err := parseMetadata(doc, "https://other.example.com"); err == nil && d != nil {
			t.Fatal("AM-2: accepted for two issuers")
		}
	})
}
