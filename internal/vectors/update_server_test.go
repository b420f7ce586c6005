package vectors

import (
	"crypto/x509"
	"net/url"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

const (
	orders = "spiffe://example.org/orders/eu"
	ledger = "spiffe://example.org/ledger"
	api    = "https://api.example.com/"
	books  = "https://books.example.com/"
)

// longName is longer than a client_id may be.
var longName = strings.Repeat("c", 2049)

// serverContexts are servers of a few clients. Each is the first with one change.
func serverContexts(w *writer) {
	jwt := jwk(w, testKey(w, "ec-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-1"})
	root := newCA(w, "example.org", "ec-ca")
	w.text("example.org", document(jwt, anchor(w, root.cert, root.key)).String())
	grants := []string{string(oauth.GrantClientCredentials)}
	both := []string{"spiffe_jwt", "spiffe_x509"}
	one := func(c clientContext) clientContext {
		if c.GrantTypes == nil {
			c.GrantTypes = grants
		}
		if c.Resources == nil {
			c.Resources = []string{api}
		}
		c.Scope = []string{"read"}
		return c
	}
	base := func() serverContext {
		return serverContext{
			verifierContext: verifierContext{Issuer: issuer, EndpointURL: tokenURL, TrustDomains: map[string]trustDomainContext{
				"example.org": {Bundle: "example.org"}, "not-ready.test": {}}},
			MTLSURL: "https://mtls.as.example.com",
			Clients: []clientContext{
				one(clientContext{ClientID: billing, Methods: []string{"spiffe_jwt"}, Resources: []string{api, books}}),
				one(clientContext{ClientID: "orders", SPIFFEID: "spiffe://example.org/orders/*", Methods: both}),
				one(clientContext{ClientID: "ledger", SPIFFEID: ledger, Methods: []string{"spiffe_x509"}}),
				one(clientContext{ClientID: "first", SPIFFEID: "spiffe://example.org/shared", Methods: both}),
				one(clientContext{ClientID: "second", SPIFFEID: "spiffe://example.org/shared", Methods: both}),
				one(clientContext{ClientID: "reports", SPIFFEID: "spiffe://example.org/reports", Methods: []string{"spiffe_jwt"}, GrantTypes: []string{"authorization_code"}}),
				one(clientContext{ClientID: "h\u00f6fe", SPIFFEID: "spiffe://example.org/yards", Methods: []string{"spiffe_jwt"}}),
			},
			Resources: []resourceContext{{Resource: api, Scopes: []string{"read", "write"}}, {Resource: books, Scopes: []string{"read"}}},
		}
	}
	for name, change := range map[string]func(*serverContext){
		"default": func(*serverContext) {},
		"latest":  func(c *serverContext) { c.Settings.Profile = "latest" },
		"ietf-02": func(c *serverContext) { c.Settings.Profile = "ietf-02" },
		"seed":    func(c *serverContext) { c.Settings.Profile = "seed" },
		"bound":   func(c *serverContext) { c.Binding = "required" },
		"unbound": func(c *serverContext) { c.Binding = "none" },
		"single use": func(c *serverContext) {
			c.TrustDomains["example.org"] = trustDomainContext{Bundle: "example.org", SingleUse: true}
		},
		"few fail": func(c *serverContext) { c.FailuresPerSource = 2 },
		"few ask":  func(c *serverContext) { c.RequestsPerClient = 2 },
		"full":     func(c *serverContext) { c.Audit = "full" },
		"long name": func(c *serverContext) {
			c.Clients = append(c.Clients, one(clientContext{ClientID: longName, SPIFFEID: "spiffe://example.org/long", Methods: []string{"spiffe_jwt"}}))
		},
		"one at most": func(c *serverContext) { c.Clients[0].Resources = []string{api} },
	} {
		c := base()
		change(&c)
		w.context(name, c)
	}
	w.file.Chains = map[string][][]byte{
		"orders":  raw(root.leaf(w, "ec-orders", named(orders))),
		"ledger":  raw(root.leaf(w, "ec-ledger", named(ledger))),
		"billing": raw(root.leaf(w, "ec-billing", named(billing))),
		"shared":  raw(root.leaf(w, "ec-shared", named("spiffe://example.org/shared"))),
		"ends": raw(root.leaf(w, "ec-ledger", named(ledger), func(c *x509.Certificate) {
			c.NotAfter = noon
		})),
		"for servers": raw(root.leaf(w, "ec-billing", named(billing), func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})),
	}
}

// A form is a body, in the order in which it is written.
type form [][2]string

func (f form) with(name, value string) form {
	out := form{}
	done := false
	for _, p := range f {
		if p[0] == name {
			if p[1], done = value, true; value == "" {
				continue
			}
		}
		out = append(out, p)
	}
	if !done && value != "" {
		out = append(out, [2]string{name, value})
	}
	return out
}

func (f form) plus(name, value string) form {
	return append(append(form{}, f...), [2]string{name, value})
}

func (f form) String() string {
	text := ""
	for _, p := range f {
		if text != "" {
			text += "&"
		}
		text += url.QueryEscape(p[0]) + "=" + url.QueryEscape(p[1])
	}
	return text
}

type requestsInput struct {
	Context  string         `json:"context"`
	Requests []requestInput `json:"requests"`
}

func post(f form, change ...func(*requestInput)) requestInput {
	r := requestInput{
		Listener: "public", Method: "POST", Target: "/token", Source: "192.0.2.1:40000",
		Headers: [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}}, Body: f.String(),
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func showing(chain string) func(*requestInput) {
	return func(r *requestInput) { r.Listener, r.Chain = "mtls", chain }
}

func writeTokenRequests(w *writer) {
	w.family("token-request", "What a token endpoint answers to a whole HTTP request.")
	serverContexts(w)
	assertion := func(id string) string {
		return token(w, jose.ES256, testKey(w, "ec-jwt"), object{{"alg", "ES256"}, {"kid", "jwt-1"}},
			object{{"sub", id}, {"aud", []string{issuer}}, {"iat", noon.Unix() - 60}, {"exp", noon.Unix() + 240}})
	}
	byJWT := func(client, id string) form {
		f := form{{"grant_type", "client_credentials"}}
		if client != "" {
			f = f.plus("client_id", client)
		}
		return f.plus("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE).plus("client_assertion", assertion(id)).plus("resource", api)
	}
	good := byJWT(billing, billing)
	byX509 := form{{"grant_type", "client_credentials"}, {"client_id", "ledger"}, {"resource", api}}
	in := func(r ...requestInput) requestsInput { return requestsInput{"default", r} }
	under := func(context string, r ...requestInput) requestsInput { return requestsInput{context, r} }
	bearer := func(id string) expectation { return expectation{Status: 200, SPIFFEID: id, Binding: "bearer"} }
	bound := func(id string) expectation { return expectation{Status: 200, SPIFFEID: id, Binding: "x5t#S256"} }
	request := func(reason string) expectation {
		return expectation{Status: 400, Error: "invalid_request", Reason: reason}
	}
	client := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_client", Reason: reason}
	}
	malformed := request("request_malformed")

	w.good("jwt", "a JWT-SVID", in(post(good)), bearer(billing), "EC-3")
	w.good("empty-parameter", "a parameter without a value counts as absent", in(post(good.plus("client_secret", ""))), bearer(billing), "GL-5")
	w.good("unknown-parameter", "an unknown one is passed over", in(post(good.plus("x", "y"))), bearer(billing), "GL-5")
	w.bad("get", "another method", in(post(good, func(r *requestInput) { r.Method = "GET" })), expectation{Status: 405, Reason: byHTTP}, "GL-2")
	w.bad("no-tls", "without TLS", in(post(good, func(r *requestInput) { r.Listener = "plain" })), malformed, "CA-15")
	w.bad("content-type", "another content type", in(post(good, func(r *requestInput) { r.Headers[0][1] = "text/plain" })), malformed, "GL-2")
	w.bad("content-type-json", "JSON", in(post(good, func(r *requestInput) { r.Headers[0][1] = "application/json" })), malformed, "GL-2")
	w.bad("content-type-twice", "two content types", in(post(good, func(r *requestInput) { r.Headers = append(r.Headers, r.Headers[0]) })), malformed, "GL-2")
	w.bad("charset", "another charset", in(post(good, func(r *requestInput) { r.Headers[0][1] += "; charset=utf-16" })), malformed, "GL-2")
	w.bad("percent-encoding", "percent-encoding that is none", in(post(good, func(r *requestInput) { r.Body += "&x=%zz" })), malformed, "GL-2")
	w.bad("not-utf8", "bytes that are no UTF-8", in(post(good, func(r *requestInput) { r.Body += "&x=%ff" })), malformed, "GL-2")
	w.bad("query", "a parameter of the protocol in the query", in(post(good, func(r *requestInput) { r.Target += "?scope=read" })), malformed, "GL-3")
	w.bad("query-malformed", "a query that is none", in(post(good, func(r *requestInput) { r.Target += "?x=%zz" })), malformed, "GL-3")
	w.bad("repeated", "a parameter twice", in(post(good.plus("client_id", billing))), malformed, "GL-4")
	w.bad("repeated-unknown", "an unknown one twice", in(post(good.plus("x", "1").plus("x", "2"))), malformed, "GL-4")
	pad := func(n int) func(*requestInput) {
		return func(r *requestInput) { r.Body += "&x="; r.BodyPad = n }
	}
	w.good("longest", "a body of 64 KiB", in(post(good, pad(64<<10))), bearer(billing), "GL-8")
	w.bad("too-long", "a byte more", in(post(good, pad(64<<10+1))), expectation{Status: 413, Reason: "request_too_large"}, "GL-8", "GL-2")

	w.good("client-id-printable", "a client_id that is no SPIFFE ID", in(post(byJWT("orders", orders), showing("orders"))), bound(orders), "CA-9")
	w.bad("client-id-not-ascii", "a client_id of other characters", in(post(byJWT("h\u00f6fe", "spiffe://example.org/yards"))), malformed, "GL-14")

	w.bad("client-id-too-long", "a client_id of 2049 bytes", under("long name", post(byJWT(longName, "spiffe://example.org/long"))), malformed, "GL-14")

	w.twin = "token-request/jwt"
	w.bad("grant-type-missing", "no grant_type", in(post(good.with("grant_type", ""))), malformed, "TK-1")
	w.bad("grant-type-unknown", "one that nobody knows", in(post(good.with("grant_type", "password"))), expectation{Status: 400, Error: "unsupported_grant_type", Reason: "grant_unsupported"}, "TK-1")
	w.bad("secret-beside", "a secret beside the assertion", in(post(good.plus("client_secret", "s"))), request("mixed_credentials"), "CA-5", "TK-3")
	w.bad("header-beside", "an Authorization header beside it", in(post(good, func(r *requestInput) {
		r.Headers = append(r.Headers, [2]string{"Authorization", "Basic YTpi"})
	})), request("mixed_credentials"), "CA-5", "TK-3")
	w.bad("attestation-beside", "a WIT-SVID beside it", in(post(good, func(r *requestInput) {
		r.Headers = append(r.Headers, [2]string{"OAuth-Client-Attestation", "x"})
	})), request("mixed_credentials"), "CA-5", "TK-3")
	w.bad("secret", "a secret and nothing else", in(post(form{{"grant_type", "client_credentials"}, {"client_id", billing}, {"client_secret", "s"}})), client("method_not_allowed"), "CA-7", "EC-14")
	w.bad("assertion-type-missing", "no type", in(post(good.with("client_assertion_type", ""))), malformed, "CJ-1", "CA-7", "CA-16")
	w.bad("assertion-type-other", "the type of another profile", in(post(good.with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))), client("method_not_allowed"), "CJ-1", "CA-7", "CA-16")
	w.bad("assertion-missing", "a type without its assertion", in(post(good.with("client_assertion", ""))), request("assertion_missing"), "CJ-3", "JS-1", "JS-20", "GL-11")
	w.bad("no-authentication", "nothing that authenticates", in(post(form{{"grant_type", "client_credentials"}, {"client_id", billing}})), client("assertion_missing"), "TK-2", "CA-7", "CX-1")
	w.bad("assertion-too-long", "an assertion of more than 16 KiB", in(post(good.with("client_assertion", assertion(billing)+strings.Repeat("A", 16<<10)))), client("assertion_too_large"), "GL-8", "JS-1", "JS-12")
	w.bad("client-unknown", "a client that is not registered", in(post(byJWT("nobody", billing))), client("client_not_found"), "CA-2")
	w.bad("client-other", "the client_id of another client", in(post(byJWT("orders", billing))), client("client_id_mismatch"), "CA-9", "CA-8")
	w.bad("method-not-registered", "a certificate's client with a JWT-SVID", in(post(byJWT("ledger", ledger))), client("method_not_allowed"), "CA-7")
	w.bad("audience-other", "an assertion for another server", under("default", post(good.with("client_assertion", token(w, jose.ES256, testKey(w, "ec-jwt"), object{{"alg", "ES256"}, {"kid", "jwt-1"}},
		object{{"sub", billing}, {"aud", "https://other.example.com"}, {"exp", noon.Unix() + 240}})))), client("aud_mismatch"), "CJ-6")
	w.bad("not-ready", "a trust domain without a bundle yet", in(post(byJWT("", "spiffe://not-ready.test/billing"))), expectation{Status: 503, Reason: "td_not_ready"}, "GL-15")

	endpoint := good.with("client_id", "orders").with("client_assertion", token(w, jose.ES256, testKey(w, "ec-jwt"), object{{"alg", "ES256"}, {"kid", "jwt-1"}},
		object{{"sub", orders}, {"aud", tokenURL}, {"exp", noon.Unix() + 240}}))
	w.good("wildcard-jwt", "a client of many workloads", in(post(endpoint, func(r *requestInput) { r.Chain = "orders" })), bound(orders), "MD-20")
	w.bad("wildcard-jwt-seed", "the profile seed has none", under("seed", post(endpoint, func(r *requestInput) { r.Chain = "orders" })), client("client_id_mismatch"), "MD-20")
	w.good("no-client-id", "one client of exactly this SPIFFE ID leaves no choice", in(post(byJWT("", billing))), bearer(billing), "CJ-10")
	w.bad("no-client-id-latest", "the profile latest wants client_id", under("latest", post(byJWT("", billing))), request("client_id_missing"), "CJ-10")
	w.bad("no-client-id-two", "two clients of one SPIFFE ID", in(post(byJWT("", "spiffe://example.org/shared"), showing("shared"))), client("client_ambiguous"), "CJ-10")
	w.bad("no-client-id-none", "a wildcard never takes part", in(post(byJWT("", orders), showing("orders"))), client("client_not_found"), "CJ-10")
	w.bad("no-client-id-method", "nor one that uses certificates", in(post(byJWT("", ledger), showing("ledger"))), client("method_not_allowed"), "CA-7")

	writeCertificateRequests(w, byX509)
	writePolicyRequests(w, good, byJWT)
	writeWITRequests(w)
}
