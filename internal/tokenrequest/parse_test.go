package tokenrequest_test

import (
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

func TestContentType(t *testing.T) {
	run(t, []row{
		{"GL-2 a form", good, nil, accepted},
		{"GL-2 a form in UTF-8", good, header("Content-Type", form+"; charset=utf-8"), accepted},
		{"GL-2 upper case", good, header("Content-Type", "Application/X-WWW-Form-URLEncoded; Charset=UTF-8"), accepted},
		{"GL-2 JSON", `{"grant_type":"client_credentials"}`, header("Content-Type", "application/json"), malformed("GL-2")},
		{"GL-2 a form that says it is JSON", good, header("Content-Type", "application/json"), malformed("GL-2")},
		{"GL-2 multipart", good, header("Content-Type", "multipart/form-data; boundary=x"), malformed("GL-2")},
		{"GL-2 text", good, header("Content-Type", "text/plain"), malformed("GL-2")},
		{"GL-2 a longer media type", good, header("Content-Type", form+"x"), malformed("GL-2")},
		{"GL-2 another charset", good, header("Content-Type", form+"; charset=iso-8859-1"), malformed("GL-2")},
		{"GL-2 parameters without end", good, header("Content-Type", form+"; charset"), malformed("GL-2")},
		{"GL-2 an empty content type", good, header("Content-Type", ""), malformed("GL-2")},
		{"GL-2 no content type", good, func(r *http.Request) { r.Header.Del("Content-Type") }, malformed("GL-2")},
		{"GL-2 two content types", good, func(r *http.Request) { r.Header.Add("Content-Type", "application/json") }, malformed("GL-2")},
		{"GL-2 the same content type twice", good, func(r *http.Request) { r.Header.Add("Content-Type", form) }, malformed("GL-2")},
	})
}

func TestEncoding(t *testing.T) {
	run(t, []row{
		{"GL-2 percent-encoding in UTF-8", good + "&x=%C3%A9", nil, accepted},
		{"GL-2 UTF-8 as it is", good + "&x=\u00e9", nil, accepted},
		{"GL-2 a percent sign with no digits", good + "&x=%", nil, malformed("GL-2")},
		{"GL-2 a percent sign with one digit", good + "&x=%4", nil, malformed("GL-2")},
		{"GL-2 a percent sign with other letters", good + "&x=%zz", nil, malformed("GL-2")},
		{"GL-2 a percent sign in a name", good + "&%zz=x", nil, malformed("GL-2")},
		{"GL-2 a value that is not UTF-8", good + "&x=%ff", nil, malformed("GL-2")},
		{"GL-2 a value with half a character", good + "&x=%C3", nil, malformed("GL-2")},
		{"GL-2 a raw byte that is not UTF-8", good + "&x=\xff", nil, malformed("GL-2")},
		{"GL-2 a surrogate", good + "&x=%ED%A0%80", nil, malformed("GL-2")},
		{"GL-2 a name that is not UTF-8", good + "&%ff=x", nil, malformed("GL-2")},
		{"GL-2 a semicolon between parameters", good + ";x=1", nil, malformed("GL-2")},
		{"GL-2 a semicolon in percent-encoding", good + "&x=%3B", nil, accepted},
		{"GL-2 an ampersand more", good + "&&", nil, accepted},
		{"GL-2 an encoded ampersand is no separator", good + "&x=a%26client_id=b", nil, accepted},
		{"GL-2 nothing", "", nil, accepted},
	})
}

// A body that ends before its announced length is no request: what is missing
// may be the parameter that would have made it a bad one.
func TestBodyBreaksOff(t *testing.T) {
	r := request(good)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(good), breaksOff{}))
	req, err := tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
	check(t, &req, err, malformed("GL-2"))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cause is lost: %v", err)
	}
}

type breaksOff struct{}

func (breaksOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestQuery(t *testing.T) {
	rows := []row{
		{"GL-3 no query", good, nil, accepted},
		{"GL-3 an empty query", good, func(r *http.Request) { r.URL.ForceQuery = true }, accepted},
		{"GL-3 a parameter of somebody else", good, query("trace=1"), accepted},
		{"GL-3 a malformed query", good, query("%zz"), malformed("GL-3")},
		{"GL-3 a semicolon in the query", good, query("a=1;client_id=b"), malformed("GL-3")},
		{"GL-3 client_id in percent-encoding", good, query("client%5Fid=x"), malformed("GL-3")},
		{"GL-3 client_id without a value", good, query("client_id"), malformed("GL-3")},
		{"GL-3 client_id after somebody else's", good, query("trace=1&client_id=x"), malformed("GL-3")},
		{"GL-3 all of it in the query", "", query(good), malformed("GL-3")},
	}
	for _, name := range []string{
		"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "resource", "audience",
		"code", "redirect_uri", "code_verifier", "refresh_token", "token", "token_type_hint", "username", "password",
		"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
		"assertion", "request", "request_uri", "device_code", "authorization_details",
	} {
		rows = append(rows, row{"GL-3 " + name, good, query(name + "=x"), malformed("GL-3")})
	}
	run(t, rows)
}

func TestRepeatedParameters(t *testing.T) {
	const second = "client_credentials"
	run(t, []row{
		{"GL-4 two resource", good + "&resource=https%3A%2F%2Fa%2F&resource=https%3A%2F%2Fb%2F", nil, accepted},
		{"GL-4 two audience", good + "&audience=a&audience=b", nil, accepted},
		{"GL-4 two grant_type", good + "&grant_type=" + second, nil, malformed("GL-4")},
		{"GL-4 two grant_type, the second empty", good + "&grant_type=", nil, malformed("GL-4")},
		{"GL-4 two grant_type, one in percent-encoding", good + "&grant%5Ftype=" + second, nil, malformed("GL-4")},
		{"CA-13 two client_id", good + "&client_id=b", nil, malformed("GL-4")},
		{"CA-13 the same client_id twice", good + "&client_id=spiffe%3A%2F%2Fexample.org%2Fbilling", nil, malformed("GL-4")},
		{"CJ-3 two client_assertion", good + "&client_assertion=aaaa.bbbb.cccc", nil, malformed("GL-4")},
		{"CJ-3 two client_assertion_type", good + "&client_assertion_type=x", nil, malformed("GL-4")},
		{"GL-4 two client_secret", good + "&client_secret=&client_secret=", nil, malformed("GL-4")},
		{"GL-4 one scope", good + "&scope=read", nil, accepted},
		{"GL-4 two scope", good + "&scope=read&scope=write", nil, malformed("GL-4")},
		{"GL-4 one unknown parameter", good + "&x=1", nil, accepted},
		{"GL-4 an unknown parameter twice", good + "&x=1&x=1", nil, malformed("GL-4")},
		{"GL-4 names that differ in case are different", good + "&Client_ID=b", nil, accepted},
	})
}

func TestEmptyAndUnknownParameters(t *testing.T) {
	for _, row := range []struct {
		name, body string
		want       func(*tokenrequest.Request) bool
	}{
		{"GL-5 an empty scope is none", good + "&scope=", func(r *tokenrequest.Request) bool { return r.Scope() == "" }},
		{"GL-5 a scope without equals sign is none", good + "&scope", func(r *tokenrequest.Request) bool { return r.Scope() == "" }},
		{"GL-5 an empty resource is none", good + "&resource=&resource=https%3A%2F%2Fa%2F&resource", func(r *tokenrequest.Request) bool {
			return reflect.DeepEqual(r.Resources(), []string{"https://a/"})
		}},
		{"GL-5 an empty client_id is none", "grant_type=client_credentials&client_id=&" + assertion, func(r *tokenrequest.Request) bool { return r.ClientID() == "" }},
		{"GL-5 an empty client_secret is no second mechanism", good + "&client_secret=", func(r *tokenrequest.Request) bool {
			return r.Credential() == tokenrequest.JWTSVID
		}},
		{"GL-5 an empty assertion is none", "grant_type=client_credentials&client_assertion=&client_assertion_type=", func(r *tokenrequest.Request) bool {
			return r.Credential() == tokenrequest.NoCredential && r.Assertion() == ""
		}},
		{"GL-5 an unknown parameter is ignored", good + "&foo=bar", func(r *tokenrequest.Request) bool { return r.Scope() == "" && len(r.Resources()) == 0 }},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, err := tokenrequest.Parse(httptest.NewRecorder(), request(row.body), endpoint)
			check(t, &req, err, accepted)
			if !row.want(&req) {
				t.Errorf("read as %+v", req)
			}
		})
	}
	run(t, []row{
		{"GL-5 an empty grant_type is missing, which is the next stage's to say", "grant_type=&" + assertion, nil, accepted},
		{"TK-1 no grant_type, likewise", assertion, nil, accepted},
		{"TK-1 an unknown grant_type, likewise", "grant_type=x&" + assertion, nil, accepted},
	})
}

func TestClientID(t *testing.T) {
	id := func(encoded string) string {
		return "grant_type=client_credentials&client_id=" + encoded + "&" + assertion
	}
	run(t, []row{
		{"GL-14 2048 bytes", id(strings.Repeat("a", 2048)), nil, accepted},
		{"GL-14 2049 bytes", id(strings.Repeat("a", 2049)), nil, malformed("GL-14")},
		{"GL-14 a line break", id("a%0Ab"), nil, malformed("GL-14")},
		{"GL-14 a null byte", id("a%00"), nil, malformed("GL-14")},
		{"GL-14 a delete character", id("a%7F"), nil, malformed("GL-14")},
		{"GL-14 a letter outside ASCII", id("%C3%A9"), nil, malformed("GL-14")},
	})
	for encoded, want := range map[string]string{ // CA-13: decoded once, and then left alone
		"billing": "billing", "+billing+": " billing ", "Billing": "Billing",
		"a%252Fb": "a%2Fb", "https%3A%2F%2Fas.test%3A443": "https://as.test:443",
	} {
		req, err := tokenrequest.Parse(httptest.NewRecorder(), request(id(encoded)), endpoint)
		if err != nil || req.ClientID() != want {
			t.Errorf("CA-13 %s was read as %q, want %q (%v)", encoded, req.ClientID(), want, err)
		}
	}
}

// CA-15, WS-19: nothing is read of what came over plain HTTP.
func TestPlainHTTP(t *testing.T) {
	run(t, []row{
		{"CA-15 over TLS", good, nil, accepted},
		{"CA-15 over plain HTTP", good, func(r *http.Request) { r.TLS = nil }, malformed("CA-15")},
		{"CA-15 behind somebody who says it was TLS", good, func(r *http.Request) {
			r.TLS = nil
			r.Header.Set("X-Forwarded-Proto", "https")
		}, malformed("CA-15")},
	})
}

// What a later stage is told of a request.
func TestRequestAsRead(t *testing.T) {
	r := request(good + "&scope=read+write&resource=https%3A%2F%2Fapi.example.com%2F")
	r.RemoteAddr = "[::ffff:192.0.2.7]:4711"
	chain := []*x509.Certificate{{Raw: []byte{1}}}
	r.TLS.PeerCertificates = chain
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	r.Header.Set("Client-Cert", ":AAAA:") // XS-24: nobody asked for one
	req, err := tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"endpoint": req.Endpoint(), "source": req.Source(), "grant_type": req.GrantType(), "client_id": req.ClientID(),
		"credential": req.Credential(), "assertion": req.Assertion(), "scope": req.Scope(), "resource": req.Resources(),
		"certificates": req.Certificates(), "scheme": req.AuthorizationScheme(),
	}
	want := map[string]any{
		"endpoint": endpoint, "source": netip.MustParseAddr("192.0.2.7"), "grant_type": oauth.GrantClientCredentials,
		"client_id": "spiffe://example.org/billing", "credential": tokenrequest.JWTSVID, "assertion": "aaaa.bbbb.cccc",
		"scope": "read write", "resource": []string{"https://api.example.com/"}, "certificates": chain, "scheme": "",
	}
	for name := range maps.Keys(want) {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s is %v, want %v", name, got[name], want[name])
		}
	}
	var zero tokenrequest.Request
	if zero.Parsed() {
		t.Error("the zero Request counts as parsed")
	}
}
