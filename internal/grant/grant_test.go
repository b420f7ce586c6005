package grant_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const billing = "spiffe://example.org/billing"

// A want is the outcome of a row: the zero value is acceptance.
type want struct {
	code   oauth.ErrorCode
	reason oauth.Reason
	rule   string
}

var accepted = want{}

func check(t testing.TB, a grant.Authorization, err error, w want) {
	t.Helper()
	if a.Granted() != (err == nil) {
		t.Errorf("Granted is %t beside %v", a.Granted(), err)
	}
	testidentity.Want{Code: w.code, Reason: w.reason, Rule: w.rule}.Check(t, err)
}

func clientCredentials(t testing.TB) grant.Grant {
	t.Helper()
	g, err := grant.New().For(oauth.GrantClientCredentials)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// request asks with these further parameters, and is a JWT-SVID's.
func request(t testing.TB, w *testidentity.World, pairs ...string) *tokenrequest.Request {
	t.Helper()
	return testidentity.Request(t, testidentity.With(testidentity.Assertion(billing, w.JWT(t, billing)), pairs...), nil)
}

func caller(t testing.TB, w *testidentity.World) clientauth.Caller {
	t.Helper()
	return w.Caller(t, registration.Metadata{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}}, request(t, w))
}

// BC-1 TK-1 Which grants there are, and that no other is.
func TestFor(t *testing.T) {
	if types := grant.New().Types(); !slices.Equal(types, []oauth.GrantType{oauth.GrantClientCredentials}) {
		t.Errorf("AM-4 the grant types are %v", types)
	}
	for _, known := range grant.New().Types() {
		if _, err := grant.New().For(known); err != nil {
			t.Errorf("TK-1 %s is advertised and refused: %v", known, err)
		}
	}
	g, err := grant.New().For("")
	if g != nil {
		t.Error("TK-1 there is a grant without grant_type")
	}
	check(t, grant.Authorization{}, err, want{oauth.InvalidRequest, oauth.ReasonRequestMalformed, "TK-1"})
	for _, unknown := range []oauth.GrantType{
		"Client_Credentials", "client_credentials ", "authorization_code", "refresh_token", "password", "implicit",
		"urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer", "a\nb",
	} {
		t.Run(fmt.Sprintf("TK-1 %q", unknown), func(t *testing.T) {
			g, err := grant.New().For(unknown)
			if g != nil {
				t.Error("there is a grant")
			}
			check(t, grant.Authorization{}, err, want{oauth.UnsupportedGrantType, oauth.ReasonGrantUnsupported, "TK-1"})
		})
	}
}

// What policy is asked is what the caller is and what the request says, and
// nothing else.
func TestQuestion(t *testing.T) {
	w := testidentity.New(t)
	chain := w.Chain(t, "spiffe://example.org/ns/a")
	fleet, err := svidgate.ParsePattern("spiffe://example.org/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	both := []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}
	req := testidentity.Request(t, testidentity.With(testidentity.Certificate("fleet"), "scope", "write read", "resource", "https://api.example.com/"), chain)
	a, err := clientCredentials(t)(t.Context(), w.Caller(t, registration.Metadata{ClientID: "fleet", SPIFFEID: fleet, AuthMethods: both}, req), req)
	check(t, a, err, accepted)
	want := policy.Question{
		ClientID: "fleet", TrustDomain: "example.org", Methods: both, GrantType: oauth.GrantClientCredentials,
		Resources: []string{"https://api.example.com/"}, Scope: []string{"write", "read"}, Certificate: true,
	}
	if q := a.Question(); !reflect.DeepEqual(q, want) {
		t.Errorf("asked %+v, want %+v", q, want)
	}
	if a.Subject() != "spiffe://example.org/ns/a" { // never the pattern, never the client_id
		t.Errorf("CC-3 the subject is %q", a.Subject())
	}

	a, err = clientCredentials(t)(t.Context(), caller(t, w), request(t, w))
	check(t, a, err, accepted)
	if q := a.Question(); q.Certificate || q.Scope != nil || q.Resources != nil || a.Subject() != billing || a.GrantType() != oauth.GrantClientCredentials {
		t.Errorf("asked %+v about %s", q, a.Subject())
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	w := testidentity.New(t)
	a, err := clientCredentials(t)(t.Context(), clientauth.Caller{}, request(t, w))
	check(t, a, err, want{oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "CC-1"})
	a, err = clientCredentials(t)(t.Context(), caller(t, w), &tokenrequest.Request{})
	check(t, a, err, want{oauth.ServerError, oauth.ReasonInternal, "CC-1"})
	if (grant.Authorization{}).Granted() {
		t.Error("the zero Authorization is granted")
	}
}

func TestScope(t *testing.T) {
	w := testidentity.New(t)
	who := caller(t, w)
	malformed := want{oauth.InvalidScope, oauth.ReasonScopeMalformed, "TK-5"}
	for _, row := range []struct {
		name, scope string
		got         []string
		want        want
	}{
		{"TK-5 none", "", nil, accepted},
		{"TK-5 one", "read", []string{"read"}, accepted},
		{"TK-5 two", "read write", []string{"read", "write"}, accepted},
		{"TK-5 one twice", "read write read", []string{"read", "write"}, accepted},
		{"TK-5 case counts", "read Read", []string{"read", "Read"}, accepted},
		{"TK-5 every character there may be", "!#[]^~", []string{"!#[]^~"}, accepted},
		{"TK-5 two spaces", "read  write", nil, malformed},
		{"TK-5 a space before", " read", nil, malformed},
		{"TK-5 a space after", "read ", nil, malformed},
		{"TK-5 a space alone", " ", nil, malformed},
		{"TK-5 a quote", `re"ad`, nil, malformed},
		{"TK-5 a backslash", `re\ad`, nil, malformed},
		{"TK-5 a tab", "read\twrite", nil, malformed},
		{"AK-31 a line break", "read\nwrite", nil, malformed},
		{"TK-5 a null byte", "read\x00", nil, malformed},
		{"TK-5 a delete character", "read\x7f", nil, malformed},
		{"TK-5 a letter outside ASCII", "r\u00e9ad", nil, malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, err := clientCredentials(t)(t.Context(), who, request(t, w, "scope", row.scope))
			check(t, a, err, row.want)
			if err == nil && !slices.Equal(a.Question().Scope, row.got) {
				t.Errorf("read as %q", a.Question().Scope)
			}
		})
	}
}

func TestResource(t *testing.T) {
	w := testidentity.New(t)
	who := caller(t, w)
	bad := want{oauth.InvalidTarget, oauth.ReasonResourceUnknown, "TK-5"}
	for _, row := range []struct {
		name, resource string
		want           want
	}{
		{"RI-1 an https URI", "https://api.example.com/", accepted},
		{"RI-1 a URI with a query", "https://api.example.com/?a=b", accepted},
		{"RI-3 a SPIFFE ID", "spiffe://example.org/api", accepted},
		{"RI-1 a URN", "urn:example:api", accepted},
		{"RI-1 a relative one", "/api", bad},
		{"RI-1 a host alone", "api.example.com", bad},
		{"RI-1 a relative one with a host", "//api.example.com/", bad},
		{"RI-1 a fragment", "https://api.example.com/#a", bad},
		{"RI-1 an empty fragment", "https://api.example.com/#", bad},
		{"RI-1 a fragment and nothing else", "#a", bad},
		{"RI-1 broken percent-encoding", "https://api.example.com/%zz", bad},
		{"AK-31 a line break", "https://api.example.com/\n", bad},
		{"RI-1 a space before", " https://api.example.com/", bad},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, err := clientCredentials(t)(t.Context(), who, request(t, w, "resource", row.resource))
			check(t, a, err, row.want)
			if err == nil && !slices.Equal(a.Question().Resources, []string{row.resource}) {
				t.Errorf("GL-14 read as %q", a.Question().Resources)
			}
		})
	}
}

// wholeBody is a request with as many scope tokens as a body holds, all
// different.
func wholeBody(t testing.TB, w *testidentity.World) (req *tokenrequest.Request, tokens int) {
	t.Helper()
	var b strings.Builder
	for ; b.Len() < 56<<10; tokens++ {
		fmt.Fprintf(&b, "%x ", tokens)
	}
	return request(t, w, "scope", strings.TrimSuffix(b.String(), " ")), tokens
}

func TestScopeOfAWholeBody(t *testing.T) {
	w := testidentity.New(t)
	req, tokens := wholeBody(t, w)
	a, err := clientCredentials(t)(t.Context(), caller(t, w), req)
	check(t, a, err, accepted)
	if got := len(a.Question().Scope); got != tokens {
		t.Errorf("GL-8 %d tokens were read as %d", tokens, got)
	}
}

// GL-8: this is what one client can make a request cost here. It was half a
// second while each token was searched for among those before it.
func BenchmarkScopeOfAWholeBody(b *testing.B) {
	w := testidentity.New(b)
	req, _ := wholeBody(b, w)
	who, authorize := caller(b, w), clientCredentials(b)
	for b.Loop() {
		if _, err := authorize(b.Context(), who, req); err != nil {
			b.Fatal(err)
		}
	}
}
