package tokenrequest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

var endpoint = tokenrequest.Endpoint{Name: "token", URL: "https://as.example.com/token"}

// good is the body of a sound request with a JWT-SVID.
const (
	good      = "grant_type=client_credentials&client_id=spiffe%3A%2F%2Fexample.org%2Fbilling&" + assertion
	assertion = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-spiffe&client_assertion=aaaa.bbbb.cccc"
	form      = "application/x-www-form-urlencoded"
)

// A want is the outcome of a row: the zero value is acceptance.
type want struct {
	code   oauth.ErrorCode
	reason oauth.Reason
	rule   string
}

var accepted = want{}

func malformed(rule string) want {
	return want{oauth.InvalidRequest, oauth.ReasonRequestMalformed, rule}
}

// A row is one request and what must become of it. edit changes what is sound
// otherwise.
type row struct {
	name string
	body string
	edit func(*http.Request)
	want want
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := request(row.body)
			if row.edit != nil {
				row.edit(r)
			}
			req, err := tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
			check(t, &req, err, row.want)
		})
	}
}

// request is a form request over TLS.
func request(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, endpoint.URL, strings.NewReader(body))
	r.Header.Set("Content-Type", form)
	return r
}

func check(t testing.TB, req *tokenrequest.Request, err error, w want) {
	t.Helper()
	if req.Parsed() != (err == nil) {
		t.Errorf("Parsed is %t beside the error %v", req.Parsed(), err)
	}
	testidentity.Want{Code: w.code, Reason: w.reason, Rule: w.rule}.Check(t, err)
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func query(q string) func(*http.Request) {
	return func(r *http.Request) { r.URL.RawQuery = q }
}

func encode(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}
