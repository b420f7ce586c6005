package tokenrequest_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// A request of the usual size, with an assertion of about 500 bytes.
func BenchmarkParse(b *testing.B) {
	body := url.Values{
		oauth.ParamGrantType:           {string(oauth.GrantClientCredentials)},
		oauth.ParamClientID:            {"spiffe://example.org/ns/prod/sa/billing"},
		oauth.ParamClientAssertionType: {oauth.ClientAssertionTypeJWTSPIFFE},
		oauth.ParamClientAssertion:     {strings.Repeat("a", 100) + "." + strings.Repeat("b", 300) + "." + strings.Repeat("c", 86)},
		oauth.ParamResource:            {"https://api.example.com/"},
		oauth.ParamScope:               {"read write"},
	}.Encode()
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		r := request(body) // allocates, too; what BenchmarkRequestAlone shows is to be taken off
		if _, err := tokenrequest.Parse(w, r, endpoint); err != nil {
			b.Fatal(err)
		}
	}
}

// What BenchmarkParse pays for the request that it parses.
func BenchmarkRequestAlone(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if r := request("a=b"); r.Body == nil {
			b.Fatal("no body")
		}
	}
}
